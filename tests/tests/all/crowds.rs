//! Many sagas at once: new versions under load, more starts than the host takes, and ten thousand that wait.

use std::{collections::BTreeSet, sync::mpsc::channel, thread};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    api::Api,
    folder::DataFolder,
    guests::{Way, guest},
    host::{Host, Options},
    laws,
};

/// Does something for each number below `count`, in four threads.
fn each(api: &Api, count: usize, act: impl Fn(&Api, usize) + Clone + Send + 'static) {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (api, act) = (api.clone(), act.clone());
            thread::spawn(move || (thread..count).step_by(4).for_each(|number| act(&api, number)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// How many sagas are live on each version of a module.
fn in_flight(api: &Api, module: &str) -> Vec<u64> {
    let module = api.get(&format!("/v1/modules/{module}")).expect(200);
    module["versions"].as_array().unwrap().iter().map(|version| version["in_flight"].as_u64().unwrap()).collect()
}

#[test]
fn xr_25_versions_change_while_a_thousand_sagas_run() {
    const SAGAS: usize = 1_000;
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    let api = host.api();
    // Every 40th start asks for a change, and does not wait for it.
    let (ask, asked) = channel();
    let starting = {
        let api = api.clone();
        thread::spawn(move || {
            each(&api, SAGAS, move |api, number| {
                let started = api.start("approval", &format!("R{number}"), &json!({})).expect(201);
                assert!(started["version"] == 1 || started["version"] == 2, "{started}");
                if number % 40 == 0 {
                    ask.send(()).unwrap();
                }
            });
        })
    };
    let mut changes = 0;
    for () in asked {
        match changes {
            0 => drop(api.put("/v1/modules/approval", &guest(Way::Plain, "approval-v2")).expect(201)),
            odd if odd % 2 == 1 => drop(api.post("/v1/modules/approval/activate", &json!({"previous": true})).expect(200)),
            _ => drop(api.post("/v1/modules/approval/activate", &json!({"version": 2})).expect(200)),
        }
        changes += 1;
    }
    starting.join().unwrap();
    assert!(changes >= 20, "{changes} changes");
    let flying = in_flight(&api, "approval");
    assert_eq!(flying.iter().sum::<u64>(), SAGAS as u64);
    assert!(flying.iter().all(|sagas| *sagas > 0), "both versions were started on: {flying:?}");
    assert_eq!(api.metric("amends_starts_blocked_on_module_total"), 0.0);

    let modules = api.get("/v1/modules/approval").expect(200);
    let digests: Vec<Value> = modules["versions"].as_array().unwrap().iter().map(|version| version["digest"].clone()).collect();
    each(&api, SAGAS, move |api, number| {
        let id = format!("R{number}");
        api.post(&format!("/v1/sagas/{id}/signals/approval"), &json!({"approved": true, "by": "ada"})).expect(202);
        let saga = api.run("approval", &id, &json!({}));
        assert_eq!(saga["status"], "completed", "{saga}");
        // The code that ran says which it is, and the journal which it was to be.
        assert_eq!(saga["output"]["version"], saga["version"]);
        let version = usize::try_from(saga["version"].as_u64().unwrap()).unwrap();
        assert_eq!(saga["digest"], digests[version - 1]);
        let journal = api.journal(&id);
        let started: Vec<&Value> = journal.iter().filter_map(|record| record.get("started")).collect();
        let [started] = started[..] else { panic!("not one digest: {started:?}") };
        assert_eq!((&started["digest"], &started["version"]), (&saga["digest"], &saga["version"]));
    });
    assert_eq!(in_flight(&api, "approval"), [0, 0]);
    assert_eq!(api.metric("amends_starts_blocked_on_module_total"), 0.0);
    laws::hold(&api, "R0");
    laws::hold(&api, "R999");
}

/// Starts from many connections at once, each as fast as it is answered: the accepted ids, and how many were refused.
async fn flood(address: &str, connections: usize, starts: usize) -> (Vec<String>, usize) {
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let address = address.to_owned();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                let (mut accepted, mut refused) = (Vec::new(), 0);
                for number in 0..starts {
                    let id = format!("O{connection}-{number}");
                    let head = format!(
                        "POST /v1/definitions/order/sagas?id={id} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n{{}}"
                    );
                    stream.write_all(head.as_bytes()).await.unwrap();
                    match status(&mut stream).await {
                        201 => accepted.push(id),
                        503 => refused += 1,
                        other => panic!("{id}: {other}"),
                    }
                }
                (accepted, refused)
            })
        })
        .collect();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (more, others) = task.await.unwrap();
        accepted.extend(more);
        refused += others;
    }
    (accepted, refused)
}

/// The status of the next answer; its body is read over.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the host closed the connection");
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or_default() {
                return head[9..12].parse().unwrap();
            }
        }
    }
}

/// All sagas of the namespace, by pages.
fn listed(api: &Api) -> Vec<(String, String)> {
    let (mut sagas, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(from) = cursor {
        let from = if from.is_empty() { from } else { format!("&cursor={from}") };
        let page = api.get(&format!("/v1/sagas?limit=1000{from}")).expect(200);
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        sagas.extend(page["sagas"].as_array().unwrap().iter().map(|line| (text(line, "id"), text(line, "status"))));
        cursor = page["cursor"].as_str().map(str::to_owned);
    }
    sagas
}

#[test]
fn xr_35_more_starts_than_the_host_takes_are_refused_and_no_accepted_one_is_lost() {
    const CONNECTIONS: usize = 400;
    let options = Options::default().with("AMENDS_STORE_QUEUE_RECORDS", "16");
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let before = host.memory_kib("VmRSS");
    let address = host.ready.url.trim_start_matches("http://").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (accepted, refused) = runtime.block_on(flood(&address, CONNECTIONS, 25));
    let peak = host.memory_kib("VmHWM");
    println!("{} accepted, {refused} refused; {} KiB more at the peak", accepted.len(), peak - before);
    assert!(refused > 0, "there was no pressure");
    assert!(!accepted.is_empty());
    assert!(peak - before < 256 << 10, "{before} KiB before and {peak} KiB at the peak");
    host.kill();
    host.restart();
    let api = host.api();
    let there: BTreeSet<String> = listed(&api).into_iter().map(|(id, _)| id).collect();
    let lost: Vec<&String> = accepted.iter().filter(|id| !there.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    // Each comes to its end, and the host takes new work.
    each(&api, 1, |api, _| assert_eq!(insist(api, "after")["status"], "completed"));
    for (id, _) in listed(&api).into_iter().filter(|(_, status)| status != "completed") {
        assert_eq!(insist(&api, &id)["status"], "completed");
    }
}

/// Starts an order, or finds it, and waits for its end; is refused as long as the queue is full, as while recovered sagas fill it.
fn insist(api: &Api, id: &str) -> Value {
    loop {
        let answer = api.once().post(&format!("/v1/definitions/order/sagas?id={id}&wait=100s"), &json!({}));
        match answer.status {
            503 => assert_eq!(answer.body["error"]["code"], "overloaded", "{id}: {}", answer.body),
            200 | 201 => return answer.body,
            other => panic!("{id}: {other} {}", answer.body),
        }
    }
}

#[test]
fn ten_thousand_waiting_sagas_take_no_memory_and_are_there_after_a_kill() {
    const SAGAS: usize = 10_000;
    const FIRST: usize = 200;
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    let input = json!({"decide_within_s": 86_400});
    let start = move |api: &Api, number: usize| drop(api.start("approval", &format!("R{number}"), &input).expect(201));
    // What a host needs for its threads, connections and first pages is not what is asked about.
    let begin = start.clone();
    each(&host.api(), FIRST, move |api, number| begin(api, SAGAS + number));
    let before = host.memory_kib("VmRSS");
    each(&host.api(), SAGAS, start);
    let after = host.memory_kib("VmRSS");
    let grown = after.saturating_sub(before);
    host.kill();
    let ready = host.restart().clone();
    // How fast it is ready is measured by `cargo xtask bench`, on a machine that does nothing else.
    println!("{SAGAS} waiting sagas: {grown} KiB more than {before} KiB; ready again in {}s", ready.seconds);
    assert!(grown < 20 << 10, "{grown} KiB more than {before} KiB");
    assert_eq!(ready.recovered, SAGAS as u64 + FIRST as u64);
    assert_eq!(host.api().metric("amends_sagas_live{status=\"waiting\"}"), (SAGAS + FIRST) as f64);
    // They still wait, and go on.
    let waiting = host.api().get("/v1/sagas?status=waiting&limit=1").expect(200);
    assert_eq!(waiting["sagas"].as_array().unwrap().len(), 1);
    host.api().post("/v1/sagas/R77/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);
    host.api().until_type("R77", "completed");
    host.advance_ms(86_400_000);
    host.api().until_type("R78", "compensated");
}
