//! Clients that do not take what is written to them: how long the host waits for each, and when it lets one go.
//!
//! Whoever takes nothing for a while is let go, and sooner while somebody waits for the memory that its answer holds. As long as its
//! answer holds memory that is counted, a byte now and then is not enough: what a client takes must be worth the time. What holds
//! none may be taken as slowly as the client likes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep_until},
};

use crate::held::Holding;

/// How long the host waits for a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// At most, while the client takes nothing.
    pub(super) idle: Duration,
    /// The same while somebody else waits for the memory that its answer holds.
    pub(super) wanted: Duration,
    /// For so many bytes of an answer that holds memory, a second of waiting is forgotten.
    pub(super) bytes_per_second: u32,
    /// The same while somebody else waits for that memory.
    pub(super) wanted_bytes_per_second: u32,
}

impl Default for Patience {
    /// Thirty seconds outlast a client that is busy with what it read. At 32 KiB a second nobody holds a megabyte for longer than a
    /// minute.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            wanted: Duration::from_secs(5),
            bytes_per_second: 32 << 10,
            wanted_bytes_per_second: 256 << 10,
        }
    }
}

/// What an answer holds while the host waits for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Little,
    Memory,
    WantedMemory,
}

/// What is left of the patience with one client.
#[derive(Debug)]
struct Left {
    patience: Patience,
    left: Duration,
    /// Since when nothing was taken.
    waits_since: Option<Instant>,
}

impl Left {
    fn new(patience: Patience) -> Self {
        Self { patience, left: patience.idle, waits_since: None }
    }

    /// The client took something.
    fn took(&mut self, bytes: usize, now: Instant, holds: Holds) {
        let waited = self.waits_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let pace = match holds {
            Holds::Little => return self.left = self.patience.idle,
            Holds::Memory => self.patience.bytes_per_second,
            Holds::WantedMemory => self.patience.wanted_bytes_per_second,
        };
        let worth = Duration::from_secs_f64(bytes as f64 / f64::from(pace));
        self.left = (self.left.saturating_sub(waited) + worth).min(self.patience.idle);
    }

    /// When the client is let go that takes nothing from now on.
    fn until(&mut self, now: Instant, holds: Holds) -> Instant {
        let since = *self.waits_since.get_or_insert(now);
        since + if holds == Holds::WantedMemory { self.left.min(self.patience.wanted) } else { self.left }
    }
}

/// What the answer holds that is sent on a connection, which the answer says.
#[derive(Debug, Default)]
pub(super) struct Sending(Mutex<Vec<Holding>>);

impl Sending {
    /// Another answer is sent from now on. What is left of those before it, which a client may have asked for at once, counts as well.
    pub(super) fn answer(&self, holding: Option<Holding>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|holding| holding.share().is_some());
        all.extend(holding);
    }

    fn holds(&self) -> Holds {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = all.iter().filter_map(Holding::share).map(|share| share.is_wanted()).max();
        match wanted {
            None => Holds::Little,
            Some(true) => Holds::WantedMemory,
            Some(false) => Holds::Memory,
        }
    }
}

/// A connection whose client must take what is written to it.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    sending: Arc<Sending>,
    left: Left,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, sending: Arc<Sending>, patience: Patience) -> Self {
        Self { stream, sending, left: Left::new(patience), timer: None }
    }

    fn paced(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let holds = self.sending.holds();
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.left.took(bytes, Instant::now(), holds);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(context, holds),
        }
    }

    fn wait(&mut self, context: &mut Context<'_>, mut holds: Holds) -> Poll<io::Result<usize>> {
        loop {
            let now = Instant::now();
            let until = self.left.until(now, holds);
            if now >= until {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")));
            }
            // Somebody may begin to want the memory meanwhile.
            let look = until.min(now + self.left.patience.wanted).into();
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(look)));
            timer.as_mut().reset(look);
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            holds = self.sending.holds();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, all: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, all);
        self.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After how many seconds a client is let go that takes so many bytes at the end of each span of so many seconds; none: within an
    /// hour it is not.
    fn let_go_after(bytes: usize, each: u32, holds: Holds) -> Option<u64> {
        let begin = Instant::now();
        let mut left = Left::new(Patience::default());
        for number in 0..3_600 / each {
            let (now, next) = (begin + SECOND * each * number, begin + SECOND * each * (number + 1));
            let until = left.until(now, holds);
            if until <= next {
                return Some((until - begin).as_secs());
            }
            left.took(bytes, next, holds);
        }
        None
    }

    /// 60 MiB were pinned for each client that did not read, for as long as it liked; a byte now and then made that no better.
    #[test]
    fn c2_29_who_takes_nothing_is_let_go_and_who_takes_little_while_its_answer_holds_memory() {
        assert_eq!(let_go_after(0, 3_600, Holds::Little), Some(30));
        assert_eq!(let_go_after(0, 3_600, Holds::Memory), Some(30));
        assert_eq!(let_go_after(0, 3_600, Holds::WantedMemory), Some(5));
        assert_eq!(let_go_after(1, 29, Holds::Memory), Some(30));
        assert_eq!(let_go_after(16 << 10, 1, Holds::Memory), Some(59));
        assert_eq!(let_go_after(33 << 10, 1, Holds::WantedMemory), Some(34));
    }

    #[test]
    fn c2_29_who_takes_slowly_but_steadily_is_not_let_go() {
        assert_eq!(let_go_after(1, 29, Holds::Little), None);
        assert_eq!(let_go_after(33 << 10, 1, Holds::Memory), None);
        assert_eq!(let_go_after(700 << 10, 20, Holds::Memory), None);
        assert_eq!(let_go_after(1 << 20, 3, Holds::WantedMemory), None);
    }
}
