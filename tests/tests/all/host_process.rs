//! The process of a host: its standard streams, its executable, its environment, its clock and its end. None of them may affect a
//! saga.

use std::{
    fs::{self, File},
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::channel,
    thread,
    time::Instant,
};

use expect_test::expect;
use participants::Operation;
use rustix::{
    io::ioctl_fionbio,
    process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit},
};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::{
    harness::{
        api::{Api, PATIENCE, Traffic},
        desk::Desk,
        folder::DataFolder,
        guests::{Way, guest, guest_path},
        host::{BINARY, Host, Options, cli, free_port},
        process::bare,
    },
    travel::booked,
};

/// A host with standard streams that a test gives it.
struct Streams {
    child: Child,
    api: Api,
    _folder: DataFolder,
}

impl Streams {
    #[track_caller]
    fn serve(stdout: Stdio, stderr: Stdio) -> Self {
        let (folder, port) = (DataFolder::with_modules(Way::Plain), free_port());
        let mut command = bare(Path::new(BINARY));
        command.arg("serve").arg("--data").arg(folder.path()).args(["--listen", &format!("127.0.0.1:{port}")]);
        // Much is logged.
        command.env("AMENDS_LOG", "debug").stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let api = Api::new(&format!("http://127.0.0.1:{port}"), Traffic::Once);
        let deadline = Instant::now() + PATIENCE;
        while !api.try_send(Method::GET, "/readyz", None, &[]).is_ok_and(|answer| answer.status == 200) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            assert!(Instant::now() < deadline, "it does not become ready");
            thread::yield_now();
        }
        Self { child, api, _folder: folder }
    }

    /// Does what a host is for, with modules that log, and one that is denied a call.
    #[track_caller]
    fn works(&self) {
        self.api.grant("trip", &["https://elsewhere.example"]);
        let denied = self.api.run("trip", "T1", &json!({"participants": "http://127.0.0.1:9"}));
        assert_eq!((&denied["status"], &denied["stuck"][0]["code"]), (&json!("stuck"), &json!("denied")), "{denied}");
        assert_eq!(denied["stuck"][0]["help"], json!(["amends grant trip --http http://127.0.0.1:9"]));
        let subject = "s".repeat(3_000);
        for number in 0..40 {
            self.api.start("approval", &format!("A{number}"), &json!({"subject": subject})).expect(201);
        }
        assert_eq!(self.api.run("order", "O1", &json!({}))["status"], "completed");
        self.api.get("/readyz").expect(200);
    }

    fn lost_lines(&self) -> u64 {
        let text = self.api.get("/metrics").expect(200).as_str().unwrap().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("amends_log_lines_lost_total "));
        line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// The exit code after a SIGTERM.
    #[track_caller]
    fn stop(self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        ended(self.child)
    }
}

/// The exit code, once there is one.
#[track_caller]
fn ended(mut child: Child) -> Option<i32> {
    let pid = Pid::from_child(&child);
    let (send, exited) = channel();
    thread::spawn(move || send.send(child.wait().unwrap()));
    let end = exited.recv_timeout(PATIENCE);
    end.unwrap_or_else(|error| {
        let _ = kill_process(pid, Signal::KILL);
        panic!("it does not end: {error}")
    })
    .code()
}

fn closed_pipe() -> PipeWriter {
    pipe().unwrap().1
}

/// A pipe that nobody reads, with no room left. How much room a pipe has is the system's affair: a user who has many gets small ones.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    for piece in [&[b'x'; 4_096][..], b"x"] {
        while writer.write_all(piece).is_ok() {}
    }
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// A line that could not be written was a panic, and it came in the middle of whatever had logged: an attempt, a denied call, the
/// end of the host. The kind: whatever a process says of itself. Losing it costs the line.
#[test]
fn c2_01_a_host_whose_log_cannot_be_written_does_what_others_do_and_ends_in_order() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (stdout, stderr) in [(Stdio::null(), Stdio::from(full())), (Stdio::from(closed_pipe()), Stdio::from(closed_pipe()))] {
        let host = Streams::serve(stdout, stderr);
        host.works();
        assert!(host.lost_lines() > 0);
        assert_eq!(host.stop(), Some(0));
    }
}

/// Who logged waited for whoever read the log, with all guests behind it, and the host did not end either, for its last words
/// waited too. The kind: what stands between a host and its work may stand still. The log has a queue with an end; what is said
/// when a host does not start, and that it is ready, go the same way.
#[test]
fn c2_02_a_host_whose_log_is_not_read_does_what_others_do_and_ends_in_order() {
    let ((_out, stdout), (_err, stderr)) = (full_pipe(), full_pipe());
    let host = Streams::serve(stdout.into(), stderr.into());
    host.works();
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn c2_02_a_host_that_cannot_say_why_it_does_not_start_ends_with_the_code_for_it() {
    let taken = Host::start(DataFolder::empty(), Options::default());
    let (_reader, stderr) = full_pipe();
    let folder = DataFolder::empty();
    let mut command = bare(Path::new(BINARY));
    command.arg("serve").arg("--data").arg(folder.path());
    command.args(["--listen", taken.ready.url.trim_start_matches("http://")]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    assert_eq!(ended(child), Some(76));
}

/// How an attempt that was open when the host was told to end came out.
fn stopped_in_the_middle(drain: &str, moves_on: impl FnOnce(&mut Desk)) -> String {
    let mut desk = Desk::open_with(Way::Plain, Options::default().with("AMENDS_SERVER_DRAIN", drain));
    desk.hold(Operation::ReserveFlight);
    desk.begin("trip", "T1");
    assert!(desk.asked(Operation::ReserveFlight));
    desk.host.terminate();
    desk.host.until_logged(|line| line.contains("stopping: no new starts"));
    moves_on(&mut desk);
    assert!(desk.host.ended().success(), "{}", desk.host.log());
    desk.release(Operation::ReserveFlight);
    desk.host.restart();
    desk.book("T1");
    desk.ends("T1", &booked());
    let of_flight = |record: &&Value| record["step"] == "reserve-flight";
    let kinds: Vec<String> = desk.api().journal("T1").iter().filter(of_flight).map(|record| record["type"].to_string()).collect();
    kinds.join(" ")
}

/// The setting was shown in the log and given to the API; the engine had a constant of ten seconds. The clock goes on by more
/// than that while the attempt is open, and the host still waits.
#[test]
fn c2_04_a_stop_waits_for_open_attempts_as_long_as_the_setting_says() {
    let found = stopped_in_the_middle("1h", |desk| {
        desk.host.advance_ms(20_000);
        desk.release(Operation::ReserveFlight);
    });
    expect![[r#""intent" "done""#]].assert_eq(&found);
}

#[test]
fn c2_04_a_stop_without_time_to_drain_waits_for_nobody() {
    let found = stopped_in_the_middle("0s", |_| {});
    expect![[r#""intent" "unknown" "intent" "done""#]].assert_eq(&found);
}

/// What a cluster sets for a service called `amends-server` began as the settings of `[server]` do, and the host ended with 2.
#[test]
fn c2_07_a_host_starts_beside_a_service_that_is_named_as_its_settings_are() {
    let options = Options::default()
        .with("AMENDS_SERVER_SERVICE_HOST", "10.96.0.10")
        .with("AMENDS_SERVER_PORT", "tcp://10.96.0.10:8420")
        .with("AMENDS_SERVER_PORT_8420_TCP_ADDR", "10.96.0.10");
    let host = Host::start(DataFolder::empty(), options);
    host.until_logged(|line| line.contains("WARN") && line.contains("AMENDS_SERVER_PORT is passed over"));
}

/// A host that was upgraded under its feet, as by a package manager, refused each deploy as if the component were at fault. The
/// kind: what a process takes for granted while it lives. Its program is the one that it runs, wherever the file went.
#[test]
fn c2_09_a_host_deploys_although_its_executable_was_replaced_or_removed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = folder.path().join("amends");
    fs::hard_link(BINARY, &program).unwrap();
    let host = Host::start(DataFolder::empty(), Options { binary: program.clone(), ..Options::default() });
    let other = folder.path().join("other");
    fs::write(&other, "#!/bin/false\n").unwrap();
    fs::rename(&other, &program).unwrap();
    host.api().put("/v1/modules/order", &guest(Way::Plain, "order")).expect(201);
    fs::remove_file(&program).unwrap();
    host.api().put("/v1/modules/approval", &guest(Way::Plain, "approval")).expect(201);
}

/// One connection, for which the host needs no new file.
struct Connection(TcpStream);

impl Connection {
    /// The status and the body of an answer.
    #[track_caller]
    fn put(&mut self, path: &str, body: &[u8]) -> (String, String) {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body)).unwrap();
        let mut answer = Vec::new();
        loop {
            let mut bytes = [0; 4_096];
            let count = self.0.read(&mut bytes).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let len =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() == len.unwrap() {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

/// Where no descriptor was left for the compile worker, a deploy was refused with 422, as if the component were at fault. It is
/// the host that is unable, for now: 503 with a code of its own, and the same bytes are taken later.
#[test]
fn c2_09_a_host_without_descriptors_refuses_a_deploy_for_now_and_blames_no_component() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let stream = TcpStream::connect(host.ready.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection(stream);
    let wasm = guest(Way::Plain, "order");
    let (status, _) = connection.put("/v1/modules/order", b"no wasm");
    assert!(status.starts_with("HTTP/1.1 422"), "{status}");
    let pid = Pid::from_raw(i32::try_from(host.pid()).unwrap());
    let limit = |current: u64| prlimit(pid, Resource::Nofile, Rlimit { current: Some(current), maximum: Some(1_024) }).unwrap();
    limit(1);
    let (status, body) = connection.put("/v1/modules/order", &wasm);
    limit(1_024);
    assert!(status.starts_with("HTTP/1.1 503") && status.contains("retry-after"), "{status} {body}");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["error"]["code"], "host_unable", "{body}");
    assert!(body.contains("Too many open files"), "{body}");
    let (status, body) = connection.put("/v1/modules/order", &wasm);
    assert!(status.starts_with("HTTP/1.1 201"), "{status} {body}");
}

/// `check` had the built-in limits, and advised to raise what had been raised. The kind: two tools that read two configurations.
#[test]
fn c2_21_check_and_graph_have_the_limits_that_the_host_would_have() {
    let wasm = guest_path(Way::Plain, "order");
    let wasm = wasm.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("amends.toml");
    fs::write(&file, "[limits]\nwasm = \"16KiB\"\n").unwrap();
    let file = file.to_str().unwrap();
    for verb in ["check", "graph"] {
        assert_eq!(cli(&[], &[verb, wasm]).code, 0);
        for output in [
            cli(&[("AMENDS_LIMITS_WASM", "16KiB")], &[verb, wasm]),
            cli(&[("AMENDS_CONFIG", file)], &[verb, wasm]),
            cli(&[], &[verb, wasm, "--config", file]),
        ] {
            assert!(output.code == 1 && output.stderr.contains("bytes, and 16384 is the limit"), "{output:?}");
        }
        // A variable wins over the file.
        assert_eq!(cli(&[("AMENDS_LIMITS_WASM", "32MiB")], &[verb, wasm, "--config", file]).code, 0);
        let output = cli(&[("AMENDS_LIMITS_WASM", "0B")], &[verb, wasm]);
        assert!(output.code == 2 && output.stderr.contains("`wasm` in [limits] is 0B"), "{output:?}");
    }
}

/// An attempt is open, the clock of the machine is set, and the participant answers.
#[track_caller]
fn booked_though_the_clock_is_set_by(ms: i64) {
    let mut desk = Desk::open_with(Way::Plain, Options::default());
    let hour = |desk: &Desk| desk.api().saga("T1")["as_of"].as_str().unwrap()[..13].to_owned();
    desk.hold(Operation::ReserveFlight);
    desk.begin("trip", "T1");
    assert!(desk.asked(Operation::ReserveFlight));
    let before = hour(&desk);
    desk.host.set_clock_by(ms);
    let deadline = Instant::now() + PATIENCE;
    while hour(&desk) == before {
        assert!(Instant::now() < deadline, "the host's clock stands where it stood");
        thread::yield_now();
    }
    desk.release(Operation::ReserveFlight);
    desk.host.set_clock_by(-ms);
    desk.book("T1");
    desk.ends("T1", &booked());
    let attempts =
        desk.api().journal("T1").iter().filter(|record| record["type"] == "intent" && record["step"] == "reserve-flight").count();
    assert_eq!(attempts, 1, "the first one had all the time that its step allows");
}

/// The deadline of an attempt was a moment of the wall clock: set forward by an hour, it was past in an attempt of a second, and
/// the saga was rolled back; set back, it was an hour away. The kind: a span of time between two moments of a clock that is set.
/// How long an attempt, a stop or a connection may take is measured by a clock that nobody sets.
#[test]
fn c2_25_a_wall_clock_that_is_set_ends_no_attempt() {
    booked_though_the_clock_is_set_by(3_600_000);
    booked_though_the_clock_is_set_by(-3_600_000);
}
