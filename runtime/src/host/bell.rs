//! How attempts that wait for the host, and others, wake the thread of guests that is to go on.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

use crate::journal::StreamId;

/// The bell of one thread.
#[derive(Default)]
pub(super) struct Bell {
    news: Mutex<News>,
    is_rung: AtomicBool,
    thread: AtomicWaker,
}

/// What a thread is to know.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Which of its attempts are to go on.
    pub(super) rang: Vec<usize>,
    /// The streams whose attempts are to end.
    pub(super) ended: Vec<Arc<StreamId>>,
}

impl Bell {
    /// There is something else to do than to go on with one's attempts.
    pub(super) fn call(&self) {
        self.is_rung.store(true, Ordering::Release);
        self.thread.wake();
    }

    /// Somebody rang, or called, since it was last listened to.
    pub(super) fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Relaxed)
    }

    /// The attempts of this stream are to end.
    pub(super) fn end(&self, of: Arc<StreamId>) {
        self.news().ended.push(of);
        self.call();
    }

    /// What is new since the last time.
    pub(super) fn answer(&self, into: &mut News) {
        if self.is_rung.swap(false, Ordering::Acquire) {
            let mut news = self.news();
            into.rang.append(&mut news.rang);
            into.ended.append(&mut news.ended);
        }
    }

    /// Ends when it rings.
    pub(super) async fn rings(&self) {
        poll_fn(|context| {
            self.thread.register(context.waker());
            if self.is_rung.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn ring(&self, who: usize) {
        self.news().rang.push(who);
        self.call();
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt is woken by: it rings once, until it is polled again.
pub(super) struct Rope {
    who: usize,
    is_pulled: AtomicBool,
    bell: Arc<Bell>,
}

impl Rope {
    pub(super) fn new(who: usize, bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { who, is_pulled: AtomicBool::new(false), bell: Arc::clone(bell) })
    }

    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// The attempt is polled now: what wakes it from here on is news.
    pub(super) fn let_go(&self) {
        self.is_pulled.store(false, Ordering::Release);
    }

    /// It is to be polled again.
    pub(super) fn is_pulled(&self) -> bool {
        self.is_pulled.load(Ordering::Acquire)
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_pulled.swap(true, Ordering::AcqRel) {
            self.bell.ring(self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_rope_rings_once_until_its_attempt_is_polled_and_no_ring_is_lost() {
        let bell = Arc::new(Bell::default());
        let (rope, mut news) = (Rope::new(7, &bell), News::default());
        assert_eq!(bell.rings().now_or_never(), None);
        rope.waker().wake();
        rope.waker().wake();
        assert_eq!(bell.rings().now_or_never(), Some(()), "it rang before it was listened to");
        bell.answer(&mut news);
        assert_eq!((news.rang.as_slice(), rope.is_pulled(), bell.is_rung()), (&[7][..], true, false));
        rope.let_go();
        rope.waker().wake();
        bell.answer(&mut news);
        assert_eq!(news.rang, [7, 7]);
        bell.call();
        assert_eq!(bell.rings().now_or_never(), Some(()));
    }
}
