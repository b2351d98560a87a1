//! The laws of a whole turn: what a report may be recorded as, and what holds when a saga has come to rest.

use std::collections::BTreeSet;

use amends_core::{
    Context, Event, Input, Instant, Saga,
    definition::{Kind, Undo},
    event::{Attempt, Charge, Intent, Wait, Why},
    id::{Direction, Leg, StepPath},
    outcome::{Left, Message, Outcome, Report},
    view::Status,
};

use crate::model::{At, Law, Model, StepModel, is_undo, law};

impl Model {
    /// Folds a turn's events and asks whether they are what the input calls for.
    pub(crate) fn turn(&mut self, input: Option<&Input>, events: &[Event], context: &Context) -> Law {
        match input {
            Some(Input::Report(report)) => self.report(report, events, context)?,
            Some(Input::Arrived(arrival)) => {
                let fresh = !self.consumed.contains(&arrival.id);
                let awaits = |wait: &Wait| wait.event.as_ref() == Some(&arrival.topic);
                let awaited = self.legs().any(|(_, at)| matches!(at, At::Waits(wait, _) if awaits(wait)));
                let first = matches!(events.first(), Some(Event::Arrived(..)));
                law!(first == (fresh && awaited), "the event that is awaited comes first, before any timer");
            }
            Some(Input::HostStopped { executing }) => {
                let open: Vec<_> = self.legs().filter_map(|(_, at)| open(at)).cloned().collect();
                for intent in open {
                    let charge = Charge::HostStop { executing: executing.contains(&intent.attempt) };
                    let nothing = !intent.reaches_outside || intent.attempt.leg.direction == Direction::Check;
                    let recorded = events.iter().any(|event| match event {
                        Event::Transient(attempt, _, c) => nothing && *attempt == intent.attempt && *c == charge,
                        Event::Unknown(attempt, _, c) => !nothing && *attempt == intent.attempt && *c == charge,
                        _ => false,
                    });
                    law!(recorded, "{} was open when the host stopped", intent.attempt.leg);
                }
            }
            Some(Input::Answered(leg, answered)) => {
                let is_in_hand = self.legs().any(|(known, _)| known == *leg);
                let used = self.step(&leg.path).ok().map(|step| step.leg(leg).clone()).filter(|_| is_in_hand);
                let command = used.and_then(|used| used.commands.get(answered.number as usize).cloned());
                let is_news = command.is_some_and(|command| command.is_none()) && self.ended.is_none();
                let first = matches!(events.first(), Some(Event::Answered(..)));
                law!(first == is_news, "the answer to a command that was sent is recorded, once");
            }
            Some(Input::Wake | Input::GrantsChanged | Input::CodeCame(_) | Input::LocksTaken | Input::LocksQueued(_)) | None => {}
        }
        events.iter().try_for_each(|event| self.fold(event, context))?;
        let denied = self.legs().find(|(_, at)| matches!(at, At::Stuck(Why::Denied(_))));
        let granted = matches!(input, Some(Input::GrantsChanged));
        law!(!granted || denied.is_none(), "grants changed, and a leg is stuck for want of one");
        Ok(())
    }

    /// Law 5: what was said and what left decide what is recorded.
    fn report(&mut self, report: &Report, events: &[Event], context: &Context) -> Law {
        let Report { attempt, outcome, left, messages } = report;
        let open = self.step(&attempt.leg.path).ok().and_then(|step| {
            let used = step.leg(&attempt.leg);
            used.is_open(attempt).then(|| used.reaches_outside())
        });
        // What an attempt sends is recorded in front of its outcome.
        let is_sent = |event: &&Event| matches!(event, Event::Sent(..) | Event::Published(..));
        let sent = events.iter().take_while(is_sent).count();
        let first = events.get(sent).map_or("nothing", Event::name);
        let leaves = open.is_some() && attempt.leg.direction != Direction::Check && ["done", "undone", "wait"].contains(&first);
        law!(sent == if leaves { messages.len() } else { 0 }, "{} {first} leaves with {sent} messages", attempt.leg);
        let Some(reaches) = open else {
            law!(first == "stale", "{} was not open, and is recorded as {first}", attempt.leg);
            return Ok(());
        };
        let nothing_left = *left == Left::Nothing || !reaches;
        let unanswered = *left == Left::Unanswered && reaches;
        let trap = if nothing_left { "transient" } else { "unknown" };
        let says = match (outcome, attempt.leg.direction) {
            (Outcome::Done(_), Direction::Undo(_)) => "undone",
            (Outcome::Done(_), _) => "done",
            (Outcome::Refused(_) | Outcome::Transient(_), _) if unanswered => "unknown",
            (Outcome::Refused(_), Direction::Forward) => "refused",
            (Outcome::Refused(_) | Outcome::Transient(_), _) => "transient",
            (Outcome::Unknown(_), _) if reaches => "unknown",
            (Outcome::Unknown(_), _) => "transient",
            (Outcome::NotDone, Direction::Check) => "not_done",
            (Outcome::Wait(_), Direction::Check) => trap,
            (Outcome::Wait(wait), _) if is_within_ten_years(wait, context.now) && self.will_hear(attempt, wait, messages) => {
                "wait"
            }
            (Outcome::Wait(_) | Outcome::Trapped(_) | Outcome::HostFault(_) | Outcome::NotDone | Outcome::Denied(_), _) => trap,
        };
        law!(first == says, "{} {} is recorded as {first}, not {says}", attempt.leg, outcome.name());
        if matches!(outcome, Outcome::Denied(_)) && is_undo(&attempt.leg) == self.rolls_back {
            law!(matches!(events.get(1), Some(Event::Stuck(..))), "{} was denied and is not stuck", attempt.leg);
        }
        Ok(())
    }

    /// An answer that is waited for is one to a command that the leg has sent, now or before.
    fn will_hear(&mut self, attempt: &Attempt, wait: &Wait, messages: &[Message]) -> bool {
        let Some(number) = wait.answer else { return true };
        let before = self.step(&attempt.leg.path).is_ok_and(|step| {
            let leg = step.leg(&attempt.leg);
            leg.commands.len() > number as usize && !leg.told.contains(&number)
        });
        let now = messages.iter().any(|message| matches!(message, Message::Command(sent) if sent.number == number));
        now || before
    }

    /// What holds between two inputs.
    pub(crate) fn quiet(&mut self, saga: &Saga, now: Instant) -> Law {
        law!(saga.is_ended() == self.ended.is_some(), "the saga is wrong about its end");
        law!(
            saga.is_past_point_of_no_return() == self.is_past_point_of_no_return(),
            "the saga is wrong about the point of no return"
        );
        if self.ended.is_none() {
            self.nothing_is_overdue(saga, now)?;
            self.everything_goes_on()?;
        }
        self.effects(saga)?;
        self.view(saga)
    }

    fn nothing_is_overdue(&mut self, saga: &Saga, now: Instant) -> Law {
        let mut due_legs = Vec::new();
        for (leg, at) in self.legs() {
            let due = match at {
                At::Waits(wait, _) => wait.until.is_some_and(|until| until <= now),
                At::BacksOff { until, .. } => *until <= now,
                At::Due => true,
                At::Nowhere | At::Open(_) | At::Stuck(_) => false,
            };
            due_legs.extend(due.then_some(leg));
        }
        for leg in due_legs {
            law!(!self.has_place(&leg.path)?, "{leg} is overdue");
        }
        let late = saga.started().deadline_at.is_some_and(|at| at <= now);
        law!(!late || self.deadline_seen, "the deadline has passed and nothing says so");
        let pivot = self.steps.iter().find(|step| step.step.kind == Kind::Pivot);
        let held = pivot.is_some_and(|pivot| {
            pivot.legs().any(|leg| matches!(leg.at, At::Open(_))) || (pivot.doubts > 0 && !pivot.has_undo())
        });
        let cancelled = self.cancel_asked || self.deadline_seen;
        let rolls_back = self.rolls_back && self.back_to == 0 || self.is_past_point_of_no_return() || held;
        law!(!cancelled || rolls_back, "a cancel is neither done nor decided by the pivot");
        Ok(())
    }

    /// No step of the stage that moves is forgotten.
    fn everything_goes_on(&self) -> Law {
        let live = |leg: &crate::model::LegModel| !matches!(leg.at, At::Nowhere);
        if !self.rolls_back && self.waits_for_locks {
            return Ok(());
        }
        if !self.rolls_back {
            let open: Vec<&StepModel> = self.steps.iter().filter(|step| !self.is_settled(step)).collect();
            law!(!open.is_empty(), "every step is done, and the saga goes on");
            for step in open.iter().filter(|step| !step.fans_out || !step.listed) {
                let later = open.iter().any(|other| other.place.is_before(&step.place));
                law!(later || step.legs().any(live) || self.is_full(step), "{} is forgotten", step.path);
                let once = step.spent_its_once && !matches!(step.forward.at, At::Stuck(_));
                law!(!once, "{} is run once, may have happened, and is not stuck", step.path);
            }
            return Ok(());
        }
        let open = |step: &StepModel| matches!(step.forward.at, At::Open(_)) || matches!(step.check.at, At::Open(_));
        let wants = |step: &StepModel| step.place.stage() >= self.back_to && step.wants_undo();
        law!(self.steps.iter().any(|step| open(step) || wants(step)), "everything is undone, and the saga goes on");
        if self.steps.iter().any(open) {
            return Ok(());
        }
        for step in self.steps.iter().filter(|step| wants(step)) {
            let earlier = self.steps.iter().any(|other| wants(other) && step.place.is_before(&other.place));
            law!(earlier || live(&step.undo) || self.is_full(step), "the compensation of {} is forgotten", step.path);
        }
        Ok(())
    }

    /// As many elements of a fan-out that the step is in are under way as may be.
    fn is_full(&self, step: &StepModel) -> bool {
        let busy = |at: &At| !matches!(at, At::Nowhere | At::Stuck(_));
        self.steps.iter().any(|each| {
            let depth = each.place.depth();
            let below = self.steps.iter().filter(|other| other.place.is_element_of(&each.place) && !other.gone);
            let elements: BTreeSet<_> =
                below.filter(|step| step.legs().any(|leg| busy(&leg.at))).map(|step| step.place.at(depth)).collect();
            let concurrency = each.step.each.as_ref().map_or(usize::MAX, |each| each.concurrency as usize);
            each.fans_out && step.place.is_element_of(&each.place) && elements.len() >= concurrency
        })
    }

    /// What the saga wants is what its events say that it wants; and it tells each guest the truth.
    fn effects(&self, saga: &Saga) -> Law {
        let effects = saga.effects();
        let mut open: Vec<_> = self.legs().filter_map(|(_, at)| open(at)).cloned().collect();
        open.sort_by(|a, b| a.attempt.cmp(&b.attempt));
        let mut run = effects.run.clone();
        run.sort_by(|a, b| a.attempt.cmp(&b.attempt));
        law!(run == open, "what is open and what is to run differ");
        let moments = self.legs().filter_map(|(_, at)| match at {
            At::Waits(wait, _) => wait.until,
            At::BacksOff { until, .. } => Some(*until),
            _ => None,
        });
        let deadline = saga.started().deadline_at.filter(|_| self.ended.is_none() && !self.deadline_seen);
        law!(effects.wake_at == moments.chain(deadline).min(), "the saga wants to be woken at the wrong time");
        let topics = self.legs().filter(|(_, at)| matches!(at, At::Waits(Wait { event: Some(_), .. }, _)));
        law!(effects.topics.len() == topics.count(), "the saga waits for the wrong events");
        for step in &self.steps {
            for (direction, leg) in [(Direction::Forward, &step.forward), (Direction::Undo(0), &step.undo)] {
                let At::Open(intent) = &leg.at else { continue };
                let Some(call) = saga.call(intent) else { return Err(format!("{} has no call", intent.attempt.leg)) };
                let cause = step.undone_for.as_ref().filter(|_| is_undo(&intent.attempt.leg));
                law!(call.rollback_cause.as_ref() == cause, "{} is told a wrong cause", intent.attempt.leg);
                law!(call.arrived == leg.arrived, "{} is not told what arrived", intent.attempt.leg);
                law!(
                    call.own_output.is_some() == (is_undo(&intent.attempt.leg) && step.done),
                    "{} has a wrong output",
                    step.path
                );
                let mark = direction != Direction::Forward || call.may_have_run == (step.doubts > 0);
                law!(mark, "{} is told a wrong mark", step.path);
            }
        }
        Ok(())
    }

    fn view(&self, saga: &Saga) -> Law {
        let view = saga.view();
        law!(view.status.as_str() == self.status(), "{} is shown, and it is {}", view.status.as_str(), self.status());
        law!(view.status == saga.status() && view.status.is_ended() == saga.is_ended(), "two statuses");
        let held = view.locks.map_or(Vec::new(), |locks| locks.keys);
        let keys = self.locks.iter().filter(|_| self.ended.is_none());
        law!(held.iter().eq(keys), "the lock keys are wrong");
        law!(view.manual == self.manual, "manual is wrong");
        law!(view.past_point_of_no_return == self.is_past_point_of_no_return(), "the point of no return is shown wrong");
        let stands = |step: &&StepModel| {
            let stands = step.done || step.may_have_run();
            stands && !matches!(step.undone, Some("code" | "hand")) && step.step.undo != Undo::Nothing
        };
        let shown = self.rolls_back || self.ended == Some("abandoned");
        let shown = |step: &&StepModel| step.left_standing || step.undone == Some("skip") || shown && stands(step);
        let outstanding: BTreeSet<&StepPath> = self.steps.iter().filter(shown).map(|step| &step.path).collect();
        let shown: BTreeSet<&StepPath> = view.outstanding.iter().collect();
        law!(shown == outstanding && shown.len() == view.outstanding.len(), "outstanding is wrong");
        let clean = self.steps.iter().all(|step| step.undone != Some("skip") && !step.left_standing);
        let compensated = view.status == Status::Compensated && clean;
        law!(!compensated || view.outstanding.is_empty(), "compensated, and {:?} stands", view.outstanding);
        let stuck: BTreeSet<Leg> = self.legs().filter(|(_, at)| matches!(at, At::Stuck(_))).map(|(leg, _)| leg).collect();
        law!(
            view.stuck.iter().map(|stuck| stuck.leg.clone()).collect::<BTreeSet<_>>() == stuck,
            "the wrong legs are shown as stuck"
        );
        for step in &self.steps {
            let Some(shown) = view.steps.iter().find(|shown| shown.path == step.path) else {
                return Err(format!("{} is not shown", step.path));
            };
            let mark = !step.done && step.may_have_run();
            law!(shown.may_have_run == mark, "the mark of {} is shown wrong", step.path);
            law!(shown.manual == step.by_hand, "{} is wrong about the hand", step.path);
        }
        Ok(())
    }

    fn status(&self) -> &'static str {
        let any = |test: fn(&At) -> bool| self.legs().any(|(_, at)| test(at));
        let runs = any(|at| matches!(at, At::Open(_)));
        let waits = any(|at| match at {
            At::Waits(..) => true,
            At::BacksOff { since, until } => until.since(*since) > 5_000,
            _ => false,
        });
        let soon = any(|at| matches!(at, At::BacksOff { since, until } if until.since(*since) <= 5_000));
        let stuck = any(|at| matches!(at, At::Stuck(_)));
        match self.ended {
            Some(end) => end,
            None if self.waits_for_locks && !self.rolls_back => "waiting",
            None if stuck && !runs && !waits && !soon => "stuck",
            None if self.rolls_back => "compensating",
            None if waits && !runs && !soon => "waiting",
            None => "running",
        }
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = (Leg, &At)> {
        self.steps.iter().flat_map(|step| {
            let forward = Leg { alternate: step.alternate, round: step.round, ..Leg::forward(step.path.clone()) };
            [
                (forward.clone(), &step.forward.at),
                (forward.turned(Direction::Check), &step.check.at),
                (forward.turned(Direction::Undo(step.undo_alternate)), &step.undo.at),
            ]
        })
    }
}

fn open(at: &At) -> Option<&Intent> {
    match at {
        At::Open(intent) => Some(intent),
        _ => None,
    }
}

fn is_within_ten_years(wait: &Wait, now: Instant) -> bool {
    let ten_years = now.plus(3_653 * 86_400_000);
    (wait.event.is_some() || wait.until.is_some() || wait.answer.is_some()) && wait.until.is_none_or(|until| until <= ten_years)
}
