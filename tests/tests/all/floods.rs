//! XR-35: more starts than the host can accept. The host refuses the others, its memory stays bounded, and it loses no accepted
//! start.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use expect_test::expect;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{
    api::{Api, PATIENCE},
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
};

/// Four hundred clients that each start so many orders, as fast as they are answered.
struct Flood {
    address: String,
    /// What their ids begin with.
    name: &'static str,
    starts_of_each: usize,
    /// Told of every start that was accepted.
    tell: Sender<()>,
}

/// What came of it: the ids that were accepted, and how often each refusal was said.
#[derive(Default)]
struct Flooded {
    accepted: Vec<String>,
    refused: BTreeMap<String, usize>,
}

impl Flood {
    fn of(host: &Host, name: &'static str, starts_of_each: usize) -> (Self, Receiver<()>) {
        let (tell, answered) = channel();
        (Self { address: host.ready.url.trim_start_matches("http://").to_owned(), name, starts_of_each, tell }, answered)
    }

    /// Until all is answered, or the host is gone.
    fn run(self) -> Flooded {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let flood = Arc::new(self);
        runtime.block_on(async {
            let clients: Vec<_> = (0..400)
                .map(|client| {
                    let flood = Arc::clone(&flood);
                    tokio::spawn(async move {
                        let mut flooded = Flooded::default();
                        let ended = flood.start_all(client, &mut flooded).await;
                        if let Err(error) = ended {
                            println!("client {client}: {error}");
                        }
                        flooded
                    })
                })
                .collect();
            let mut all = Flooded::default();
            for client in clients {
                let flooded = client.await.unwrap();
                all.accepted.extend(flooded.accepted);
                flooded.refused.into_iter().for_each(|(refusal, times)| *all.refused.entry(refusal).or_default() += times);
            }
            all
        })
    }

    async fn start_all(&self, client: usize, flooded: &mut Flooded) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        for number in 0..self.starts_of_each {
            let id = format!("{}{client}-{number}", self.name);
            let line = format!("POST /v1/definitions/order/sagas?id={id} HTTP/1.1");
            stream.write_all(format!("{line}\r\nhost: {}\r\ncontent-length: 2\r\n\r\n{{}}", self.address).as_bytes()).await?;
            let (head, body) = timeout(PATIENCE, answer(&mut stream)).await??;
            if &head[9..12] == "201" {
                flooded.accepted.push(id);
                // Not everybody listens.
                let _ = self.tell.send(());
            } else {
                *flooded.refused.entry(refusal(&head, &body)).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Head and body of the next answer.
async fn answer(stream: &mut TcpStream) -> io::Result<(String, String)> {
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or_default() {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
    }
}

/// What a client is told who is to come back.
fn refusal(head: &str, body: &str) -> String {
    let after = head.lines().find(|line| line.starts_with("retry-after")).unwrap_or("no retry-after");
    format!("{}, {after}: {body}\n", &head[9..12])
}

/// Every saga and its status, by pages.
fn listed(api: &Api) -> BTreeMap<String, String> {
    let (mut sagas, mut cursor) = (BTreeMap::new(), Some(String::new()));
    while let Some(from) = cursor {
        let from = if from.is_empty() { from } else { format!("&cursor={from}") };
        let page = api.get(&format!("/v1/sagas?limit=1000{from}")).expect(200);
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        sagas.extend(page["sagas"].as_array().unwrap().iter().map(|line| (text(line, "id"), text(line, "status"))));
        cursor = page["cursor"].as_str().map(str::to_owned);
    }
    sagas
}

#[track_caller]
fn assert_kept(api: &Api, accepted: &[String]) -> BTreeMap<String, String> {
    let there = listed(api);
    let lost: BTreeSet<&String> = accepted.iter().filter(|id| !there.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
    there
}

/// As many as ten thousand a second for ten seconds, from clients that do not wait; a short queue stands for a slow disk.
#[test]
fn xr_35_a_hundred_thousand_starts_are_taken_or_refused_and_no_accepted_one_is_lost() {
    let options = Options::default().with("AMENDS_STORE_QUEUE_RECORDS", "16");
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let before = host.memory_kib("VmRSS");
    let (flood, _) = Flood::of(&host, "O", 250);
    let Flooded { mut accepted, refused } = flood.run();
    let peak = host.memory_kib("VmHWM");
    let refusals: usize = refused.values().sum();
    println!("{} accepted, {refusals} refused; {} KiB more at the peak", accepted.len(), peak - before);
    assert_eq!(accepted.len() + refusals, 100_000);
    assert!(accepted.len() > 400 && refusals > 400, "{} and {refusals}", accepted.len());
    expect![[r#"
        503, retry-after: 1: {"error":{"code":"overloaded","message":"16 records wait for the disk, which is as many as this host takes","hint":"try again soon, with the same id"}}
    "#]]
    .assert_eq(&refused.into_keys().collect::<String>());
    // The pages of the journal may be 64 MiB of it.
    assert!(peak - before < 128 << 10, "{before} KiB before and {peak} KiB at the peak");
    assert_kept(&host.api(), &accepted);

    // With a long queue it takes more than it can run at once, and dies in the middle.
    host.restart_with(Options::default());
    let (flood, answered) = Flood::of(&host, "K", 250);
    let flooding = thread::spawn(|| flood.run());
    answered.into_iter().take(3_000).for_each(drop);
    host.kill();
    accepted.extend(flooding.join().unwrap().accepted);
    host.restart();
    let api = host.api();
    let unended = assert_kept(&api, &accepted).into_iter().filter(|(_, status)| status != "completed");
    let ids: Vec<String> = unended.map(|(id, _)| id).collect();
    println!("{} accepted; {} had not ended when they were looked at after the kill", accepted.len(), ids.len());
    ids.iter().for_each(|id| drop(api.until_type(id, "completed")));
    assert_eq!(api.run("order", "after", &json!({}))["status"], "completed");
}
