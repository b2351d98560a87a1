//! The bash that runs the commands of a page, as somebody types them: in one folder, with variables that stay, and with
//! programs in the background. The ports that the pages name are replaced by free ones.

use std::{
    env, fs,
    io::{BufRead, BufReader, PipeReader, Write, pipe},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::harness::{api::PATIENCE, folder::in_memory, guests::guest_folder, host::BINARY, process::bare};

/// The ports of the host and of the participants on the pages.
const PORTS: [u16; 2] = [8420, 8430];

/// Ends what a command prints; its exit code and a line break follow.
const END: char = '\x1e';

pub(super) struct Shell {
    bash: Child,
    stdin: ChildStdin,
    ended: Receiver<(String, i32)>,
    /// The programs in the background, each with the end of what it prints.
    services: Vec<Receiver<()>>,
    ports: [u16; 2],
    /// How far the clock of the next host is ahead of the machine's, in seconds.
    slept: u64,
    folder: TempDir,
}

impl Shell {
    /// A bash in an empty folder with `target/debug` and `target/guests`.
    pub(super) fn start() -> Self {
        let folder = in_memory();
        let ports = [free_port(), free_port()];
        let programs = folder.path().join("target/debug");
        fs::create_dir_all(&programs).unwrap();
        symlink(BINARY, programs.join("amends")).unwrap();
        symlink(participants(), programs.join("participants")).unwrap();
        symlink(guest_folder(), folder.path().join("target/guests")).unwrap();
        let (reader, writer) = pipe().unwrap();
        let mut command = bare(Path::new("bash"));
        command.args(["--norc", "--noprofile"]).current_dir(folder.path()).process_group(0);
        command.env("PATH", format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default()));
        command.env("AMENDS_LISTEN", format!("127.0.0.1:{}", ports[0]));
        command.env("AMENDS_HOST", format!("http://127.0.0.1:{}", ports[0]));
        command.env("USER", "ann").env("NO_COLOR", "1").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut bash = command.spawn().unwrap_or_else(|error| panic!("cannot run bash: {error}"));
        let stdin = bash.stdin.take().unwrap();
        let (tell, ended) = channel();
        thread::spawn(move || read(reader, &tell));
        let mut shell = Self { bash, stdin, ended, services: Vec::new(), ports, slept: 0, folder };
        // The one that this shell started, and not one of somebody else on this machine.
        shell.send("pidof() { local pid=pid_$1; echo ${!pid}; }");
        shell
    }

    /// Runs a command to its end: what it printed, and its exit code. Of a program in the background, it is the first line.
    /// `sleep` takes no time: it sets the clock of the next host ahead.
    pub(super) fn run(&mut self, command: &str) -> (String, i32) {
        if let Some(seconds) = command.strip_prefix("sleep ").and_then(|seconds| seconds.parse::<u64>().ok()) {
            self.slept += seconds;
            return self.send(&format!("export AMENDS_CLOCK=steered:{}", self.slept * 1_000));
        }
        let command = self.as_run_here(command);
        let (output, code) = match command.strip_suffix(" &") {
            Some(service) => (self.serve(service), 0),
            // On lines of their own, as the command may end in a comment. Nobody reads what the next commands are.
            None => self.send(&format!("{{ {command}\n}} < /dev/null")),
        };
        if command.starts_with("kill ") {
            // The folder of a host is free when it has ended.
            self.services.drain(..).next().map(|ended| ended.recv_timeout(PATIENCE));
        }
        (self.as_on_the_page(output.trim_end_matches('\n')), code)
    }

    fn serve(&mut self, service: &str) -> String {
        let number = self.services.len();
        let fifo = self.folder.path().join(format!("service-{number}"));
        let program = service.split(' ').next().unwrap_or_default();
        let address = if service == "participants" { format!(" 127.0.0.1:{}", self.ports[1]) } else { String::new() };
        let (output, code) = self.send(&format!(
            "rm -f {fifo} && mkfifo {fifo} && {{ {service}{address} > {fifo} 2>&1 < /dev/null & }} && pid_{program}=$! && disown",
            fifo = fifo.display()
        ));
        assert_eq!((output.as_str(), code), ("", 0), "`{service}` does not start");
        let (line_tell, line) = channel();
        let (tell, ended) = channel();
        thread::spawn(move || {
            for line in BufReader::new(fs::File::open(fifo).unwrap()).lines().map_while(Result::ok) {
                // Only the first is waited for.
                let _ = line_tell.send(line);
            }
            // Whoever waits for it may have given up.
            let _ = tell.send(());
        });
        self.services.push(ended);
        line.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("`{service}` prints nothing: {error}"))
    }

    fn send(&mut self, text: &str) -> (String, i32) {
        writeln!(self.stdin, "{text}\nprintf '\\036%s\\n' $?").unwrap();
        self.ended.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("`{text}` does not end: {error}"))
    }

    /// What is waited for may take longer here than where the page was recorded.
    fn as_run_here(&self, text: &str) -> String {
        let text = if text.contains("amends start ") { text.replace(" --wait ", " --wait=100s ") } else { text.to_owned() };
        PORTS.iter().zip(self.ports).fold(text, |text, (page, ours)| with_port(&text, *page, ours))
    }

    fn as_on_the_page(&self, text: &str) -> String {
        PORTS.iter().zip(self.ports).fold(text.to_owned(), |text, (page, ours)| with_port(&text, ours, *page))
    }
}

/// The text with another port, where it has this one. The first digits of a longer number are no port: an amount of 45000 was one on a
/// machine that gave this shell the port 4500.
fn with_port(text: &str, from: u16, to: u16) -> String {
    let from = format!(":{from}");
    let mut parts = text.split(&from);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_longer = part.starts_with(|next: char| next.is_ascii_digit());
        whole += if is_longer { from.clone() } else { format!(":{to}") }.as_str();
        whole += part;
    }
    whole
}

#[test]
fn a_port_is_replaced_where_it_is_one() {
    let text = r#"http://127.0.0.1:4500/state {"cents":45000,"port":4500}"#;
    assert_eq!(with_port(text, 4500, 8430), r#"http://127.0.0.1:8430/state {"cents":45000,"port":8430}"#);
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.bash.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.bash.wait();
    }
}

/// Tells what each command printed, until bash ends.
fn read(reader: PipeReader, tell: &Sender<(String, i32)>) {
    let mut reader = BufReader::new(reader);
    loop {
        let (mut output, mut code) = (Vec::new(), String::new());
        let Ok(1..) = reader.read_until(END as u8, &mut output) else { return };
        let Ok(1..) = reader.read_line(&mut code) else { return };
        output.pop();
        if tell.send((String::from_utf8_lossy(&output).into_owned(), code.trim().parse().unwrap_or(-1))).is_err() {
            return;
        }
    }
}

/// Built beside the host by `cargo test --workspace`.
fn participants() -> PathBuf {
    let path = Path::new(BINARY).with_file_name("participants");
    assert!(path.is_file(), "{} is missing; `cargo build -p example-participants` makes it", path.display());
    path
}

/// A free port of four digits, as those of the pages: some commands cut lines at a column.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8000).unwrap_or_default();
    loop {
        let port = 2000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 8000;
        if !PORTS.contains(&port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
