//! One saga's course: every move is played, its events are held against the model, and at the end all must come to an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use amends_core::{
    Event, Input, Payload, Room,
    effects::Effects,
    event::{Act, Cancel, Moved, Reason, Resolution, Why},
    id::Direction,
    outcome::{Left, Outcome},
    verbs::{Legs, Offer, Rejected, Verb},
    view::View,
};

use crate::{
    model::{At, Law, Model, is_undo, law},
    play::Play,
    random::{Random, any_move, any_saga},
    script::{Given, Move, Said, Sends},
};

/// How often what was seen: what was never seen was not tested.
pub(crate) type Seen = BTreeMap<&'static str, u64>;

/// A definition and the moves that were made.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) given: Given,
    pub(crate) moves: Vec<Move>,
}

/// A random course from a seed: the script that it was, and the law that it broke.
pub(crate) fn random_course(seed: u64, seen: &mut Seen) -> Result<Vec<(amends_core::Instant, Event)>, (Script, String)> {
    let mut random = Random(seed);
    let mut script = Script { given: any_saga(&mut random), moves: Vec::new() };
    let length = 3 + random.below(32);
    let played = guarded(|| {
        let mut course = Course::start(&script.given, seen)?;
        let mut after_the_end = 0;
        for _ in 0..length {
            let next = any_move(&mut random, &course.play);
            script.moves.push(next.clone());
            course.step(&next)?;
            after_the_end += u32::from(course.play.saga.is_ended());
            if after_the_end > 3 {
                break;
            }
        }
        course.comes_to_an_end()
    });
    played.map_err(|problem| (script, problem))
}

/// The law that a script breaks, if any.
pub(crate) fn broken_by(script: &Script) -> Option<String> {
    let played = guarded(|| {
        let mut seen = Seen::new();
        let mut course = Course::start(&script.given, &mut seen)?;
        script.moves.iter().try_for_each(|step| course.step(step))?;
        course.comes_to_an_end().map(drop)
    });
    played.err()
}

fn guarded<T>(played: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(played)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()))
    })
}

struct Course<'a> {
    play: Play,
    model: Model,
    seen: &'a mut Seen,
}

impl<'a> Course<'a> {
    fn start(given: &Given, seen: &'a mut Seen) -> Result<Self, String> {
        let play = Play::start(given);
        let mut course = Self { play, model: Model::new(given), seen };
        let events: Vec<Event> = course.play.history.iter().map(|(_, event)| event.clone()).collect();
        law!(matches!(events.first(), Some(Event::Started(_))), "a stream begins with started");
        course.see("started");
        course.model.turn(None, &events[1..], &course.play.context())?;
        course.model.quiet(&course.play.saga, course.play.now)?;
        events[1..].iter().for_each(|event| course.see_event(event));
        Ok(course)
    }

    fn step(&mut self, step: &Move) -> Law {
        let input = self.play.input(step);
        let target = match step {
            Move::Edit(edit) => edit.of(&self.play.given),
            _ => None,
        };
        let revision = self.play.saga.revision();
        let late = matches!(&input, Some(Input::Report(report)) if !self.model.is_open(&report.attempt));
        let before = late.then(|| (self.play.saga.effects(), self.play.saga.view()));
        let events = match self.play.play(step) {
            Ok(events) => events,
            Err(rejected) => {
                law!(self.play.saga.revision() == revision, "a rejected verb changes the saga");
                return self.rejected(step, target.as_ref(), &rejected);
            }
        };
        if input.is_none() && target.is_none() && !matches!(step, Move::Verb(_)) {
            return Ok(());
        }
        law!(self.play.saga.revision() == revision + events.len() as u64, "each event is a revision");
        if let Some((effects, mut view)) = before.filter(|_| events.len() == 1) {
            view.revision += 1;
            law!((effects, view) == (self.play.saga.effects(), self.play.saga.view()), "a stale outcome changes the saga");
            self.see("a stale outcome");
        }
        let rolled_back = self.model.rolls_back;
        if let Some(target) = target {
            self.model.moved(&target, &events)?;
        }
        self.model.turn(input.as_ref(), &events, &self.play.context())?;
        self.model.quiet(&self.play.saga, self.play.now)?;
        self.cancel_is_one_decision()?;
        self.moves_to_itself()?;
        if events.iter().any(|event| matches!(event, Event::Stuck(..))) {
            self.offers_what_it_takes()?;
        }
        self.see(self.play.saga.status().as_str());
        for event in &events {
            self.see_event(event);
            self.see_place(event);
            match event {
                Event::Done(..) if rolled_back => self.see("a late success"),
                Event::Wait(attempt, _) if is_undo(&attempt.leg) => self.see("a compensation waits"),
                Event::Intent(intent) if intent.attempt.leg.alternate > 0 => self.see("an alternate"),
                Event::Intent(intent) if matches!(intent.attempt.leg.direction, Direction::Undo(1..)) => {
                    self.see("an alternate of a compensation");
                }
                Event::Compensated if !self.play.saga.has_its_locks() => self.see("cancelled in the queue"),
                Event::RoundBegun(round) if round.number > 1 => self.see("a third round"),
                Event::RollbackBegun(_) if rolled_back => self.see("a rollback goes on to the start"),
                Event::Undone(attempt) if !rolled_back => {
                    let result = self.model.step(&attempt.leg.path).is_ok_and(|step| step.is_result());
                    self.see(if result { UNDONE_RESULT } else { "an alternate is undone before the next" });
                }
                Event::Intent(intent) if intent.solo => self.see("an attempt alone"),
                Event::Resolved(..) if rolled_back => self.see("resolved in a rollback"),
                _ => {}
            }
        }
        if self.play.saga.view().cancel_pending {
            self.see("a cancel that the pivot decides");
        }
        Ok(())
    }

    /// The preview of a cancel and the cancel say the same: taken, or refused for this reason (C2-16).
    fn cancel_is_one_decision(&self) -> Law {
        let previewed = self.play.saga.cancel_preview().map(drop);
        let cancelled = self.play.saga.clone().act(Verb::Cancel, Act::default(), self.play.context()).map(drop);
        law!(previewed == cancelled, "a cancel is previewed as {previewed:?}, and is {cancelled:?}");
        Ok(())
    }

    /// A move to the very same definition is always possible, and changes nothing.
    fn moves_to_itself(&mut self) -> Law {
        let before = self.play.saga.view();
        let rests = self.play.saga.effects().run.is_empty() && before.stuck.is_empty() && !self.play.saga.is_ended();
        if !rests {
            return Ok(());
        }
        let mut moved = self.play.saga.clone();
        let record = Moved { code: moved.code(), act: Act::default() };
        let events = moved.move_to(Arc::clone(moved.plan()), record, self.play.context());
        law!(events.is_ok_and(|events| events.len() == 1), "a move to the same definition is refused, or does something");
        let after = View { revision: before.revision, ..moved.view() };
        // An element of a round that is over, of which nothing is known, is not worth a line any more.
        let known: BTreeSet<_> = after.steps.iter().map(|step| step.path.clone()).collect();
        let mut before = before;
        before.steps.retain(|step| known.contains(&step.path) || !step.past.is_empty() || step.forward.attempts > 0);
        law!(after == before, "a move to the same definition changes what is shown");
        let sorted = |mut effects: Effects| {
            effects.topics.sort();
            effects
        };
        law!(sorted(moved.effects()) == sorted(self.play.saga.effects()), "a move to the same definition changes what is wanted");
        self.see("a move to the same definition");
        Ok(())
    }

    /// What is offered about a stuck leg is what the saga takes, no less and no more.
    fn offers_what_it_takes(&mut self) -> Law {
        for stuck in self.play.saga.stuck().into_iter().take(2) {
            let path = || stuck.leg.path.clone();
            for (offer, verb) in [
                (Offer::Retry, Some(Verb::Retry(Legs::All))),
                (Offer::Output, Some(Verb::Resolve(Legs::Of(path()), Resolution::Output(Payload::null())))),
                (Offer::NotDone, Some(Verb::Resolve(Legs::Of(path()), Resolution::NotDone))),
                (Offer::Undone, Some(Verb::Resolve(Legs::Of(path()), Resolution::Undone))),
                (Offer::Skip, Some(Verb::Skip(Legs::Of(path())))),
                (Offer::Cancel, Some(Verb::Cancel)),
                (Offer::Abandon, Some(Verb::Abandon)),
                (Offer::Move, None),
            ] {
                let mut saga = self.play.saga.clone();
                let moved = Moved { code: saga.code(), act: Act::default() };
                let events = match verb {
                    Some(verb) => saga.act(verb, Act::default(), self.play.context()),
                    None => saga.move_to(Arc::clone(self.play.saga.plan()), moved, self.play.context()),
                };
                let takes = events.is_ok_and(|events| !events.is_empty());
                law!(
                    takes == stuck.offers.contains(&offer),
                    "{}: {offer:?} is offered and not taken, or the other way round",
                    stuck.leg
                );
            }
            self.see("offers of a stuck leg");
        }
        Ok(())
    }

    fn see_place(&mut self, event: &Event) {
        match event {
            Event::Intent(intent) => {
                let path = intent.attempt.leg.path.as_str();
                match (path.contains('/'), path.contains('[')) {
                    (true, true) => self.see("a step of a child of an element"),
                    (true, false) => self.see("a step of a child"),
                    (false, true) => self.see("an element"),
                    (false, false) => {}
                }
            }
            Event::Listed(_, elements) if elements.is_empty() => self.see("a list of no elements"),
            Event::Stuck(_, Why::Refused(failure)) if failure.code == "no_list" => self.see("stuck for a list"),
            Event::Refused(attempt, _) if self.model.step(&attempt.leg.path).is_ok_and(|step| step.is_result()) => {
                self.see("a refusal that is a result");
            }
            _ => {}
        }
    }

    /// What an operator is told to fit does fit, and a refusal has its reason.
    fn rejected(&mut self, step: &Move, target: Option<&Given>, rejected: &Rejected) -> Law {
        match rejected {
            Rejected::Ended => law!(self.model.ended.is_some(), "the saga has not ended"),
            Rejected::DoesNotMove(obstacles) => {
                let fits = target.is_some_and(|target| self.model.obstacle(target).is_none());
                law!(!fits, "it could move, and does not: {obstacles:?}");
            }
            Rejected::NoSuchStep(path) => law!(self.model.step(path).is_err(), "there is a step {path}"),
            Rejected::PastPointOfNoReturn => {
                law!(*step == Move::Verb(Verb::Cancel) && self.model.is_past_point_of_no_return(), "there is a way back");
            }
            Rejected::DoesNotFit { fits, .. } => {
                law!(fits.last() == Some(&"abandon"), "abandon always fits");
                for (name, verb) in [("cancel", Verb::Cancel), ("retry", Verb::Retry(Legs::All))] {
                    let takes = self.play.saga.clone().act(verb, amends_core::event::Act::default(), self.play.context());
                    let means = |event: &Event| matches!(event, Event::CancelRequested(Cancel::Asked(_)) | Event::Retried(..));
                    let takes = takes.is_ok_and(|events| events.iter().any(means));
                    law!(takes == fits.contains(&name), "{name} is said to fit and does not, or the other way round");
                }
            }
        }
        self.see(match rejected {
            Rejected::Ended => "409 ended",
            Rejected::PastPointOfNoReturn => "409 past the point of no return",
            Rejected::DoesNotMove(_) => "409 does not move",
            Rejected::NoSuchStep(_) => "409 no such step",
            Rejected::DoesNotFit { .. } => "409 does not fit",
        });
        Ok(())
    }

    /// Liveness: once everything answers `done`, timers fire, events come, grants are given and what is stuck is tried again,
    /// every saga ends within a bounded number of inputs. And what it recorded is what it is.
    fn comes_to_an_end(mut self) -> Result<Vec<(amends_core::Instant, Event)>, String> {
        let bound = 40 + 100 * self.model.steps.len();
        for (n, step) in [Move::Journal(Room::Free), Move::Reach(true)].into_iter().enumerate() {
            self.step(&step).map_err(|problem| format!("before the end, {n}: {problem}"))?;
        }
        let mut inputs = 0;
        while let Some(step) = self.helpful() {
            inputs += 1;
            law!(inputs <= bound, "the saga does not come to an end: {}", self.play.saga.status().as_str());
            self.step(&step).map_err(|problem| format!("on the way to the end, {step}: {problem}"))?;
        }
        law!(self.play.saga.is_ended(), "nothing helps the saga on");
        law!(self.play.replayed().as_ref() == Ok(&self.play.saga), "the fold of the journal is not the saga");
        Ok(self.play.history)
    }

    fn helpful(&self) -> Option<Move> {
        if self.play.saga.is_ended() {
            return None;
        }
        if !self.play.saga.has_its_locks() {
            return Some(Move::Locks(None));
        }
        let effects = self.play.saga.effects();
        let stuck = self.play.saga.view().stuck;
        if let Some(intent) = effects.run.first() {
            let outcome = Said::Outcome(Outcome::Done(Payload::null()));
            let leg = intent.attempt.leg.clone();
            return Some(Move::Report { leg, number: None, outcome, left: Left::Answered, sends: Sends::default() });
        }
        let no_list = |why: &Why| matches!(why, Why::Refused(failure) if failure.code == "no_list");
        if stuck.iter().any(|stuck| no_list(&stuck.why)) {
            return Some(Move::Verb(Verb::Abandon));
        }
        if stuck.iter().any(|stuck| matches!(stuck.why, Why::Denied(_))) {
            return Some(Move::GrantsChange);
        }
        if !stuck.is_empty() {
            return Some(Move::Verb(Verb::Retry(Legs::All)));
        }
        if let Some(topic) = effects.topics.first() {
            return Some(Move::Event { topic: topic.clone(), id: format!("help-{}", self.play.saga.revision()) });
        }
        let unanswered = self.model.legs().find_map(|(leg, at)| match at {
            At::Waits(wait, _) => Some((leg, wait.answer?)),
            _ => None,
        });
        if let Some((leg, number)) = unanswered {
            return Some(Move::Answer { leg, number, accepted: true });
        }
        effects.wake_at.map(|at| Move::Pass(at.since(self.play.now)))
    }

    fn see_event(&mut self, event: &Event) {
        self.see(event.name());
        match event {
            Event::Stuck(_, why) => self.see(match why {
                Why::Exhausted(_) => "stuck: exhausted",
                Why::Refused(_) => "stuck: refused",
                Why::Unknown(_) => "stuck: unknown",
                Why::PivotInDoubt(_) => "stuck: pivot in doubt",
                Why::Denied(_) => "stuck: denied",
                Why::HostDied => "stuck: host died",
                Why::JournalFull => "stuck: journal full",
            }),
            Event::RollbackBegun(reason) => self.see(match reason {
                Reason::Refused(..) => "rollback: refused",
                Reason::Exhausted(..) => "rollback: exhausted",
                Reason::Unknown(..) => "rollback: unknown",
                Reason::Cancelled => "rollback: cancelled",
                Reason::Deadline => "rollback: deadline",
            }),
            Event::CancelRequested(cancel) => self.see(match cancel {
                Cancel::Asked(_) => "cancel: asked",
                Cancel::Deadline => "cancel: deadline",
            }),
            _ => {}
        }
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}

const UNDONE_RESULT: &str = "an element is undone before its refusal is a result";

/// Everything that a run of any size must have met.
pub(crate) const MUST_BE_SEEN: &[&str] = &[
    "started",
    "intent",
    "done",
    "refused",
    "transient",
    "unknown",
    "not_done",
    "wait",
    "arrived",
    "sent",
    "published",
    "answered",
    "timer_fired",
    "stale",
    "backoff",
    "rollback_begun",
    "round_begun",
    "a move to the same definition",
    "moved",
    "409 does not move",
    "lock_queued",
    "lock_taken",
    "lock_broken",
    "cancelled in the queue",
    "listed",
    "a step of a child",
    "an element",
    "a step of a child of an element",
    "a refusal that is a result",
    "stuck for a list",
    "offers of a stuck leg",
    "a list of no elements",
    "a third round",
    "a rollback goes on to the start",
    "undone",
    "resolved",
    "skipped",
    "retried",
    "cancel_requested",
    "stuck",
    "unstuck",
    "completed",
    "compensated",
    "abandoned",
    "stuck: exhausted",
    "stuck: refused",
    "stuck: unknown",
    "stuck: pivot in doubt",
    "stuck: denied",
    "stuck: host died",
    "stuck: journal full",
    "rollback: refused",
    "rollback: exhausted",
    "rollback: unknown",
    "rollback: cancelled",
    "rollback: deadline",
    "cancel: asked",
    "cancel: deadline",
    "running",
    "waiting",
    "compensating",
    "a late success",
    "a stale outcome",
    "a compensation waits",
    "an attempt alone",
    "an alternate",
    "an alternate of a compensation",
    "an alternate is undone before the next",
    UNDONE_RESULT,
    "resolved in a rollback",
    "a cancel that the pivot decides",
    "409 ended",
    "409 past the point of no return",
    "409 does not fit",
];
