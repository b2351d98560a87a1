//! Decisions: what an input means for a saga, as events.
//!
//! `handle` applies each event as it decides it, so that the next decision sees it: afterwards the saga is what
//! replaying the returned events onto it as it was would give. Nothing else mutates it.

use std::sync::Arc;

use crate::{
    definition::{Definition, Kind, OnExhausted, OnUnknown, Retry, Undo},
    event::{Arrival, Attempt, Cancel, Charge, Event, Intent, Reason, Started, Wait, Why},
    id::{Direction, Leg},
    outcome::{Left, Outcome, Report},
    retry::{AGAIN_MS_MIN, Spent, after_host_fault, next_attempt},
    saga::{LegState, Phase, Saga, StepRun},
    value::{Failure, Instant, Payload},
    verbs::Rejected,
};

/// What a decision may depend on beside the saga: all of it is an argument (law 15).
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The time of the records to be made.
    pub now: Instant,
    /// 64 random bits for backoff.
    pub jitter: u64,
    /// The module may reach outside, by the grants of `snapshot`.
    pub may_reach_outside: bool,
    /// The revision of the module stream that holds grants and config.
    pub snapshot: u64,
    /// What may still be written to the saga's journal.
    pub journal: Room,
}

/// How much room a saga's journal has. A way back may write when a way forward may not any more, and has an end as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Any attempt may begin.
    Free,
    /// No forward attempt begins; what was done can still be undone.
    Full,
    /// No attempt begins at all.
    Spent,
}

/// What can happen to a saga.
#[derive(Clone, Debug)]
pub enum Input {
    /// An attempt ended.
    Report(Report),
    /// Time passed.
    Wake,
    /// An event came that a leg waits for, or not.
    Arrived(Arrival),
    /// The host stopped uncleanly: open attempts are over. Named are those whose guests were executing at the last heartbeat.
    HostStopped {
        /// Executing, not awaiting the host.
        executing: Vec<Attempt>,
    },
    /// Grants changed: what was denied may be tried again.
    GrantsChanged,
}

impl Saga {
    /// The first events of a new saga: its start and the intents of its first stage.
    pub fn start(definition: Arc<Definition>, started: Started, context: Context) -> (Self, Vec<Event>) {
        let mut saga = Self::begin(definition, started.clone(), context.now);
        let mut turn = Turn { saga: &mut saga, context, events: vec![Event::Started(Box::new(started))] };
        turn.advance();
        let events = turn.events;
        (saga, events)
    }

    /// Decides what an input means, and applies it. No events: it means nothing.
    pub fn handle(&mut self, input: Input, context: Context) -> Vec<Event> {
        let mut turn = Turn { saga: self, context, events: Vec::new() };
        match input {
            Input::Report(report) => turn.report(report),
            Input::Wake => {}
            Input::Arrived(arrival) => turn.arrived(arrival),
            Input::HostStopped { executing } => turn.host_stopped(&executing),
            Input::GrantsChanged => turn.grants_changed(),
        }
        turn.advance();
        turn.events
    }

    /// Does what an operator asks, if it fits.
    pub fn act(&mut self, verb: crate::verbs::Verb, act: crate::event::Act, context: Context) -> Result<Vec<Event>, Rejected> {
        let decided = crate::verbs::decide(self, verb, act)?;
        let mut turn = Turn { saga: self, context, events: Vec::new() };
        for event in decided {
            turn.emit(event);
        }
        turn.advance();
        Ok(turn.events)
    }
}

/// One decision in the making.
struct Turn<'a> {
    saga: &'a mut Saga,
    context: Context,
    events: Vec<Event>,
}

impl Turn<'_> {
    fn emit(&mut self, event: Event) {
        let applied = self.saga.apply(&event, self.context.now);
        assert!(applied.is_ok(), "a decided event fits its saga: {applied:?} of {event:?}");
        self.events.push(event);
    }

    fn report(&mut self, report: Report) {
        let Report { attempt, outcome, left } = report;
        let Some(intent) = self.saga.open(&attempt) else {
            return self.emit(Event::Stale(attempt, outcome.name().into()));
        };
        // In an attempt that cannot reach outside nothing left, whatever is said of it.
        let left = if intent.reaches_outside { left } else { Left::Nothing };
        if let Outcome::HostFault(failure) = outcome {
            return self.host_failed(attempt, failure, left);
        }
        match recorded(attempt.leg.direction, outcome, left, intent.reaches_outside, self.context.now) {
            Recorded::Done(_) if matches!(attempt.leg.direction, Direction::Undo(_)) => self.emit(Event::Undone(attempt)),
            Recorded::Done(output) => self.emit(Event::Done(attempt, output)),
            Recorded::Refused(failure) => {
                self.emit(Event::Refused(attempt.clone(), failure.clone()));
                self.give_up(&attempt.leg, GiveUp::Refused, failure);
            }
            Recorded::Transient(failure) => {
                self.emit(Event::Transient(attempt.clone(), failure.clone(), Charge::Leg));
                self.try_again(&attempt.leg, failure);
            }
            Recorded::Unknown(failure) => {
                self.emit(Event::Unknown(attempt.clone(), failure.clone(), Charge::Leg));
                self.after_unknown(&attempt.leg, failure);
            }
            Recorded::NotDone => {
                self.emit(Event::NotDone(attempt.clone()));
                let failure = Failure::new("not_done", "the check found that it did not happen");
                self.try_again(&attempt.leg.turned(Direction::Forward), failure);
            }
            Recorded::Wait(Wait { event, until }) => {
                // A moment that has passed would call a guest that always says so again without end in between.
                let until = until.map(|until| until.max(self.context.now.plus(AGAIN_MS_MIN)));
                self.emit(Event::Wait(attempt, Wait { event, until }));
            }
            Recorded::Denied(what) => self.denied(attempt, what, left),
        }
    }

    /// What the host could not do is no failure of the step: nothing of its budget is used up, and it waits until the host can.
    fn host_failed(&mut self, attempt: Attempt, failure: Failure, left: Left) {
        let leg = attempt.leg.clone();
        self.emit(match left {
            Left::Nothing => Event::Transient(attempt, failure.clone(), Charge::HostFault),
            Left::Answered | Left::Unanswered => Event::Unknown(attempt, failure.clone(), Charge::HostFault),
        });
        let doubtful = left != Left::Nothing && leg.direction == Direction::Forward;
        if doubtful && self.on_unknown(&leg).is_some_and(|policy| policy != OnUnknown::Retry) {
            return self.after_unknown(&leg, failure);
        }
        if self.may_move(&leg) {
            let attempts = self.saga.run(&leg.path).map_or(0, |run| run.leg(leg.direction).attempts);
            let until = after_host_fault(attempts, self.context.now, self.context.jitter.wrapping_mul(u64::from(attempts) | 1));
            self.emit(Event::Backoff(leg, until));
        }
    }

    /// Stuck at once. What is stuck is the leg that goes on once the grant is there: after an unknown outcome it may be the check.
    fn denied(&mut self, attempt: Attempt, what: String, left: Left) {
        let failure = Failure::new("denied", format!("the host refused a call: {what}"));
        let leg = attempt.leg.clone();
        let next = match (left, leg.direction, self.on_unknown(&leg)) {
            (Left::Answered | Left::Unanswered, Direction::Forward, Some(OnUnknown::Check)) => leg.turned(Direction::Check),
            _ => leg.clone(),
        };
        self.emit(match left {
            Left::Nothing => Event::Transient(attempt, failure, Charge::Leg),
            Left::Answered | Left::Unanswered => Event::Unknown(attempt, failure, Charge::Leg),
        });
        if self.may_move(&leg) {
            self.emit(Event::Stuck(next, Why::Denied(what)));
        }
    }

    fn on_unknown(&self, leg: &Leg) -> Option<OnUnknown> {
        self.saga.run(&leg.path).map(|run| self.saga.step(run).on_unknown)
    }

    /// A leg still goes on: compensations do, forward legs only before a rollback.
    fn may_move(&self, leg: &Leg) -> bool {
        match leg.direction {
            Direction::Undo(_) => self.saga.phase == Phase::Backward,
            Direction::Forward | Direction::Check => self.saga.phase == Phase::Forward,
        }
    }

    fn after_unknown(&mut self, leg: &Leg, failure: Failure) {
        match (leg.direction, self.on_unknown(leg)) {
            // The fold made the check ready.
            (Direction::Forward, Some(OnUnknown::Check)) => {}
            (Direction::Forward, Some(OnUnknown::OnceThenRollback)) => self.give_up(leg, GiveUp::Unknown, failure),
            (Direction::Forward, Some(OnUnknown::OnceThenStop)) if self.may_move(leg) => {
                self.emit(Event::Stuck(leg.clone(), Why::Unknown(failure)));
            }
            _ => self.try_again(leg, failure),
        }
    }

    /// Another attempt after a backoff, or what the step says when its budget is used up.
    fn try_again(&mut self, leg: &Leg, failure: Failure) {
        if !self.may_move(leg) {
            return;
        }
        match self.next_attempt(leg) {
            Some(until) => self.emit(Event::Backoff(leg.clone(), until)),
            None => self.give_up(leg, GiveUp::Exhausted, failure),
        }
    }

    fn next_attempt(&self, leg: &Leg) -> Option<Instant> {
        let run = self.saga.run(&leg.path)?;
        let retry = retry_of(self.saga, run, leg.direction)?;
        let used = run.leg(leg.direction);
        let since = used.budget_since.unwrap_or(self.context.now);
        let spent = Spent { attempts: used.spent, since, waited_ms: used.waited_ms };
        next_attempt(retry, spent, self.context.now, self.context.jitter.wrapping_mul(u64::from(used.attempts) | 1))
    }

    /// The leg is at its end: backward, if there is a way back, else it needs an operator.
    fn give_up(&mut self, leg: &Leg, give_up: GiveUp, failure: Failure) {
        if !self.may_move(leg) {
            return;
        }
        let Some(run) = self.saga.run(&leg.path) else { return };
        let step = self.saga.step(run);
        let path = leg.path.clone();
        let stays = leg.direction != Direction::Forward && leg.direction != Direction::Check
            || step.kind == Kind::Retriable
            || self.saga.is_past_point_of_no_return()
            || (give_up == GiveUp::Exhausted && step.on_exhausted == OnExhausted::Stuck);
        let event = if !stays && self.saga.is_pivot_in_doubt(run) {
            Event::Stuck(leg.clone(), Why::PivotInDoubt(failure))
        } else {
            match (stays, give_up) {
                (true, GiveUp::Refused) => Event::Stuck(leg.clone(), Why::Refused(failure)),
                (true, GiveUp::Exhausted) => Event::Stuck(leg.clone(), Why::Exhausted(failure)),
                (true, GiveUp::Unknown) => Event::Stuck(leg.clone(), Why::Unknown(failure)),
                (false, GiveUp::Refused) => Event::RollbackBegun(Reason::Refused(path, failure)),
                (false, GiveUp::Exhausted) => Event::RollbackBegun(Reason::Exhausted(path, failure)),
                (false, GiveUp::Unknown) => Event::RollbackBegun(Reason::Unknown(path, failure)),
            }
        };
        self.emit(event);
    }

    fn arrived(&mut self, arrival: Arrival) {
        if self.saga.is_ended() || self.saga.has_consumed(&arrival.source, &arrival.id) {
            return;
        }
        if let Some((leg, _)) = self.saga.waits().into_iter().find(|(_, topic)| *topic == arrival.topic) {
            self.emit(Event::Arrived(leg, arrival));
        }
    }

    /// A durable intent found open at start-up closes as unknown, or transient when it could not reach outside.
    fn host_stopped(&mut self, executing: &[Attempt]) {
        let open: Vec<Intent> = self.saga.open_intents().map(|(intent, _)| intent.clone()).collect();
        for intent in open {
            let Intent { attempt, reaches_outside, .. } = intent;
            let charge = Charge::HostStop { executing: executing.contains(&attempt) };
            let failure = Failure::new("host_stopped", "the host stopped during the attempt");
            if !reaches_outside || attempt.leg.direction == Direction::Check {
                self.emit(Event::Transient(attempt, failure, charge));
            } else {
                let leg = attempt.leg.clone();
                self.emit(Event::Unknown(attempt, failure.clone(), charge));
                if self.is_run_once(&leg) {
                    self.after_unknown(&leg, failure);
                }
            }
        }
    }

    fn is_run_once(&self, leg: &Leg) -> bool {
        let once = matches!(self.on_unknown(leg), Some(OnUnknown::OnceThenRollback | OnUnknown::OnceThenStop));
        once && leg.direction == Direction::Forward
    }

    /// What was denied is tried again, but for a step that may have run and is run once: its policy decides now.
    fn grants_changed(&mut self) {
        let denied = |state: &LegState| matches!(state, LegState::Stuck { why: Why::Denied(_), .. });
        let legs: Vec<Leg> =
            self.saga.legs().filter(|(_, _, state)| denied(state)).map(|(run, direction, _)| run.name_leg(direction)).collect();
        for leg in legs {
            let Some(run) = self.saga.run(&leg.path) else { continue };
            let failure = run.forward.last_failure.clone().filter(|_| run.forward.unknown && self.is_run_once(&leg));
            match failure {
                // A rollback that began with a leg before it has closed this one.
                _ if !denied(&run.leg(leg.direction).state) => {}
                Some(failure) => self.after_unknown(&leg, failure),
                None => self.emit(Event::Unstuck(leg)),
            }
        }
    }

    /// Everything that follows from the state and the time: the end, timers, the saga's deadline, intents.
    fn advance(&mut self) {
        if self.saga.is_ended() {
            return;
        }
        // First: after the last `done` it is too late to be late.
        if self.saga.is_done() {
            return self.emit(Event::Completed);
        }
        for leg in self.saga.due_waits(self.context.now) {
            self.emit(Event::TimerFired(leg));
        }
        let late = self.saga.started.deadline_at.is_some_and(|at| at <= self.context.now);
        if late && !self.saga.deadline_passed {
            self.emit(Event::CancelRequested(Cancel::Deadline));
        }
        if self.saga.phase == Phase::Forward
            && let Some(reason) = self.cancel_reason()
        {
            self.emit(Event::RollbackBegun(reason));
        }
        for leg in self.saga.startable(self.context.now) {
            self.begin(leg);
        }
        if self.saga.is_undone() {
            self.emit(Event::Compensated);
        }
    }

    /// A cancel that was asked for, once nothing stands against it: the pivot's outcome decides.
    fn cancel_reason(&self) -> Option<Reason> {
        let cancel = self.saga.cancel.as_ref()?;
        if self.saga.is_past_point_of_no_return() {
            return None;
        }
        let held = self.saga.current().any(|run| {
            let pivot = self.saga.step(run).kind == Kind::Pivot;
            pivot && (run.has_open_forward() || self.saga.is_pivot_in_doubt(run))
        });
        if held {
            return None;
        }
        Some(match cancel {
            Cancel::Asked(_) => Reason::Cancelled,
            Cancel::Deadline => Reason::Deadline,
        })
    }

    fn begin(&mut self, leg: Leg) {
        let Some(run) = self.saga.run(&leg.path) else { return };
        let step = self.saga.step(run);
        let used = run.leg(leg.direction);
        let deadline_ms = match (&step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => policy.deadline_ms,
            _ => step.deadline_ms,
        };
        let event = if used.host_stops >= HOST_STOPS_MAX {
            Event::Stuck(leg, Why::HostDied)
        } else if !self.has_room(&leg) {
            Event::Stuck(leg, Why::JournalFull)
        } else {
            Event::Intent(Intent {
                attempt: Attempt { leg, number: used.attempts + 1 },
                reaches_outside: self.context.may_reach_outside && !step.effect_free,
                snapshot: self.context.snapshot,
                deadline_at: self.context.now.plus(deadline_ms),
                solo: used.host_stops + 1 == HOST_STOPS_MAX,
                element: None,
            })
        };
        self.emit(event);
    }

    fn has_room(&self, leg: &Leg) -> bool {
        match self.context.journal {
            Room::Free => true,
            Room::Full => leg.direction != Direction::Forward,
            Room::Spent => false,
        }
    }
}

/// A guest that was running at three deaths of the host, the last time alone, is not run again (law 11).
const HOST_STOPS_MAX: u32 = 3;

/// Why a leg is at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    Refused,
    Exhausted,
    Unknown,
}

/// An outcome after law 5.
enum Recorded {
    Done(Payload),
    Refused(Failure),
    Transient(Failure),
    Unknown(Failure),
    NotDone,
    Wait(Wait),
    Denied(String),
}

/// A wait is at most ten years long, in milliseconds: a longer one is a mistake in a unit.
pub const WAIT_MS_MAX: u64 = 3_653 * 86_400_000;

/// Law 5: what the host knows of what left decides between `unknown` and the rest. Only a step can be refused, only a check
/// can say not-done, and a check does not wait: else the guest returned garbage.
fn recorded(direction: Direction, outcome: Outcome, left: Left, reached: bool, now: Instant) -> Recorded {
    let trapped = |failure| if left == Left::Nothing { Recorded::Transient(failure) } else { Recorded::Unknown(failure) };
    match (outcome, direction) {
        (Outcome::Done(output), _) => Recorded::Done(output),
        (Outcome::Denied(what), _) => Recorded::Denied(what),
        (Outcome::NotDone, Direction::Check) => Recorded::NotDone,
        (Outcome::Wait(wait), Direction::Forward | Direction::Undo(_)) if is_bounded(&wait, now) => Recorded::Wait(wait),
        (Outcome::Refused(failure) | Outcome::Transient(failure), _) if left == Left::Unanswered => Recorded::Unknown(failure),
        (Outcome::Refused(failure), Direction::Forward) => Recorded::Refused(failure),
        (Outcome::Refused(failure) | Outcome::Transient(failure), _) => Recorded::Transient(failure),
        (Outcome::Unknown(failure), _) if !reached => Recorded::Transient(failure),
        (Outcome::Unknown(failure), _) => Recorded::Unknown(failure),
        (Outcome::Trapped(failure) | Outcome::HostFault(failure), _) => trapped(failure),
        (Outcome::NotDone, _) => trapped(Failure::new("bad_output", "only a check may say not-done")),
        (Outcome::Wait(_), Direction::Check) => trapped(Failure::new("bad_output", "a check does not wait")),
        (Outcome::Wait(_), _) => trapped(Failure::new("bad_wait", "wait for an event, or for a moment within ten years")),
    }
}

fn is_bounded(wait: &Wait, now: Instant) -> bool {
    (wait.event.is_some() || wait.until.is_some()) && wait.until.is_none_or(|until| until <= now.plus(WAIT_MS_MAX))
}

fn retry_of<'a>(saga: &'a Saga, run: &StepRun, direction: Direction) -> Option<&'a Retry> {
    let step = &saga.definition.stages[run.stage].steps[run.index];
    match (direction, &step.undo) {
        (Direction::Undo(_), Undo::Code(policy)) => Some(&policy.retry),
        (Direction::Undo(_), _) => None,
        (Direction::Forward | Direction::Check, _) => Some(&step.retry),
    }
}
