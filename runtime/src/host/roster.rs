//! The attempts of one guest thread: begins them, lets each go on in its turn, and tells those that run from those that wait.
//!
//! A runtime would poll them in the order in which they were woken. This is the part of one that has another order.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    bell::{News, Rope},
    groups::{Group, Length, Rank, Way},
    limits::SLICE,
    queue::Place,
    ready::Ready,
    turn::{Lane, spent},
};
use crate::journal::StreamId;

/// What runs: an attempt, and what the host does around it.
pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The attempts of a thread.
pub(super) struct Roster {
    lane: Arc<Lane>,
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    ready: Ready<usize>,
    news: News,
}

struct Task {
    future: Running,
    stands: Stands,
    rope: Arc<Rope>,
    waker: Waker,
    used: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has the thread, or is in the line for it.
    Goes,
    /// It was woken while it had the thread, and is not in the line yet.
    GoesOn,
    /// It waits for the host.
    Waits,
}

impl Task {
    fn length(&self) -> Length {
        if self.used > SLICE { Length::Long } else { Length::Short }
    }
}

/// For whom an attempt counts.
pub(super) enum Stands {
    /// It has one of the places.
    At(Place),
    /// It is beside those that are counted.
    Beside(Arc<Group>),
}

impl Stands {
    /// Beside those that are counted.
    pub(super) fn beside() -> Self {
        let group = Group::alone();
        group.begins();
        Self::Beside(group)
    }

    fn group(&self) -> &Arc<Group> {
        match self {
            Self::At(place) => place.group(),
            Self::Beside(group) => group,
        }
    }

    fn is_of(&self, of: &StreamId) -> bool {
        match self {
            Self::At(place) => place.of() == of,
            Self::Beside(_) => false,
        }
    }
}

impl Roster {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, tasks: Vec::new(), free: Vec::new(), ready: Ready::default(), news: News::default() }
    }

    /// Takes one over that begins.
    pub(super) fn take(&mut self, future: Running, stands: Stands) -> usize {
        let who = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        });
        let rope = Rope::new(who, self.lane.bell());
        let waker = rope.waker();
        self.tasks[who] = Some(Task { future, stands, rope, waker, used: Duration::ZERO, state: State::Goes });
        who
    }

    /// Those that were woken want the thread again.
    pub(super) fn wake(&mut self, now: Duration) {
        self.lane.bell().answer(&mut self.news);
        for who in self.news.rang.drain(..) {
            // One that has ended may still be rung for, under a number that is another's now: that one is polled for nothing.
            let Some(task) = self.tasks.get_mut(who).and_then(Option::as_mut) else { continue };
            match std::mem::replace(&mut task.state, State::Goes) {
                State::Goes => continue,
                State::GoesOn => {}
                State::Waits => task.stands.group().runs(),
            }
            self.ready.put(task.stands.group(), task.length(), who, now);
        }
        self.lane.set_ready(self.ready.len());
    }

    /// Ends an attempt of a stream whose attempts are to end, at once and wherever it is. Where it stood; none: there are no more.
    pub(super) fn end_one(&mut self) -> Option<Stands> {
        while let Some(of) = self.news.ended.last() {
            let is_of = |task: &Option<Task>| task.as_ref().is_some_and(|task| task.stands.is_of(of));
            match self.tasks.iter().position(is_of) {
                Some(who) => return self.end(who),
                None => drop(self.news.ended.pop()),
            }
        }
        None
    }

    fn end(&mut self, who: usize) -> Option<Stands> {
        let task = self.tasks.get_mut(who)?.take()?;
        match task.state {
            // Its number is another's soon.
            State::Goes => self.ready.remove(&who),
            State::GoesOn => {}
            // What ends counts as one that runs.
            State::Waits => task.stands.group().runs(),
        }
        self.lane.set_ready(self.ready.len());
        let lane = Arc::clone(&self.lane);
        Some(lane.end(|| self.leave(who, task)))
    }

    /// Where the one stands that has the thread next.
    pub(super) fn first(&self, now: Duration) -> Option<Rank> {
        self.ready.first(now)
    }

    /// Who has the thread next.
    pub(super) fn next(&mut self, now: Duration) -> Option<usize> {
        let next = self.ready.next(now);
        self.lane.set_ready(self.ready.len());
        next
    }

    /// Lets one go on until it waits, ends, or has had its slice. Where it stands, if it has ended. `turn` moves one that leads the
    /// other way now.
    pub(super) fn go_on(
        &mut self,
        who: usize,
        clock: impl Fn() -> Duration,
        turn: impl FnOnce(Place, Way) -> Place,
    ) -> Option<Stands> {
        let mut task = self.tasks.get_mut(who)?.take()?;
        task.rope.let_go();
        let mut context = Context::from_waker(&task.waker);
        // A panic of the host beside a guest costs that attempt.
        let poll = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context)));
        let now = clock();
        // By the processor's time: an attempt that the machine interrupted has not used more for that.
        let spent = spent();
        task.used += spent;
        task.stands.group().charge(spent, now);
        if let Ok(Poll::Pending) = poll {
            task.stands = match (task.stands, self.lane.turned()) {
                (Stands::At(place), Some(way)) if way != place.group().way() => Stands::At(turn(place, way)),
                (stands, _) => stands,
            };
            task.state = if task.rope.is_pulled() { State::GoesOn } else { State::Waits };
            if task.state == State::Waits {
                task.stands.group().waits();
            }
            self.tasks[who] = Some(task);
            return None;
        }
        Some(self.leave(who, task))
    }

    /// Drops one that has ended, and says where it stood.
    fn leave(&mut self, who: usize, task: Task) -> Stands {
        self.free.push(who);
        let Task { future, stands, .. } = task;
        // What a panic left behind may panic once more; it was reported where it happened.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        stands
    }
}
