//! Decisions: what an input means for a saga, as events.
//!
//! `handle` applies each event as it decides it, so that the next decision sees it: afterwards the saga is what
//! replaying the returned events onto it as it was would give. Nothing else mutates it.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    definition::{Each, Kind, Undo},
    elements::elements,
    plan::Plan,
    reports::GiveUp,
    run::{LegRun, LegState, StepRun},
    state::{Locking, Phase, Saga},
};
use crate::{
    event::{Answered, Arrival, Attempt, Cancel, Event, Intent, Reason, Round, Started, Why},
    id::{Direction, Leg},
    outcome::Report,
    value::Instant,
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
    /// The answer to a command of a leg came.
    Answered(Leg, Answered),
    /// The host stopped uncleanly: open attempts are over. Named are those whose guests were executing at the last heartbeat.
    HostStopped {
        /// Executing, not awaiting the host.
        executing: Vec<Attempt>,
    },
    /// All its lock keys are its own. In the turn of its start, or when those before it have ended.
    LocksTaken,
    /// These of its lock keys are not free. In the turn of its start.
    LocksQueued(Vec<String>),
    /// Grants changed: what was denied may be tried again.
    GrantsChanged,
    /// Active code decides for these aggregates: commands that came when there was none are sent again now.
    CodeCame(BTreeSet<String>),
}

impl Saga {
    /// The first events of a new saga: its start and the intents of its first stage. With lock keys, only its start: whether they
    /// are its own is the next input, in the same commit.
    pub fn start(plan: Arc<Plan>, started: Started, context: Context) -> (Self, Vec<Event>) {
        let mut saga = Self::begin(plan, started.clone(), context.now);
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
            Input::Answered(leg, answered) => turn.answered(leg, answered),
            Input::HostStopped { executing } => turn.host_stopped(&executing),
            Input::LocksTaken => turn.locked(Event::LockTaken),
            Input::LocksQueued(behind) => turn.locked(Event::LockQueued(behind)),
            Input::GrantsChanged => turn.grants_changed(),
            Input::CodeCame(aggregates) => turn.code_came(&aggregates),
        }
        turn.advance();
        turn.events
    }
}

/// One decision in the making.
pub(crate) struct Turn<'a> {
    pub(crate) saga: &'a mut Saga,
    pub(crate) context: Context,
    pub(crate) events: Vec<Event>,
}

impl Turn<'_> {
    pub(crate) fn emit(&mut self, event: Event) {
        let applied = self.saga.apply(&event, self.context.now);
        assert!(applied.is_ok(), "a decided event fits its saga: {applied:?} of {event:?}");
        self.events.push(event);
    }

    fn arrived(&mut self, arrival: Arrival) {
        if self.saga.is_ended() || self.saga.has_consumed(&arrival.source, &arrival.id) {
            return;
        }
        if let Some((leg, _)) = self.saga.waits().into_iter().find(|(_, topic)| *topic == arrival.topic) {
            self.emit(Event::Arrived(leg, arrival));
        }
    }

    /// Said twice, or of a saga that rolls back meanwhile, it means nothing.
    fn locked(&mut self, event: Event) {
        let expected = match self.saga.locking {
            Locking::Asked => true,
            Locking::Queued { .. } => event == Event::LockTaken,
            Locking::Taken => false,
        };
        if expected && self.saga.phase == Phase::Forward {
            self.emit(event);
        }
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

    fn code_came(&mut self, aggregates: &BTreeSet<String>) {
        let legs = self.saga.undecided_legs().filter(|(_, aggregate)| aggregates.contains(*aggregate));
        for leg in legs.map(|(leg, _)| leg).collect::<Vec<_>>() {
            self.emit(Event::Unstuck(leg));
        }
    }

    /// Everything that follows from the state and the time: the end, timers, the saga's deadline, intents.
    pub(crate) fn advance(&mut self) {
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
        if (self.saga.phase == Phase::Forward || self.saga.goes_to_a_savepoint())
            && let Some(reason) = self.cancel_reason()
        {
            self.emit(Event::RollbackBegun(reason));
        }
        loop {
            self.begin_all();
            // A list that cannot be used rolls back where nothing was begun: then the next round begins in the same turn.
            let Some(savepoint) = self.saga.savepoint().filter(|_| self.saga.is_back_at_target()) else { break };
            let round = Round { number: self.saga.round + 1, savepoint: savepoint.clone() };
            self.emit(Event::RoundBegun(round));
        }
        if self.saga.is_undone() {
            self.emit(Event::Compensated);
        } else if self.saga.is_done() {
            self.emit(Event::Completed);
        }
    }

    /// Begins what may begin now, and what may begin then: a list brings elements, an empty one the next stage.
    fn begin_all(&mut self) {
        loop {
            let legs = self.saga.startable(self.context.now);
            if legs.is_empty() {
                return;
            }
            for leg in legs {
                // One that was begun before it may have taken the last place in its fan-out, or begun a rollback.
                let begins = |run: &StepRun| match &run.leg(leg.direction).state {
                    LegState::Ready => true,
                    LegState::BackingOff { until, .. } => *until <= self.context.now,
                    _ => false,
                };
                if self.saga.run(&leg.path).is_some_and(begins) && self.saga.has_place(&leg.path) {
                    self.begin(leg);
                }
            }
        }
    }

    /// The elements of a fan-out are those of its list now. A list that cannot be used is a refusal of the step.
    fn list(&mut self, leg: Leg, each: &Each, scope: usize) {
        match elements(each, |pointer| self.saga.source(scope, pointer)) {
            Ok(elements) => self.emit(Event::Listed(leg.path, elements)),
            Err(failure) => self.give_up(&leg, GiveUp::Refused, failure),
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

    pub(crate) fn begin(&mut self, leg: Leg) {
        let Some(run) = self.saga.run(&leg.path) else { return };
        let step = self.saga.step(run);
        if let (Some(each), Some(_)) = (&step.each, run.each()) {
            let (each, scope) = (each.clone(), run.scope);
            return self.list(leg, &each, scope);
        }
        // An alternate of a compensation begins afresh.
        let fresh = LegRun::default();
        let used = if run.has_in_hand(&leg) { run.leg(leg.direction) } else { &fresh };
        let deadline_ms = match (&step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => policy.deadline_ms,
            _ => step.deadline_ms,
        };
        let stays_inside = step.is_effect_free(leg.direction) || step.command(leg.direction).is_some();
        let event = if used.host_stops >= HOST_STOPS_MAX {
            Event::Stuck(leg, Why::HostDied)
        } else if !self.has_room(&leg) {
            Event::Stuck(leg, Why::JournalFull)
        } else {
            Event::Intent(Intent {
                attempt: Attempt { leg, number: used.attempts + 1 },
                reaches_outside: self.context.may_reach_outside && !stays_inside,
                snapshot: self.context.snapshot,
                deadline_at: self.context.now.plus(deadline_ms),
                solo: used.host_stops + 1 == HOST_STOPS_MAX,
                element: None,
            })
        };
        self.emit(event);
    }

    pub(crate) fn has_room(&self, leg: &Leg) -> bool {
        match self.context.journal {
            Room::Free => true,
            Room::Full => leg.direction != Direction::Forward,
            Room::Spent => false,
        }
    }
}

/// A guest that was running at three deaths of the host, the last time alone, is not run again (law 11).
const HOST_STOPS_MAX: u32 = 3;
