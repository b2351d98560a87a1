//! The log of a host: lines wait in a bounded queue for a thread that writes them, so that logging never blocks and never fails.
//!
//! A line is lost when the queue is full or when it cannot be written. Lost lines are counted. The module knows files and bytes,
//! and nothing of what a line says.
//!
//! `tracing-appender` bounds its queue in lines, which may be 4 KiB each here; it does not count what the sink refused, and it
//! prints to stdout when it cannot flush, which panics when stdout is closed.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    collections::VecDeque,
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::LogFormat;

/// Bytes that wait to be written: some 20,000 usual lines, which is a second of a busy host, and little beside the host's memory.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// How long the writer waits before it tries again where the sink does not block and is full.
const FULL_SINK_PAUSE: Duration = Duration::from_millis(20);

/// A file that lines are written to by a thread of its own. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    bytes_max: usize,
    lost: Counter,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Of the lines that wait.
    bytes: usize,
    /// The writer has a line that it took from the queue.
    writing: bool,
}

impl Outlet {
    /// The standard error of this process.
    pub(crate) fn stderr() -> io::Result<Self> {
        Self::of(io::stderr(), "log")
    }

    /// The standard output of this process.
    pub(crate) fn stdout() -> io::Result<Self> {
        Self::of(io::stdout(), "stdout")
    }

    /// A descriptor of its own: a writer that is blocked must not hold a lock that others wait for.
    fn of(stream: impl AsFd, thread: &str) -> io::Result<Self> {
        Self::start(File::from(stream.as_fd().try_clone_to_owned()?), thread, QUEUE_BYTES_MAX)
    }

    fn start(sink: impl Write + Send + 'static, thread: &str, bytes_max: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), bytes_max, lost: Counter::default() });
        let of_writer = Arc::clone(&shared);
        // Nobody waits for this thread: a sink that blocks for ever ends with the process.
        thread::Builder::new().name(thread.to_owned()).spawn(move || write_lines(sink, &of_writer))?;
        Ok(Self(shared))
    }

    /// Queues a line, or loses it. Never blocks.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue();
        if queue.bytes.saturating_add(line.len()) > self.0.bytes_max {
            self.0.lost.inc();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Waits until everything that was queued is written or lost, but not longer than this.
    pub(crate) fn flush(&self, longest: Duration) {
        let unwritten = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(self.0.queue(), longest, unwritten));
    }

    /// How many lines were lost.
    pub(crate) fn lost(&self) -> Counter {
        self.0.lost.clone()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, once there is one.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.queue();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.writing = true;
                return line;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self) {
        self.queue().writing = false;
        self.changed.notify_all();
    }
}

/// Writes lines for as long as the process lives. Says how many were lost as soon as one can be written again.
fn write_lines(mut sink: impl Write, shared: &Shared) {
    let mut lost_before = 0;
    loop {
        let line = shared.next();
        let written = write_whole(&mut sink, &line);
        if written.is_err() {
            shared.lost.inc();
        }
        shared.written();
        let lost = shared.lost.get();
        if written.is_ok() && lost > lost_before {
            tracing::warn!(
                lines = lost - lost_before,
                "lines of this log were lost: they were not read, or could not be written"
            );
            lost_before = lost;
        }
    }
}

/// A sink that somebody else has set not to block, as a terminal shared with another program, is tried again where it is full.
fn write_whole(sink: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match sink.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => line = &line[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_SINK_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The subscriber of `tracing` gives each line in one piece.
impl Write for &Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Sends what `tracing` is told, and what panics say, to standard error from now on.
pub(crate) fn start(format: LogFormat) -> io::Result<Outlet> {
    let outlet = Outlet::stderr()?;
    let asked = std::env::var("AMENDS_LOG").unwrap_or_default();
    let parsed = EnvFilter::try_new(if asked.is_empty() { "info" } else { &asked });
    let bad = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Its own errors go to stderr by `eprintln!`, which panics when stderr is closed.
    let log = tracing_subscriber::fmt().with_writer(outlet.clone()).with_env_filter(filter).with_ansi(colours);
    let log = log.log_internal_errors(false);
    let set = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    // Set already, by whoever embeds us: their log it is.
    drop(set);
    panic::set_hook(Box::new(say_panic));
    if let Some(error) = bad {
        tracing::warn!(
            error,
            "AMENDS_LOG=\"{}\" is no filter and is passed over; write it as `info` or `amends=debug`",
            asked.escape_debug()
        );
    }
    Ok(outlet)
}

/// The usual hook writes to stderr itself, and waits there for whoever does not read it.
fn say_panic(info: &panic::PanicHookInfo<'_>) {
    let message = message_of(info.payload());
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(thread, place, "panicked: {message}\n{backtrace}"),
        _ => tracing::error!(thread, place, "panicked: {message}"),
    }
}

/// What a panic says.
fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A sink that says what it is given, and takes it when it is told how.
    struct Steered {
        given: Sender<Vec<u8>>,
        answers: Receiver<io::Result<usize>>,
    }

    impl Write for Steered {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.given.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.answers.recv().map_err(io::Error::other)?
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn steered(bytes_max: usize) -> (Outlet, Receiver<Vec<u8>>, Sender<io::Result<usize>>) {
        let (given, seen) = channel();
        let (answer, answers) = channel();
        (Outlet::start(Steered { given, answers }, "log", bytes_max).unwrap(), seen, answer)
    }

    fn next(seen: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(seen.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// A log that nobody reads stopped whoever logged, which were all guests. The queue is what is kept for a reader that is late;
    /// beyond it lines are lost, those that came first are kept, and who logs goes on.
    #[test]
    fn c2_02_a_sink_that_blocks_holds_up_nobody_and_costs_the_lines_that_do_not_fit() {
        let (outlet, seen, answer) = steered(10);
        outlet.push(b"first\n");
        assert_eq!(next(&seen), "first\n");
        // The writer is in the sink from here on.
        for line in ["five\n", "six\n", "seven\n", "7\n"] {
            outlet.push(line.as_bytes());
        }
        assert_eq!(outlet.lost().get(), 2, "beside `five` and `six`, of 9 bytes together, neither `seven` nor `7` fits");
        outlet.flush(Duration::from_millis(1));
        for line in ["first\n", "five\n", "six\n"] {
            answer.send(Ok(line.len())).unwrap();
        }
        assert_eq!((next(&seen), next(&seen)), ("five\n".to_owned(), "six\n".to_owned()));
        outlet.flush(PATIENCE);
        assert!(seen.try_recv().is_err());
    }

    /// An error of the sink was printed to the same sink, and that panicked in the middle of an attempt. It costs the line.
    #[test]
    fn c2_01_a_sink_that_fails_costs_the_line_and_the_next_one_is_tried() {
        let (outlet, seen, answer) = steered(100);
        for (line, said) in
            [("full\n", Err(io::ErrorKind::StorageFull.into())), ("gone\n", Err(io::ErrorKind::BrokenPipe.into()))]
        {
            outlet.push(line.as_bytes());
            assert_eq!(next(&seen), line);
            answer.send(said).unwrap();
            outlet.flush(PATIENCE);
        }
        assert_eq!(outlet.lost().get(), 2);
        outlet.push(b"slowly\n");
        for said in [Ok(4), Err(io::ErrorKind::Interrupted.into()), Err(io::ErrorKind::WouldBlock.into()), Ok(3)] {
            next(&seen);
            answer.send(said).unwrap();
        }
        outlet.flush(PATIENCE);
        assert_eq!(outlet.lost().get(), 2, "a line that is written in pieces is written");
    }

    #[test]
    fn a_panic_says_what_it_was_given() {
        let of = |panic: Box<dyn Any + Send>| message_of(panic.as_ref()).to_owned();
        assert_eq!(of(Box::new("text")), "text");
        assert_eq!(of(Box::new(format!("{}", 1))), "1");
        assert_eq!(of(Box::new(1)), "a panic without a message");
    }
}
