//! A guest's time: what it uses of a processor is metered, and a panic while it runs is caught.
//!
//! It must not know what a guest does; it knows when it has the thread and for how long.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{bell::Bell, groups::Way, label::Label};

/// A guest that has the thread, and since when.
struct Turn {
    label: Arc<Label>,
    began: Instant,
}

/// One guest thread, as the others see it.
#[derive(Default)]
pub(super) struct Lane {
    running: Mutex<Option<Turn>>,
    bell: Arc<Bell>,
    /// Attempts of this thread that could go on.
    ready: AtomicUsize,
    /// Attempts that have not begun, on any thread.
    queued: Arc<AtomicUsize>,
    /// Calls that went on without giving the thread back.
    passes: AtomicU32,
    /// The way of the call that the job began last which has the thread, as a number; 0: it began none.
    turned: AtomicU8,
    /// What is dropped now is a job that is to end before its time.
    ends: AtomicBool,
}

/// So many calls of one job may follow each other at most before the thread looks at its network: about a millisecond.
const PASSES_MAX: u32 = 16;

impl Lane {
    pub(super) fn new(queued: Arc<AtomicUsize>) -> Self {
        Self { queued, ..Self::default() }
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    pub(super) fn set_ready(&self, count: usize) {
        self.ready.store(count, Ordering::Relaxed);
    }

    /// Between two calls of one job, of which the next one leads this way: whoever else wants the thread may have it first. Where
    /// nobody does, that is some loads from memory.
    pub(super) async fn pass(&self, way: Way) {
        self.turned.store(1 + way as u8, Ordering::Relaxed);
        let others = self.ready.load(Ordering::Relaxed) > 0 || self.queued.load(Ordering::Relaxed) > 0 || self.bell.is_rung();
        if others || self.passes.fetch_add(1, Ordering::Relaxed) % PASSES_MAX == PASSES_MAX - 1 {
            give_way().await;
        }
    }

    /// The way that the job leads that had the thread, if it began another call.
    pub(super) fn turned(&self) -> Option<Way> {
        let turned = self.turned.swap(0, Ordering::Relaxed);
        [Way::Back, Way::Forward].into_iter().find(|way| turned == 1 + *way as u8)
    }

    /// Drops a job before its time, on this thread: what it holds can ask [`Lane::ends`] meanwhile.
    pub(super) fn end<T>(&self, drop: impl FnOnce() -> T) -> T {
        self.ends.store(true, Ordering::Relaxed);
        let dropped = drop();
        self.ends.store(false, Ordering::Relaxed);
        dropped
    }

    /// A job that is dropped unfinished ends before its time. If not, the host closes.
    pub(super) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// The attempt whose guest has the thread now.
    pub(super) fn running(&self) -> Option<Arc<Label>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|turn| turn.label.clone())
    }

    /// How long a guest has had the thread without giving it back.
    pub(super) fn turn(&self) -> Duration {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map_or(Duration::ZERO, |turn| turn.began.elapsed())
    }

    fn set(&self, running: Option<Arc<Label>>) {
        let turn = running.map(|label| Turn { label, began: Instant::now() });
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }
}

/// Gives the thread back, and wants it again.
pub(super) async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Processor time of one attempt. Only the thread that runs it writes.
#[derive(Default)]
pub(super) struct Meter {
    used_ns: AtomicU64,
    began_ns: AtomicU64,
}

impl Meter {
    /// What was used up to now. Called from within the turn, on its thread.
    pub(super) fn used(&self) -> Duration {
        let turn = thread_ns().saturating_sub(self.began_ns.load(Ordering::Relaxed));
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed) + turn)
    }

    fn begin(&self) {
        self.began_ns.store(thread_ns_lately(), Ordering::Relaxed);
    }

    fn end(&self) {
        let now = thread_ns();
        LAST_READ.set(Some((now, Instant::now())));
        let turn = now.saturating_sub(self.began_ns.load(Ordering::Relaxed));
        self.used_ns.fetch_add(turn, Ordering::Relaxed);
        SPENT_NS.set(SPENT_NS.get() + turn);
    }
}

/// The time that this thread had a processor: a busy machine does not use up a guest's budget.
fn thread_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What guests used of a processor on this thread since this was asked last.
pub(super) fn spent() -> Duration {
    Duration::from_nanos(SPENT_NS.take())
}

thread_local! {
    /// The part that no one has asked for yet.
    static SPENT_NS: Cell<u64> = const { Cell::new(0) };

    /// What the clock of this thread said at the end of the last turn, and when that was.
    static LAST_READ: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

/// Between two turns that follow each other is only what the host does for the next guest. One reading of the thread's clock, which is
/// a call of the kernel, is the end of one and the begin of the next then. Nobody is charged more than this for what others did.
const LATELY: Duration = Duration::from_micros(100);

fn thread_ns_lately() -> u64 {
    match LAST_READ.get() {
        Some((ns, at)) if at.elapsed() < LATELY => ns,
        Some(_) | None => thread_ns(),
    }
}

/// A future that is metered and cannot panic into its caller, neither when it runs nor when it is dropped.
pub(super) struct Turns<'a, T> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
    meter: Arc<Meter>,
    lane: &'a Lane,
    label: Arc<Label>,
}

/// The panic's message.
pub(super) struct Panicked(pub(super) String);

impl<'a, T> Turns<'a, T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'a, meter: Arc<Meter>, lane: &'a Lane, label: Arc<Label>) -> Self {
        Self { future: Some(Box::pin(future)), meter, lane, label }
    }

    /// Drops what runs, and everything that it owns.
    pub(super) fn stop(&mut self) -> Result<(), Panicked> {
        let future = self.future.take();
        catch_unwind(AssertUnwindSafe(|| drop(future))).map_err(panicked)
    }
}

impl<T> Future for Turns<'_, T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = this.future.as_mut() else {
            return Poll::Ready(Err(Panicked("polled after its end".to_owned())));
        };
        this.lane.set(Some(this.label.clone()));
        this.meter.begin();
        let end = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        this.meter.end();
        this.lane.set(None);
        match end {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panicked(panic))),
        }
    }
}

impl<T> Drop for Turns<'_, T> {
    fn drop(&mut self) {
        if let Err(Panicked(message)) = self.stop() {
            tracing::error!(message, "dropping a guest panicked");
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Panicked {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Panicked(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose guests stood still behind a blocked function said that it was ready. What tells is a turn that does not end.
    #[tokio::test]
    async fn c2_02_a_turn_lasts_from_when_a_guest_gets_its_thread_until_it_gives_it_back() {
        let (lane, label) = (Lane::default(), Arc::new(Label::nobody()));
        let blocked = async {
            let begun = Instant::now();
            while lane.turn() < Duration::from_millis(2) {}
            begun.elapsed()
        };
        let lasted = Turns::new(blocked, Arc::default(), &lane, label).await;
        assert!(matches!(lasted, Ok(lasted) if lasted > Duration::ZERO));
        assert_eq!(lane.turn(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_panic_ends_one_future_and_its_time_is_counted() {
        let (meter, lane, label) = (Arc::new(Meter::default()), Lane::default(), Arc::new(Label::nobody()));
        let spin = async {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(5) {}
            panic!("host function");
        };
        let mut turns = Turns::<()>::new(spin, meter.clone(), &lane, label);
        let Err(Panicked(message)) = (&mut turns).await else { panic!("the panic was lost") };
        assert_eq!(message, "host function");
        assert!(meter.used_ns.load(Ordering::Relaxed) > 0);
        assert!(lane.running().is_none());
    }
}
