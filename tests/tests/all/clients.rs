//! Clients that wait, that are many and that disconnect: their answers, and that they do not block others.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    api::PATIENCE,
    folder::DataFolder,
    host::{BINARY, CommandOutput, Host, Options, cli},
    probe::{DONE, Kind, Probe, Step, Undo, WAITS, at_first},
    process::bare,
};

/// A saga that waits for a signal and is done with it, under the lock key `room/…`.
fn waiting() -> Probe {
    let stay = Step::new("stay", Kind::Retriable, Undo::None);
    Probe { steps: vec![stay], locks: vec![("room", "/room")], ..Probe::execute(at_first(WAITS, DONE)) }
}

fn host(options: Options) -> Host {
    let host = Host::start(DataFolder::empty(), options);
    host.api().put("/v1/modules/probe", &waiting().component()).expect(201);
    host
}

/// Runs a command beside the test.
fn beside(host: &Host, arguments: &[&'static str]) -> thread::JoinHandle<CommandOutput> {
    let (url, arguments) = (host.ready.url.clone(), arguments.to_vec());
    thread::spawn(move || cli(&[("AMENDS_HOST", &url)], &arguments))
}

/// Until the command beside the test has started the saga, and the saga waits.
fn until_waiting(host: &Host, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    while host.api().get(&format!("/v1/sagas/{id}")).status == 404 {
        assert!(Instant::now() < deadline, "nobody started {id}");
        thread::yield_now();
    }
    host.api().until_type(id, "wait");
}

fn connect(host: &Host, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.ready.url.trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// 900 starts that waited, or 950 connections on which nothing was said, took every connection: `/healthz` timed out, and the
/// signal that would have ended the waits could not get in.
#[test]
fn c2_03_crowds_that_wait_or_say_nothing_keep_no_probe_and_no_signal_out() {
    let host = host(Options::default());
    host.api().start("probe", "S0", &json!({"room": 0})).expect(201);
    let silent: Vec<TcpStream> = (0..950).map(|_| connect(&host, "")).collect();
    assert_eq!(host.api().get("/healthz").status, 200);
    drop(silent);
    let start = |number: usize| {
        let body = format!("{{\"room\":{number}}}");
        format!(
            "POST /v1/definitions/probe/sagas?id=W{number}&wait=200s HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let waits: Vec<TcpStream> = (1..=950).map(|number| connect(&host, &start(number))).collect();
    assert_eq!(host.api().get("/healthz").status, 200);
    host.api().post("/v1/sagas/S0/signals/probe", &json!({})).expect(202);
    assert_eq!(host.api().run("probe", "S0", &json!({"room": 0}))["status"], "completed");
    drop(waits);
}

/// The host waits for at most `wait_max` in one request. The command asked for more than that and was refused, exit 1, though its
/// saga was started and completed.
#[test]
fn c2_08_a_command_waits_for_longer_than_the_host_does_in_one_request() {
    let host = host(Options::default().with("AMENDS_SERVER_WAIT_MAX", "1s"));
    let refused = host.api().post("/v1/definitions/probe/sagas?id=S0&wait=2s", &json!({"room": 0}));
    expect![[r#"
        400 wait_too_long: wait `2s` is too long
          hint: ask again and again, each time for at most 1s
    "#]]
    .assert_eq(&refused.error());
    assert_eq!(refused.body["error"]["wait_ms_max"], 1_000);
    let output = beside(&host, &["start", "probe", "--id", "S1", "--input", "{\"room\":1}", "--wait", "--json"]);
    until_waiting(&host, "S1");
    host.api().post("/v1/sagas/S1/signals/probe", &json!({})).expect(202);
    let output = output.join().unwrap();
    assert_eq!(output.code, 0, "{output:?}");
}

/// The answer to a start was made of the saga's own stream, in which nobody else's lock keys are: `holder: null, queue: []`.
#[test]
fn c2_18_a_start_that_queues_for_a_lock_key_is_answered_as_a_read_right_after() {
    let host = host(Options::default());
    host.api().start("probe", "S1", &json!({"room": 7})).expect(201);
    for (id, query) in [("S2", ""), ("S3", "&wait=10ms")] {
        let answer = host.api().post(&format!("/v1/definitions/probe/sagas?id={id}{query}"), &json!({"room": 7})).body;
        let read = host.api().saga(id);
        assert_eq!((&answer["locks"], &answer["reason"]), (&read["locks"], &read["reason"]));
        assert_eq!(answer["locks"]["keys"][0]["holder"], "S1", "{answer}");
    }
    let output = host.cli(&["start", "probe", "--id", "S4", "--input", "{\"room\":7}", "--wait=10ms"]);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stdout.contains("lock room/7  held by S1; 2 before this one"), "{}", output.stdout);
}

/// On a port that was free a moment ago, so that it comes back under the same address.
fn host_with_a_port() -> Host {
    let address = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).and_then(|listener| listener.local_addr()).unwrap();
    host(Options::default().with("AMENDS_LISTEN", &address.to_string()))
}

/// `watch` went on over a restart of the host and `start --wait` gave up with exit 5, though its start is idempotent by the id.
#[test]
fn c2_19_a_wait_goes_on_over_a_kill_and_over_a_stop_of_the_host() {
    let mut host = host_with_a_port();
    let waiting = beside(&host, &["start", "probe", "--id", "S1", "--input", "{\"room\":1}", "--wait=5m", "--json"]);
    until_waiting(&host, "S1");
    host.kill();
    host.restart();
    host.stop();
    host.restart();
    host.api().post("/v1/sagas/S1/signals/probe", &json!({})).expect(202);
    let output = waiting.join().unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    let saga: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&saga["id"], &saga["status"]), (&json!("S1"), &json!("completed")));
}

/// The exit code, the JSON on stderr without the address, and nothing on stdout.
fn failed(output: &CommandOutput, url: &str) -> String {
    assert_eq!(output.stdout, "", "{output:?}");
    let json: Value =
        serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(json["error"]["exit"], output.code, "{json}");
    format!("{}\n", json.to_string().replace(url, "URL"))
}

/// No host, 404, 409 and 422 were all exit 1 and a text, so that a script could not know whether to try again.
#[test]
fn c2_19_errors_are_told_apart_by_the_exit_code_and_are_json_where_json_was_asked_for() {
    let mut host = host(Options::default());
    let url = host.ready.url.clone();
    host.api().start("probe", "S1", &json!({"room": 1})).expect(201);
    let mut found = String::new();
    for arguments in [
        &["show", "S9", "--json"][..],
        &["start", "probe", "--id", "S1", "--input", "{\"room\":2}", "--json"],
        &["start", "probe", "--input", "{}", "--json"],
        &["list", "--status", "done", "--json"],
    ] {
        found += &failed(&host.cli(arguments), &url);
    }
    host.kill();
    found += &failed(&cli(&[("AMENDS_HOST", &url)], &["list", "--json"]), &url);
    expect![[r#"
        {"error":{"code":"saga_not_found","exit":1,"hint":"`amends list` shows the sagas that there are","message":"no saga `S9` in this namespace","status":404}}
        {"error":{"code":"id_taken","exit":1,"hint":"an id is never used twice: choose another, or send the same input again","message":"saga id S1 is taken by another definition or input","status":409}}
        {"error":{"code":"no_lock_key","exit":1,"hint":"put it into the input; which saga holds what is decided by it","message":"saga `probe` cannot be started: the lock `room` finds no key at `/room` of the input: a printable string of 1 to 256 bytes, or a number","status":422}}
        {"error":{"code":"usage","exit":2,"message":"invalid value 'done' for '--status <STATUS>'\n  [possible values: running, waiting, compensating, stuck, completed, compensated, abandoned]\n\nFor more information, try '--help'."}}
        {"error":{"code":"no_host","exit":7,"message":"no host answers at URL (connection refused); start one with `amends serve`, or name another with --host"}}
    "#]].assert_eq(&found);
}

/// A version that drops a saga was activated without a word, and its schedule and its event started nothing from then on.
#[test]
fn c2_23_a_plan_and_an_activation_name_what_a_version_breaks() {
    let probe = |saga: &'static str, schema: Option<&str>| Probe {
        saga: saga.to_owned(),
        schema: schema.map(str::to_owned),
        triggers: vec![("room.wanted", saga)],
        items: r#"(data (i32.const 700) "true")"#.to_owned(),
        ..Probe::execute("(call $done (i32.const 700) (i32.const 4))")
    };
    let host = Host::start(DataFolder::empty(), Options::default());
    let deploy = |probe: &Probe, query: &str| host.api().put(&format!("/v1/modules/probe{query}"), &probe.component());
    deploy(&probe("book", None), "").expect(201);
    let added = host.cli(&["schedule", "add", "nightly", "book", "--cron", "@daily", "--input", "{\"nights\":\"two\"}"]);
    assert_eq!(added.code, 0, "{added:?}");

    let nights = r#"{"properties":{"nights":{"type":"integer"}}}"#;
    let stricter = deploy(&probe("book", Some(nights)), "?plan=true").expect(200);
    let other = deploy(&probe("reserve", None), "?plan=true").expect(200);
    let same = deploy(&probe("book", None), "?plan=true").expect(200);
    expect![[r#"
        {"what":[{"kind":"schedule","saga":"book","schedule":"nightly","why":"its input does not fit: at /nights: want integer, but got string"}]}
        {"what":[{"kind":"saga","saga":"book"},{"event_type":"room.wanted","kind":"trigger","saga":"book"},{"kind":"schedule","saga":"book","schedule":"nightly","why":"the version has no saga book"}]}
        null
    "#]].assert_eq(&format!("{}\n{}\n{}\n", stricter["breaks"], other["breaks"], same["breaks"]));

    deploy(&probe("reserve", None), "?activate=false").expect(201);
    let before = host.api().get("/v1/modules/probe/versions/2/breaks").expect(200);
    assert_eq!(before, other["breaks"]);
    let activated = host.cli(&["activate", "probe", "2"]);
    assert_eq!(activated.code, 0, "{activated:?}");
    let back = host.cli(&["activate", "probe", "--previous"]);
    expect![[r#"
        would stop working: starts of saga book, which the version does not have
        would stop working: event room.wanted → book, which the version does not declare
        would stop working: schedule nightly of saga book: the version has no saga book
        probe version 2 is active: new sagas start on it
        probe version 1 is active: new sagas start on it
        no longer works: starts of saga reserve, which the version does not have
        no longer works: event room.wanted → reserve, which the version does not declare
    "#]]
    .assert_eq(&format!("{}{}{}", activated.stderr, activated.stdout, back.stdout));
}

/// Runs a command whose stdout nobody reads.
fn unheard(host: &Host, arguments: &[&str]) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command: Command = bare(Path::new(BINARY));
    command.args(arguments).env("AMENDS_HOST", &host.ready.url).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), stderr)
}

/// `amends list | head -0`: it is nobody's error, and where the exit code is the outcome of a saga, it stays that.
#[test]
fn a_command_whose_output_nobody_reads_ends_without_a_panic_and_with_its_exit_code() {
    let host = host(Options::default());
    host.api().start("probe", "S1", &json!({"room": 1})).expect(201);
    for (arguments, code) in [
        (&["list"][..], 0),
        (&["list", "--json"], 0),
        (&["show", "S1"], 0),
        (&["journal", "S1"], 0),
        (&["modules"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
        (&["completions", "bash"], 0),
        (&["start", "probe", "--id", "S1", "--input", "{\"room\":1}", "--wait=10ms"], 5),
        (&["show", "S9"], 1),
    ] {
        let (found, stderr) = unheard(&host, arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
