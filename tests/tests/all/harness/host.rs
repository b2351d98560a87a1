//! One host: the real binary in its own process, on its own folder. Tests kill it and start it again.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    api::{Api, Traffic},
    folder::DataFolder,
    process::{Log, Process, bare, set_clock, spawn},
};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_amends-under-test");

/// How a host is started.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    pub(crate) traffic: Traffic,
    /// Environment variables in addition to those of every host.
    pub(crate) environment: Vec<(String, String)>,
    /// How far its clock is ahead of the machine's.
    pub(crate) clock_ms: u64,
    /// A command that restricts the process and then executes the host.
    pub(crate) under: Vec<String>,
    /// The port of a host that is started again at once when it dies, without its failpoint.
    pub(crate) supervised: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            binary: BINARY.into(),
            traffic: Traffic::of_environment(),
            environment: Vec::new(),
            clock_ms: 0,
            under: Vec::new(),
            supervised: None,
        }
    }
}

impl Options {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the host by this command, whose last arguments are the command of the host.
    pub(crate) fn under(self, command: &[&str]) -> Self {
        Self { under: command.iter().map(|word| (*word).to_owned()).collect(), ..self }
    }

    /// Supervised, on a port that was free a moment ago.
    pub(crate) fn supervised(self) -> Self {
        Self { supervised: Some(free_port()), ..self }
    }

    /// The host kills itself when it reaches this failpoint for the nth time.
    pub(crate) fn dies_at(self, failpoint: &str) -> Self {
        self.with("AMENDS_FAILPOINT", failpoint)
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}

/// The ready line of a host.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) seconds: f64,
    /// The number of sagas that had not ended.
    pub(crate) recovered: u64,
}

/// A host that did not become ready.
#[derive(Debug)]
pub(crate) struct NotReady {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

/// A running host. It is killed on drop.
pub(crate) struct Host {
    process: Process,
    pub(crate) ready: Ready,
    pub(crate) folder: DataFolder,
    log: Arc<Log>,
    options: Options,
    _place: Place,
}

impl Host {
    /// Starts a host on this folder with these options.
    #[track_caller]
    pub(crate) fn start(folder: DataFolder, options: Options) -> Self {
        let (place, log) = (Place::take(), Arc::default());
        match spawn(folder.path(), &log, &options) {
            Ok((process, ready)) => Self { process, ready, folder, log, options, _place: place },
            Err(not_ready) => panic!("the host did not start: {not_ready:?}"),
        }
    }

    pub(crate) fn api(&self) -> Api {
        let api = Api::new(&self.ready.url, self.options.traffic);
        match self.options.supervised {
            Some(_) => api.outliving(&self.process.lives),
            None => api,
        }
    }

    /// The process id of the current life.
    pub(crate) fn pid(&self) -> u32 {
        self.process.lives.current().pid.unwrap_or(self.process.pid)
    }

    /// The number of starts of a supervised host.
    pub(crate) fn lives(&self) -> usize {
        self.process.lives.current().begun
    }

    /// Moves its clock ahead, also while it is dead.
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.options.clock_ms += ms;
        if self.options.supervised.is_some() {
            set_clock(self.folder.path(), self.options.clock_ms);
        }
        self.process.tell(&ms.to_string()).unwrap_or_else(|error| panic!("cannot steer the clock: {error}"));
    }

    /// Sets its wall clock forward or back.
    pub(crate) fn set_clock_by(&mut self, ms: i64) {
        self.process.tell(&format!("set {ms}")).unwrap_or_else(|error| panic!("cannot set the clock: {error}"));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.died();
    }

    /// Waits until the host was killed, by itself or by a participant.
    #[track_caller]
    pub(crate) fn died(&mut self) {
        let status = self.process.ended();
        assert_eq!(status.signal(), Some(9), "the host ended otherwise: {status}\n{}", self.log());
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends SIGTERM, and waits for the end.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.process.ended()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.ended()
    }

    /// Kills the host if it still runs, and starts it again on its folder, without its failpoint.
    #[track_caller]
    pub(crate) fn restart(&mut self) -> &Ready {
        let mut options = self.options.clone();
        options.environment.retain(|(name, _)| name != "AMENDS_FAILPOINT");
        self.restart_with(options)
    }

    /// Starts it again after this time, during which no host ran.
    #[track_caller]
    pub(crate) fn restart_later_ms(&mut self, ms: u64) -> &Ready {
        self.options.clock_ms += ms;
        self.restart()
    }

    #[track_caller]
    pub(crate) fn restart_with(&mut self, options: Options) -> &Ready {
        self.process.signal(Signal::KILL);
        self.process.ended();
        let clock_ms = self.options.clock_ms;
        self.options = Options { clock_ms, ..options };
        match spawn(self.folder.path(), &self.log, &self.options) {
            Ok((process, ready)) => (self.process, self.ready) = (process, ready),
            Err(not_ready) => panic!("the host did not start again: {not_ready:?}\n{}", self.log()),
        }
        &self.ready
    }

    pub(crate) fn options(&self) -> Options {
        self.options.clone()
    }

    /// Its whole log.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line in its log that matches and that no earlier call returned.
    #[track_caller]
    pub(crate) fn until_logged(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.log.next(wanted).unwrap_or_else(|| panic!("the log does not come to it:\n{}", self.log()))
    }

    /// Runs a verb of the command line against it.
    pub(crate) fn cli(&self, arguments: &[&str]) -> CommandOutput {
        cli(&[("AMENDS_HOST", &self.ready.url)], arguments)
    }

    /// A number of `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in the status of process {}", self.pid()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of the host's log:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        self.process.signal(Signal::KILL);
        self.process.reap();
    }
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs the command line without a host.
pub(crate) fn cli(environment: &[(&str, &str)], arguments: &[&str]) -> CommandOutput {
    let mut command = bare(Path::new(BINARY));
    command.args(arguments).envs(environment.iter().copied()).env("NO_COLOR", "1").env("USER", "tester").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {BINARY}: {error}"));
    let pid = Pid::from_child(&child);
    let (send, ended) = channel();
    // After the time limit there is no receiver.
    thread::spawn(move || drop(send.send(child.wait_with_output())));
    match ended.recv_timeout(CLI_PATIENCE) {
        Ok(Ok(output)) => output.into(),
        Ok(Err(error)) => panic!("`amends {}`: {error}", arguments.join(" ")),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("`amends {}` does not end", arguments.join(" "))
        }
    }
}

/// Longer than the longest wait of a command in the tests.
const CLI_PATIENCE: Duration = Duration::from_secs(400);

/// Starts a host that must fail to start; returns its exit code and its messages.
#[track_caller]
pub(crate) fn refuses_to_start(data: &Path, options: &Options) -> NotReady {
    match spawn(data, &Arc::default(), options) {
        Ok((process, ready)) => {
            process.signal(Signal::KILL);
            panic!("the host started: {ready:?}");
        }
        Err(not_ready) => not_ready,
    }
}

/// At most four hosts run at a time: more would only wait for each other.
struct Place;

const PLACES: usize = 4;

static TAKEN: Mutex<usize> = Mutex::new(0);

static LEFT: Condvar = Condvar::new();

impl Place {
    fn take() -> Self {
        let mut taken = Self::taken();
        while *taken >= PLACES {
            taken = LEFT.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Self
    }

    fn taken() -> MutexGuard<'static, usize> {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *Self::taken() -= 1;
        LEFT.notify_one();
    }
}
