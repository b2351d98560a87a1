//! What a guest says: log calls, standard output and standard error become lines of the host's log.
//!
//! All three share one budget per attempt; what is beyond is counted and dropped. Control characters never reach a terminal.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError},
};

use super::label::Label;
use crate::plain::escape;

/// One line of the log is cut after so many bytes.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What a line costs beside its bytes: what the host writes before each.
const LINE_COST: usize = 128;

/// How much of the end of standard error goes into the message of a trap: a panic's text is there.
const LAST_WORDS_BYTES_MAX: usize = 1 << 10;

/// The one outlet of an attempt.
#[derive(Clone)]
pub(super) struct Console(Arc<Inner>);

struct Inner {
    label: Arc<Label>,
    state: Mutex<State>,
}

struct State {
    bytes_left: usize,
    bytes_dropped: u64,
    lines: [Vec<u8>; 2],
    last_words: String,
}

/// Which of the two standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Console {
    /// An outlet for `bytes_max` bytes.
    pub(super) fn new(label: Arc<Label>, bytes_max: usize) -> Self {
        let state = State { bytes_left: bytes_max, bytes_dropped: 0, lines: [Vec::new(), Vec::new()], last_words: String::new() };
        Self(Arc::new(Inner { label, state: Mutex::new(state) }))
    }

    /// One of the standard streams.
    pub(super) fn stream(&self, stream: Stream) -> GuestStream {
        GuestStream { console: self.clone(), stream }
    }

    /// One message of the guest's own logger.
    pub(super) fn log(&self, level: Level, message: &str) {
        let mut state = self.state();
        if let Some(kept) = state.admit(message.as_bytes(), true) {
            self.0.label.emit(level, &escape(&String::from_utf8_lossy(kept)));
        }
    }

    /// What was said last on standard error, and the end of unfinished lines. Nothing is said after it.
    pub(super) fn close(&self) -> String {
        let mut state = self.state();
        for stream in [Stream::Out, Stream::Err] {
            let line = std::mem::take(&mut state.lines[stream as usize]);
            if !line.is_empty() {
                self.line(&mut state, stream, &line);
            }
        }
        if state.bytes_dropped > 0 {
            let text = format!("{} more bytes of output were dropped: the limit of this attempt is reached", state.bytes_dropped);
            self.0.label.emit(Level::WARN, &text);
            state.bytes_dropped = 0;
        }
        std::mem::take(&mut state.last_words)
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Some(piece) = state.admit(piece, piece.ends_with(b"\n")) else { continue };
            let line = &mut state.lines[stream as usize];
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || line.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(line);
                self.line(&mut state, stream, line.strip_suffix(b"\n").unwrap_or(&line));
            }
        }
    }

    fn line(&self, state: &mut State, stream: Stream, line: &[u8]) {
        let text = escape(&String::from_utf8_lossy(line));
        match stream {
            Stream::Out => self.0.label.emit(Level::INFO, &text),
            Stream::Err => {
                self.0.label.emit(Level::WARN, &text);
                state.remember(&text);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What of these bytes is within the budget; none if it is used up. A line costs, also an empty one.
    fn admit<'a>(&mut self, bytes: &'a [u8], is_line: bool) -> Option<&'a [u8]> {
        if self.bytes_left == 0 {
            self.bytes_dropped += bytes.len().max(1) as u64;
            return None;
        }
        let kept = bytes.len().min(self.bytes_left);
        self.bytes_left = (self.bytes_left - kept).saturating_sub(if is_line { LINE_COST } else { 0 });
        self.bytes_dropped += (bytes.len() - kept) as u64;
        Some(&bytes[..kept])
    }

    fn remember(&mut self, line: &str) {
        if !self.last_words.is_empty() {
            self.last_words.push('\n');
        }
        self.last_words.push_str(line);
        let mut start = self.last_words.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        while !self.last_words.is_char_boundary(start) {
            start += 1;
        }
        self.last_words.drain(..start);
    }
}

/// Standard output or standard error of a guest.
pub(super) struct GuestStream {
    console: Console,
    stream: Stream,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.console.stream(self.stream))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.console.stream(self.stream))
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.console.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        // Always ready: what is over the budget is dropped, and a guest that prints is not slowed by the log.
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.console.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_bomb_is_cut_at_the_budget_and_the_last_words_are_kept() {
        let console = Console::new(Arc::new(Label::nobody()), 1_000);
        console.write(Stream::Err, b"panicked at src/lib.rs\nno car\n");
        for _ in 0..1_000 {
            console.write(Stream::Out, &[b'x'; 10_000]);
        }
        let state = console.state();
        assert_eq!(state.bytes_left, 0);
        assert_eq!(state.bytes_dropped, 10_000_000 - (1_000 - 30 - 2 * LINE_COST as u64));
        assert!(state.lines[0].len() <= 1_000);
        drop(state);
        assert_eq!(console.close(), "panicked at src/lib.rs\nno car");
    }

    /// An empty message cost nothing, and the host wrote what it writes before each: 193 MB from one attempt.
    #[test]
    fn empty_messages_and_lines_use_up_the_budget() {
        for say in [|console: &Console| console.log(Level::INFO, ""), |console: &Console| console.write(Stream::Out, b"\n")] {
            let console = Console::new(Arc::new(Label::nobody()), 8 * (LINE_COST + 1));
            (0..100).for_each(|_| say(&console));
            let state = console.state();
            assert_eq!(state.bytes_left, 0);
            assert!(state.bytes_dropped >= 90, "{}", state.bytes_dropped);
        }
    }
}
