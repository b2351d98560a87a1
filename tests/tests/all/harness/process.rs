//! The process of a host: its start, signals, end and output. It does not use the API.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{
    api::PATIENCE,
    host::{NotReady, Options, Ready},
};

/// The process of a host, or of a shell that starts one again and again.
pub(super) struct Process {
    pub(super) pid: u32,
    is_group: bool,
    stdin: ChildStdin,
    pub(super) lives: Arc<Lives>,
    exited: Receiver<ExitStatus>,
    end: Option<ExitStatus>,
}

impl Process {
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (None, Some(pid)) = (self.end, pid) {
            // It may have ended by itself meanwhile.
            let _ = if self.is_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        }
    }

    #[track_caller]
    pub(super) fn ended(&mut self) -> ExitStatus {
        *self.end.get_or_insert_with(|| {
            self.exited.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("the host does not end: {error}"))
        })
    }

    /// Waits for its end, if that comes.
    pub(super) fn reap(&mut self) {
        self.end = self.end.or_else(|| self.exited.recv_timeout(PATIENCE).ok());
    }

    /// Writes a line to its stdin, unless it is dead.
    pub(super) fn tell(&mut self, line: &str) -> io::Result<()> {
        match self.end {
            None => writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()),
            Some(_) => Ok(()),
        }
    }
}

/// The number of ready lines of a host.
#[derive(Default)]
pub(crate) struct Lives {
    current: Mutex<Life>,
    changed: Condvar,
}

/// The life that a host is in, or was in before it died.
#[derive(Clone, Default)]
pub(crate) struct Life {
    pub(crate) begun: usize,
    /// Its process id, if it is not the process that was started.
    pub(super) pid: Option<u32>,
    ready: Option<String>,
}

impl Lives {
    pub(crate) fn current(&self) -> Life {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Life)) {
        change(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until the host was ready more often than `begun` times.
    pub(crate) fn after(&self, begun: usize) -> Option<Life> {
        let deadline = Instant::now() + PATIENCE;
        let mut life = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        while life.begun <= begun {
            let left = deadline.checked_duration_since(Instant::now())?;
            life = self.changed.wait_timeout(life, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(life.clone())
    }
}

/// The stderr of a host, in all of its lives.
#[derive(Default)]
pub(super) struct Log {
    lines: Mutex<Lines>,
    grew: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    /// The number of lines that `next` has examined.
    seen: usize,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn text(&self) -> String {
        self.lines().all.join("\n")
    }

    fn push(&self, line: String) {
        self.lines().all.push(line);
        self.grew.notify_all();
    }

    pub(super) fn next(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines();
        loop {
            while let Some(line) = lines.all.get(lines.seen).cloned() {
                lines.seen += 1;
                if wanted(&line) {
                    return Some(line);
                }
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = self.grew.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Starts a host and waits for its ready line.
pub(super) fn spawn(data: &Path, log: &Arc<Log>, options: &Options) -> Result<(Process, Ready), NotReady> {
    let written = log.lines().all.len();
    let mut command = serving(data, options);
    command.env("AMENDS_CLOCK", format!("steered:{}", options.clock_ms));
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {}: {error}", options.binary.display()));
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        panic!("the host has no stdin, stdout and stderr")
    };
    let logging = Arc::clone(log);
    let logged = thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| logging.push(line)));
    let lives = Arc::new(Lives::default());
    let (pid, is_group) = (child.id(), options.supervised.is_some());
    let mut process = Process { pid, is_group, stdin, lives: Arc::clone(&lives), exited: watched(child), end: None };
    let (send, ready_lines) = channel();
    thread::spawn(move || {
        // Read to its end, so that the host never waits for us.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match line.strip_prefix("pid ") {
                Some(pid) => lives.change(|life| life.pid = pid.parse().ok()),
                None => lives.change(|life| {
                    life.begun += 1;
                    life.ready = Some(line.clone());
                }),
            }
            // Only the first life is waited for here.
            let _ = send.send(lives.current().ready);
        }
    });
    loop {
        match ready_lines.recv_timeout(PATIENCE) {
            Ok(Some(line)) => return Ok((process, ready(&line))),
            Ok(None) => {}
            Err(_) => {
                process.signal(Signal::KILL);
                let end = process.ended();
                // It ends with the process, and a thread that reads lines does not panic.
                let _ = logged.join();
                return Err(NotReady { code: end.code(), stderr: log.lines().all[written..].join("\n") });
            }
        }
    }
}

/// The command of a host, or of a shell that starts one again and again.
fn serving(data: &Path, options: &Options) -> Command {
    let Some(port) = options.supervised else {
        let mut command = match options.under.split_first() {
            Some((program, arguments)) => {
                let mut command = bare(Path::new(program));
                command.args(arguments).arg(&options.binary);
                command
            }
            None => bare(&options.binary),
        };
        command.arg("serve").arg("--data").arg(data);
        if !options.environment.iter().any(|(name, _)| name == "AMENDS_LISTEN") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        return command;
    };
    let mut command = bare(Path::new("sh"));
    let serve = format!("\"$0\" serve --data \"$1\" --listen 127.0.0.1:{port}");
    // A shell says its process, and then is the host. Its clock goes on where that of the life before stood.
    let life = format!("AMENDS_CLOCK=steered:$(cat \"$2\") sh -c 'echo pid $$; exec {serve}' \"$0\" \"$1\"");
    // Where the tests are killed, nobody else ends the shell.
    let tests_run = format!("kill -0 {} 2>/dev/null", std::process::id());
    command.arg("-c").arg(format!("{life}; unset AMENDS_FAILPOINT; while {tests_run}; do {life}; done"));
    command.arg(&options.binary).arg(data).arg(clock_path(data)).process_group(0);
    set_clock(data, options.clock_ms);
    command
}

fn clock_path(data: &Path) -> PathBuf {
    data.with_extension("clock")
}

/// For the next life of a supervised host.
pub(super) fn set_clock(data: &Path, ms: u64) {
    let path = clock_path(data);
    fs::write(&path, ms.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// A command without anything of this process's environment that a host might read.
pub(crate) fn bare(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "TZ"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// The exit status of the process, once it has ended.
fn watched(mut child: Child) -> Receiver<ExitStatus> {
    let (tell, exited) = channel();
    thread::spawn(move || {
        let status = child.wait().unwrap_or_default();
        // Nobody waits for it any more when the test is over.
        let _ = tell.send(status);
    });
    exited
}

/// `amends 0.1.0 ready on http://127.0.0.1:8420 data=./amends-data recovered=12 in 0.08s`
fn ready(line: &str) -> Ready {
    let after = |mark: &str| line.split(mark).nth(1).and_then(|rest| rest.split(' ').next());
    let read = || {
        let url = after(" ready on ")?.to_owned();
        let recovered = after(" recovered=")?.parse().ok()?;
        let seconds = line.rsplit(" in ").next()?.strip_suffix('s')?.parse().ok()?;
        Some(Ready { url, seconds, recovered })
    };
    read().unwrap_or_else(|| panic!("no ready line: {line}"))
}
