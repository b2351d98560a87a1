//! A second, independent reading of the rules: a fold of the events that objects to what the rules forbid.
//!
//! It is written from the rules and not from the core: it keeps what the rules speak of, and decides nothing.

use std::{collections::BTreeSet, sync::Arc};

use amends_core::{
    Context, Definition, Event, Failure, Instant, Room,
    definition::{Body, EachMode, Kind, OnExhausted, OnUnknown, Retry, Step, Undo},
    elements::Element,
    event::{Answer, Answered, Attempt, Cancel, Charge, Intent, Reason, Resolution, RollbackCause, Round, Wait, Why, Woken},
    id::{Direction, Leg, StepPath},
    retry::AGAIN_MS_MIN,
};

use crate::script::Given;

pub(crate) type Law = Result<(), String>;

macro_rules! law {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use law;

/// What the rules speak of, of one saga.
pub(crate) struct Model {
    pub(crate) steps: Vec<StepModel>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) module: Vec<Arc<Definition>>,
    /// It has gone over to another version, and its record is to come.
    pub(crate) moves: bool,
    /// It wants lock keys, and they are not its own yet.
    pub(crate) waits_for_locks: bool,
    pub(crate) queued: bool,
    pub(crate) locks: BTreeSet<String>,
    pub(crate) rolls_back: bool,
    /// Why it rolls back.
    pub(crate) reason: Option<Reason>,
    /// The first stage that the rollback undoes.
    pub(crate) back_to: usize,
    pub(crate) round: u32,
    pub(crate) rounds: u32,
    /// Stages before which a rollback may stop, with the savepoint's name.
    pub(crate) savepoints: Vec<(usize, String)>,
    pub(crate) ended: Option<&'static str>,
    pub(crate) cancel_asked: bool,
    pub(crate) deadline_seen: bool,
    pub(crate) consumed: BTreeSet<String>,
    pub(crate) manual: u32,
}

/// One step of code, or a fan-out whose list is not known yet.
#[derive(Clone)]
pub(crate) struct StepModel {
    pub(crate) path: StepPath,
    pub(crate) place: Place,
    /// It fans out: then it has no attempts, and is done with its last element.
    pub(crate) fans_out: bool,
    pub(crate) listed: bool,
    /// The keys of its elements.
    pub(crate) elements: Vec<String>,
    /// An element of a round that is over, which the list of this one does not have.
    pub(crate) gone: bool,
    pub(crate) step: Step,
    /// The alternates in hand.
    pub(crate) alternate: u32,
    pub(crate) round: u32,
    pub(crate) undo_alternate: u32,
    /// Some attempt of some alternate was begun.
    pub(crate) begun: bool,
    /// An earlier alternate stands: an operator gave its compensation up.
    pub(crate) left_standing: bool,
    pub(crate) forward: LegModel,
    pub(crate) check: LegModel,
    pub(crate) undo: LegModel,
    pub(crate) done: bool,
    /// The last forward attempt was refused.
    pub(crate) refused: bool,
    /// Ended forward attempts that could reach outside and were neither refused nor transient.
    pub(crate) doubts: u32,
    pub(crate) undone: Option<&'static str>,
    /// How the alternate in hand was refused last.
    pub(crate) refusal: Option<Failure>,
    /// What the first attempt to undo it was told, and every other one has to be.
    pub(crate) undone_for: Option<RollbackCause>,
    pub(crate) by_hand: bool,
    /// It is run once, may have happened, and no operator has said otherwise since.
    pub(crate) spent_its_once: bool,
    /// It may have happened, and the check has not answered since.
    pub(crate) must_ask: bool,
}

/// One leg.
#[derive(Clone, Default)]
pub(crate) struct LegModel {
    pub(crate) at: At,
    pub(crate) attempts: u32,
    /// The commands that it has sent, each with its answer when that has come.
    pub(crate) commands: Vec<Option<Answered>>,
    /// Those of them whose answer ended a wait.
    pub(crate) told: BTreeSet<u32>,
    /// Those of them that count among what may have happened.
    pub(crate) standing: BTreeSet<u32>,
    /// Failures that count, since the budget was fresh.
    pub(crate) charged: u32,
    pub(crate) since: Option<Instant>,
    /// What does not run against the time box: waits, and what the host could not run.
    pub(crate) waited_ms: u64,
    /// When its last attempt began.
    pub(crate) open_since: Instant,
    pub(crate) stops: u32,
    /// Its last attempt ended by a fault of the host: it is tried again, whatever is used up.
    pub(crate) host_failed: bool,
    /// It backs off because of that.
    pub(crate) host_backs_off: bool,
    /// Said by an operator to be tried although its budget is used up.
    pub(crate) beyond_budget: bool,
    pub(crate) arrived: Option<Woken>,
}

/// Where a leg is.
#[derive(Clone, Default)]
pub(crate) enum At {
    /// Never begun, or at the end of an attempt.
    #[default]
    Nowhere,
    /// It is to begin in this turn.
    Due,
    Open(Intent),
    Waits(Wait, Instant),
    BacksOff {
        since: Instant,
        until: Instant,
    },
    Stuck(Why),
}

impl Model {
    pub(crate) fn new(given: &Given) -> Self {
        let definition = &given.definition;
        Self {
            steps: planted(definition, &given.module, "", &Place::default()),
            definition: Arc::clone(definition),
            module: given.module.clone(),
            moves: false,
            waits_for_locks: !definition.locks.is_empty(),
            queued: false,
            locks: given.started().lock_keys.into_iter().collect(),
            rolls_back: false,
            reason: None,
            back_to: 0,
            round: 0,
            rounds: definition.rounds,
            savepoints: savepoints(definition),
            ended: None,
            cancel_asked: false,
            deadline_seen: false,
            consumed: BTreeSet::new(),
            manual: 0,
        }
    }

    pub(crate) fn is_past_point_of_no_return(&self) -> bool {
        self.steps.iter().any(|step| match step.step.kind {
            Kind::Pivot => step.done,
            Kind::Retriable => step.done || step.begun || step.fans_out && self.is_settled(step),
            Kind::Compensatable => false,
        })
    }

    /// Folds one event; objects if it may not come now.
    pub(crate) fn fold(&mut self, event: &Event, context: &Context) -> Law {
        law!(self.ended.is_none() || matches!(event, Event::Stale(..)), "{} after the end", event.name());
        let now = context.now;
        match event {
            Event::Started(_) => return Err("started twice".into()),
            Event::Intent(intent) => self.intent(intent, context)?,
            Event::Listed(path, elements) => self.listed(path, elements)?,
            Event::Done(attempt, _) => {
                self.ends(attempt, Charge::Leg, now)?;
                law!(!is_undo(&attempt.leg), "a compensation ends undone");
                self.step_done(&attempt.leg.path)?;
            }
            Event::Undone(attempt) => {
                self.ends(attempt, Charge::Leg, now)?;
                law!(is_undo(&attempt.leg), "only a compensation ends undone");
                let step = self.step(&attempt.leg.path)?;
                law!(step.undone.is_none(), "{} is undone twice", step.path);
                step.undone = Some("code");
            }
            Event::Refused(attempt, failure) => {
                self.ends(attempt, Charge::Leg, now)?;
                law!(attempt.leg.direction == Direction::Forward, "only a step is refused");
                let step = self.step(&attempt.leg.path)?;
                (step.refused, step.refusal) = (true, Some(failure.clone()));
            }
            Event::Transient(attempt, _, charge) => {
                self.ends(attempt, *charge, now)?;
                self.charge(&attempt.leg, *charge)?;
            }
            Event::Unknown(attempt, _, charge) => {
                let reached = self.ends(attempt, *charge, now)?;
                self.charge(&attempt.leg, *charge)?;
                self.unknown(attempt, reached)?;
            }
            Event::NotDone(attempt) => {
                self.ends(attempt, Charge::Leg, now)?;
                law!(attempt.leg.direction == Direction::Check, "only a check says not-done");
                let step = self.step(&attempt.leg.path)?;
                // What cannot be undone is taken at its check's word.
                (step.must_ask, step.doubts) = (false, if step.has_undo() { step.doubts } else { 0 });
                if !step.has_undo() {
                    step.forward.standing.clear();
                }
            }
            Event::Wait(attempt, wait) => {
                let reached = self.ends(attempt, Charge::Leg, now)?;
                law!(wait.event.is_some() || wait.until.is_some() || wait.answer.is_some(), "a wait for nothing");
                let rolls_back = self.rolls_back;
                let step = self.step(&attempt.leg.path)?;
                step.doubts += u32::from(reached && attempt.leg.direction == Direction::Forward);
                if is_undo(&attempt.leg) || !rolls_back {
                    let leg = step.leg(&attempt.leg);
                    // An answer that came before the wait ends it at once.
                    let known = wait.answer.and_then(|number| leg.commands.get(number as usize).cloned().flatten());
                    law!(wait.answer.is_none_or(|number| leg.commands.len() > number as usize), "a wait for no command");
                    law!(wait.answer.is_none_or(|number| !leg.told.contains(&number)), "a wait for an answer that it has had");
                    leg.at = At::Waits(wait.clone(), now);
                    if let Some(answered) = known {
                        self.wakes(&attempt.leg, |_| true, Woken::Answer(answered), now)?;
                    }
                }
            }
            Event::Sent(attempt, sent) => {
                self.sends(attempt)?;
                let step = self.step(&attempt.leg.path)?;
                step.doubts += u32::from(attempt.leg.direction == Direction::Forward);
                let leg = step.leg(&attempt.leg);
                leg.standing.insert(sent.number);
                let commands = &mut leg.commands;
                law!(commands.len() == sent.number as usize, "command {} of {} is out of order", sent.number, attempt.leg);
                commands.push(None);
            }
            Event::Published(attempt, _) => {
                self.sends(attempt)?;
                self.step(&attempt.leg.path)?.doubts += u32::from(attempt.leg.direction == Direction::Forward);
            }
            Event::Answered(leg, answered) => {
                let step = self.step(&leg.path)?;
                // What is being undone is undone to the end.
                let is_being_undone = step.undone_for.is_some();
                let used = step.leg(leg);
                let command = used.commands.get_mut(answered.number as usize);
                law!(command.as_ref().is_some_and(|command| command.is_none()), "{leg} gets an answer that it does not wait for");
                if let Some(command) = command {
                    *command = Some((**answered).clone());
                }
                let is_refused = matches!(answered.answer, Answer::Refused(_)) && !is_being_undone;
                let falls = is_refused && used.standing.remove(&answered.number) && leg.direction == Direction::Forward;
                let awaited = |wait: &Wait| wait.answer == Some(answered.number);
                if matches!(&used.at, At::Waits(wait, _) if awaited(wait)) {
                    self.wakes(leg, awaited, Woken::Answer((**answered).clone()), now)?;
                }
                // What was refused did not happen.
                let step = self.step(&leg.path)?;
                step.doubts -= u32::from(falls);
            }
            Event::Arrived(leg, arrival) => {
                law!(self.consumed.insert(arrival.id.clone()), "event {} is consumed twice", arrival.id);
                let awaited = |wait: &Wait| wait.event.as_ref() == Some(&arrival.topic);
                self.wakes(leg, awaited, Woken::Event(arrival.clone()), now)?;
            }
            Event::TimerFired(leg) => self.wakes(leg, |wait| wait.until.is_some_and(|until| until <= now), Woken::Timer, now)?,
            Event::Stale(attempt, _) => {
                law!(!self.is_open(attempt), "an open attempt of {} is called stale", attempt.leg);
            }
            Event::Backoff(leg, until) => self.backoff(leg, *until, now)?,
            Event::RollbackBegun(reason) => self.rollback(reason, now)?,
            Event::RoundBegun(round) => self.round_begun(round)?,
            Event::Resolved(path, resolution, _) => self.resolved(path, resolution)?,
            Event::Skipped(path, _) => {
                let step = self.step(path)?;
                law!(matches!(step.undo.at, At::Stuck(_)), "{path} is skipped and not stuck");
                step.undone = Some("skip");
                step.undo.at = At::Nowhere;
            }
            Event::Retried(legs, _) => legs.iter().try_for_each(|leg| self.again(leg))?,
            Event::Unstuck(leg) => {
                law!(matches!(self.step(&leg.path)?.leg(leg).at, At::Stuck(Why::Denied(_))), "{leg} was not denied");
                let once = leg.direction == Direction::Forward && self.step(&leg.path)?.spent_its_once;
                law!(!once, "{leg} is run once, and a grant runs it again");
                self.again(leg)?;
            }
            Event::CancelRequested(Cancel::Asked(_)) => {
                let too_late = self.rolls_back && self.back_to == 0 || self.is_past_point_of_no_return();
                law!(!too_late, "a cancel is taken too late");
                self.cancel_asked = true;
            }
            Event::CancelRequested(Cancel::Deadline) => {
                law!(!self.deadline_seen, "the deadline passes twice");
                self.deadline_seen = true;
            }
            Event::Stuck(leg, why) => self.stuck(leg, why, context)?,
            Event::Moved(_) => law!(std::mem::take(&mut self.moves), "nobody asked for a move"),
            Event::LockQueued(_) => {
                law!(self.waits_for_locks && !self.queued && !self.rolls_back, "queued out of turn");
                self.queued = true;
            }
            Event::LockTaken => {
                law!(self.waits_for_locks && !self.rolls_back, "its lock keys are taken out of turn");
                self.waits_for_locks = false;
            }
            Event::LockBroken(key, _) => {
                law!(!self.waits_for_locks && self.locks.remove(key), "{key} is broken and not held");
            }
            Event::Completed => {
                law!(
                    !self.rolls_back && self.steps.iter().all(|step| self.is_settled(step)),
                    "completed with a step that is not done"
                );
                self.ended = Some("completed");
            }
            Event::Compensated => {
                law!(self.rolls_back && self.back_to == 0, "compensated without a rollback");
                for step in &self.steps {
                    law!(!step.wants_undo(), "compensated, and {} is not undone", step.path);
                    law!(!step.legs().any(|leg| matches!(leg.at, At::Open(_))), "compensated, and {} is open", step.path);
                }
                self.ended = Some("compensated");
            }
            Event::Abandoned(_) => self.ended = Some("abandoned"),
        }
        for step in self.steps.iter_mut().filter(|step| step.turns() && !step.wants_undo()) {
            law!(self.rolls_back || step.legs().all(|leg| matches!(leg.at, At::Nowhere)), "{} turns too early", step.path);
            if !self.rolls_back {
                step.make_place();
            }
        }
        if self.ended.is_some() {
            for step in &mut self.steps {
                step.doubts += u32::from(step.forward.reaches_outside());
                (step.forward.at, step.check.at, step.undo.at) = (At::Nowhere, At::Nowhere, At::Nowhere);
            }
        }
        Ok(())
    }

    fn intent(&mut self, intent: &Intent, context: &Context) -> Law {
        let leg = &intent.attempt.leg;
        self.takes_in_hand(leg)?;
        let now = context.now;
        match leg.direction {
            Direction::Undo(_) => self.may_undo(&leg.path)?,
            Direction::Forward | Direction::Check => {
                law!(!self.rolls_back, "{leg} begins during a rollback");
                law!(!self.waits_for_locks, "{leg} begins before the saga has its lock keys");
                let at = self.at(&leg.path)?;
                let before = self.steps.iter().find(|step| step.place.is_before(&self.steps[at].place) && !self.is_settled(step));
                law!(before.is_none(), "{leg} begins before an earlier stage is done");
                law!(!self.is_settled(&self.steps[at]) && !self.steps[at].gone, "{leg} begins and is over");
                law!(!self.step(&leg.path)?.done, "{leg} begins and is done");
            }
        }
        let why = if self.rolls_back { self.reason.clone().map(|reason| RollbackCause::Saga(Arc::new(reason))) } else { None };
        let retry = self.retry(leg)?.clone();
        law!(self.has_place(&leg.path)?, "{leg} begins, and as many elements run as may");
        let step = self.step(&leg.path)?;
        law!(!step.fans_out, "{leg} is no code");
        let open = [&step.forward, &step.check, &step.undo].iter().any(|leg| matches!(leg.at, At::Open(_)));
        law!(!open, "two attempts of {} are open", step.path);
        match leg.direction {
            Direction::Forward => {
                law!(!step.spent_its_once, "{leg} is run once, may have happened, and begins again");
                law!(!step.must_ask, "{leg} begins and its check was not asked");
                law!(context.journal == Room::Free, "{leg} begins and the journal is full");
                step.refused = false;
            }
            Direction::Check => law!(step.must_ask, "{leg} begins and there is no question"),
            Direction::Undo(_) => {
                let refused = step.refusal.clone().map(RollbackCause::AlternateRefused);
                step.undone_for = step.undone_for.take().or(why).or(refused);
                law!(step.undone_for.is_some(), "{leg} begins, and nobody knows why");
            }
        }
        law!(context.journal != Room::Spent, "{leg} begins and the journal is spent");
        let (deadline_ms, effect_free) = match (&step.step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => (policy.deadline_ms, policy.effect_free),
            _ => (step.step.deadline_ms, step.step.effect_free),
        };
        let reaches = context.may_reach_outside && !effect_free;
        law!(intent.reaches_outside == reaches, "{leg} is wrong about reaching outside");
        law!(intent.deadline_at == now.plus(deadline_ms), "{leg} has a wrong deadline");
        let used = step.leg(leg);
        let due = match &used.at {
            At::Nowhere => used.attempts == 0,
            At::Due => true,
            At::BacksOff { until, .. } => *until <= now,
            At::Open(_) | At::Waits(..) | At::Stuck(_) => false,
        };
        law!(due, "{leg} begins and is not due");
        law!(intent.attempt.number == used.attempts + 1, "attempt numbers of {leg} do not increase by one");
        law!(used.stops < 3, "{leg} was running at three stops of the host and begins");
        law!(intent.solo == (used.stops == 2), "{leg} is wrong about running alone");
        let budget = used.beyond_budget || retry.attempts_max.is_none_or(|max| used.charged < max);
        law!(budget, "{leg} begins and its attempts are used up");
        if let At::BacksOff { since, .. } = &used.at
            && used.host_backs_off
        {
            used.waited_ms += now.since(*since);
        }
        (used.host_backs_off, used.open_since) = (false, now);
        used.attempts += 1;
        used.since.get_or_insert(now);
        used.at = At::Open(intent.clone());
        step.begun = true;
        Ok(())
    }

    /// The leg is one in hand. A compensation's next alternate takes over when the one before it is exhausted.
    fn takes_in_hand(&mut self, leg: &Leg) -> Law {
        let step = self.step(&leg.path)?;
        if leg.direction == Direction::Undo(step.undo_alternate + 1) {
            let Undo::Code(policy) = &step.step.undo else { return Err(format!("{leg} has no compensation")) };
            law!(step.undo_alternate < policy.alternates, "{leg} is no alternate that there is");
            law!(matches!(step.undo.at, At::Nowhere) && step.undo.attempts > 0, "{leg} begins before the one before it is over");
            law!(step.leg_is_exhausted(leg), "{leg} begins, and the one before it has tries left");
            (step.undo, step.undo_alternate) = (LegModel::default(), step.undo_alternate + 1);
        }
        law!(step.has_in_hand(leg), "{leg} is not in hand");
        Ok(())
    }

    /// A stage's undo begins when none of its forward attempts is open, and after all later stages are undone.
    fn may_undo(&mut self, path: &StepPath) -> Law {
        if self.step(path)?.undo.attempts > 0 || self.goes_back(path)? && !self.rolls_back {
            law!(self.step(path)?.wants_undo(), "{path} is undone and wants no undo");
            return Ok(());
        }
        law!(self.rolls_back, "{path} is undone without a rollback");
        let place = self.step(path)?.place.clone();
        law!(place.stage() >= self.back_to, "{path} is undone, and the rollback stops after it");
        for other in &self.steps {
            let open = matches!(other.forward.at, At::Open(_)) || matches!(other.check.at, At::Open(_));
            law!(!open, "{path} is undone while an attempt of {} is open", other.path);
            let later = place.is_before(&other.place);
            law!(!later || !other.wants_undo(), "{path} is undone before {} of a later stage", other.path);
            // What was undone so that its refusal could be a result was undone before the rollback.
            let earlier = other.place.is_before(&place) && other.undo.attempts > 0 && !other.gone && !other.is_result();
            law!(!earlier, "{path} is undone after {} of an earlier stage", other.path);
        }
        let step = self.step(path)?;
        law!(step.wants_undo(), "{path} is undone: it never happened, has no compensation, or is undone");
        Ok(())
    }

    /// Ends the open attempt; whether it could reach outside.
    fn ends(&mut self, attempt: &Attempt, charge: Charge, now: Instant) -> Result<bool, String> {
        let used = self.step(&attempt.leg.path)?.leg(&attempt.leg);
        law_open(used, attempt)?;
        let At::Open(intent) = std::mem::take(&mut used.at) else { return Err("not open".into()) };
        if intent.solo && charge == Charge::Leg {
            used.stops = 0;
        }
        used.waited_ms += match charge {
            Charge::HostFault => now.since(used.open_since),
            // It was ended at its deadline, but for what it had waited before.
            Charge::Leg => now.since(intent.deadline_at),
            Charge::HostStop { .. } => 0,
        };
        Ok(intent.reaches_outside)
    }

    fn charge(&mut self, leg: &Leg, charge: Charge) -> Law {
        let goes_on = is_undo(leg) || !self.rolls_back;
        let used = self.step(&leg.path)?.leg(leg);
        match charge {
            Charge::Leg => {
                used.charged += 1;
                used.beyond_budget = false;
                // What is refused to a compensation is asked again, and said to one attempt.
                let is_refused = |by: &Woken| matches!(by, Woken::Answer(Answered { answer: Answer::Refused(_), .. }));
                used.arrived = used.arrived.take().filter(|by| !is_undo(leg) || !is_refused(by));
            }
            Charge::HostFault => used.host_failed = true,
            Charge::HostStop { executing } => {
                used.stops += u32::from(executing);
                if goes_on {
                    used.at = At::Due;
                }
            }
        }
        Ok(())
    }

    fn unknown(&mut self, attempt: &Attempt, reached: bool) -> Law {
        if attempt.leg.direction != Direction::Forward {
            return Ok(());
        }
        law!(reached, "{} is unknown and could not reach outside", attempt.leg);
        let rolls_back = self.rolls_back;
        let step = self.step(&attempt.leg.path)?;
        step.doubts += 1;
        match step.step.on_unknown {
            OnUnknown::Retry => {}
            OnUnknown::Check => {
                step.must_ask = true;
                step.forward.at = At::Nowhere;
                step.check.at = if rolls_back { At::Nowhere } else { At::Due };
                // Every question has a budget of its own.
                (step.check.charged, step.check.since, step.check.waited_ms) = (0, None, 0);
            }
            OnUnknown::OnceThenRollback | OnUnknown::OnceThenStop => {
                step.spent_its_once = true;
                step.forward.at = At::Nowhere;
            }
        }
        Ok(())
    }

    fn step_done(&mut self, path: &StepPath) -> Law {
        let step = self.step(path)?;
        law!(!step.done, "{path} is done twice");
        step.done = true;
        (step.forward.at, step.check.at) = (At::Nowhere, At::Nowhere);
        Ok(())
    }

    /// An attempt that sends something is open, and no question.
    fn sends(&mut self, attempt: &Attempt) -> Law {
        law!(self.is_open(attempt), "attempt {} of {} sends something and is not open", attempt.number, attempt.leg);
        law!(attempt.leg.direction != Direction::Check, "a check sends something");
        Ok(())
    }

    fn wakes(&mut self, leg: &Leg, awaited: impl Fn(&Wait) -> bool, by: Woken, now: Instant) -> Law {
        let used = self.step(&leg.path)?.leg(leg);
        let At::Waits(wait, since) = &used.at else { return Err(format!("{leg} does not wait")) };
        law!(awaited(wait), "{leg} does not wait for that");
        used.waited_ms += now.since(*since);
        used.at = At::Due;
        if let Woken::Answer(answered) = &by {
            used.told.insert(answered.number);
        }
        used.arrived = Some(by);
        Ok(())
    }

    fn backoff(&mut self, leg: &Leg, until: Instant, now: Instant) -> Law {
        law!(is_undo(leg) == self.goes_back(&leg.path)?, "{leg} is tried again the wrong way");
        let retry = self.retry(leg)?.clone();
        let used = self.step(&leg.path)?.leg(leg);
        law!(matches!(used.at, At::Nowhere) && used.attempts > 0, "{leg} backs off without a failure");
        if std::mem::take(&mut used.host_failed) {
            let within = now.plus(AGAIN_MS_MIN)..=now.plus(72_000);
            law!(within.contains(&until), "{leg} backs off for the wrong time after a fault of the host");
            (used.at, used.host_backs_off) = (At::BacksOff { since: now, until }, true);
            return Ok(());
        }
        law!(retry.attempts_max.is_none_or(|max| used.charged < max), "{leg} backs off and its attempts are used up");
        let delay = retry.cap_ms.min(retry.first_ms << used.charged.saturating_sub(1).min(20));
        let reach = delay * u64::from(retry.jitter_percent) / 100;
        let in_reach = (now.plus(delay - reach)..=now.plus(delay + reach)).contains(&until);
        law!(in_reach, "{leg} backs off for the wrong time");
        let end = |ms| used.since.unwrap_or(now).plus(ms).plus(used.waited_ms);
        law!(retry.time_box_ms.is_none_or(|ms| until <= end(ms)), "{leg} backs off over the end of its time box");
        used.at = At::BacksOff { since: now, until };
        Ok(())
    }

    fn rollback(&mut self, reason: &Reason, now: Instant) -> Law {
        let again = matches!(reason, Reason::Cancelled | Reason::Deadline) && self.back_to > 0;
        law!(!self.rolls_back || again, "a rollback begins twice");
        law!(!self.is_past_point_of_no_return(), "a rollback begins after the point of no return");
        for step in self.steps.iter().filter(|step| step.step.kind == Kind::Pivot) {
            let open = matches!(step.forward.at, At::Open(_)) || matches!(step.check.at, At::Open(_));
            law!(!open, "a rollback begins while the pivot is open");
            law!(step.doubts == 0 || step.has_undo(), "a rollback begins while the pivot is in doubt");
        }
        match reason {
            Reason::Refused(path, _) => {
                let step = self.step(path)?;
                let unlisted = step.fans_out && !step.listed;
                law!(step.refused || unlisted, "{path} was not refused");
                law!(!step.collects(), "{path} was refused, which is a result");
                law!(unlisted || step.alternate == step.step.alternates, "{path} was refused, and has another alternate");
            }
            Reason::Exhausted(path, _) => {
                let step = self.step(path)?;
                law!(step.step.on_exhausted == OnExhausted::Rollback, "{path} is to be stuck when it is exhausted");
                law!(step.is_exhausted(), "{path} has tries left");
            }
            Reason::Unknown(path, _) => {
                let step = self.step(path)?;
                law!(step.spent_its_once && step.step.on_unknown == OnUnknown::OnceThenRollback, "{path} may be run again");
            }
            Reason::Cancelled => law!(self.cancel_asked, "nobody asked for a cancel"),
            Reason::Deadline => law!(self.deadline_seen, "the deadline has not passed at {now:?}"),
        }
        let failed = matches!(reason, Reason::Refused(..) | Reason::Exhausted(..));
        let stage = self.steps.iter().filter(|step| !self.is_settled(step)).map(|step| step.place.stage()).min().unwrap_or(0);
        let reached = self.savepoints.iter().map(|(at, _)| *at).filter(|at| *at <= stage);
        let tries_again = failed && self.round < self.rounds && !self.cancel_asked && !self.deadline_seen;
        self.back_to = if tries_again { reached.max().unwrap_or(0) } else { 0 };
        (self.rolls_back, self.reason) = (true, Some(reason.clone()));
        for leg in self.steps.iter_mut().flat_map(|step| [&mut step.forward, &mut step.check]) {
            if !matches!(leg.at, At::Open(_)) {
                leg.at = At::Nowhere;
            }
        }
        Ok(())
    }

    /// A rollback has come to its savepoint: the steps after it begin afresh.
    fn round_begun(&mut self, round: &Round) -> Law {
        let savepoint = (self.back_to, round.savepoint.clone());
        law!(self.rolls_back && self.savepoints.contains(&savepoint), "a round begins at no savepoint");
        law!(round.number == self.round + 1 && round.number <= self.rounds, "round {} is not the next", round.number);
        for step in &self.steps {
            let after = step.place.stage() >= self.back_to;
            law!(!after || !step.wants_undo(), "a round begins, and {} is not undone", step.path);
            law!(after || self.is_settled(step), "a round begins, and {} is not done", step.path);
            law!(!step.legs().any(|leg| matches!(leg.at, At::Open(_))), "a round begins, and {} is open", step.path);
        }
        (self.rolls_back, self.round) = (false, round.number);
        for step in self.steps.iter_mut().filter(|step| step.place.stage() >= self.back_to) {
            step.make_place();
            (step.round, step.alternate, step.done, step.listed) = (round.number, 0, false, false);
            step.gone = step.place.is_of_an_element();
        }
        self.back_to = 0;
        Ok(())
    }

    /// The list of a fan-out is known. An element that an earlier round had is the same step with other keys.
    fn listed(&mut self, path: &StepPath, elements: &[Element]) -> Law {
        let at = self.at(path)?;
        let each = &self.steps[at];
        law!(each.fans_out && !each.listed && !each.gone && !self.rolls_back, "{path} is listed out of turn");
        let round = each.round;
        let before = self.steps.iter().find(|step| step.place.is_before(&each.place) && !self.is_settled(step));
        law!(before.is_none(), "{path} is listed before an earlier stage is done");
        let each = &mut self.steps[at];
        (each.listed, each.forward.at) = (true, At::Nowhere);
        each.elements = elements.iter().map(|element| element.key.to_string()).collect();
        for mut step in planted_elements(&self.steps[at], &self.module) {
            step.round = round;
            match self.steps.iter_mut().find(|known| known.path == step.path) {
                Some(known) => (known.gone, known.round) = (false, round),
                None => self.steps.push(step),
            }
        }
        Ok(())
    }

    /// Done, refused where that is a result, or listed: elements count for themselves.
    pub(crate) fn is_settled(&self, step: &StepModel) -> bool {
        if step.fans_out {
            let mut elements = self.steps.iter().filter(|other| !other.gone && other.place.is_element_of(&step.place));
            return step.gone || step.listed && elements.all(|other| self.is_settled(other));
        }
        step.gone || step.done || step.is_result()
    }

    /// Each fan-out that the step is in has fewer elements moving than may, or this one among them.
    pub(crate) fn has_place(&mut self, path: &StepPath) -> Result<bool, String> {
        let at = self.at(path)?;
        let place = &self.steps[at].place;
        for each in self.steps.iter().filter(|step| step.fans_out && place.is_element_of(&step.place)) {
            let below = self.steps.iter().filter(|step| step.place.is_element_of(&each.place) && !step.gone);
            let moves =
                |step: &&StepModel| step.legs().any(|leg| matches!(leg.at, At::Open(_) | At::Waits(..) | At::BacksOff { .. }));
            let depth = each.place.0.len();
            let moving: BTreeSet<_> = below.filter(moves).map(|step| &step.place.0[depth]).collect();
            let concurrency = each.step.each.as_ref().map_or(0, |each| each.concurrency as usize);
            if moving.len() >= concurrency && !moving.contains(&place.0[depth]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn resolved(&mut self, path: &StepPath, resolution: &Resolution) -> Law {
        self.manual += 1;
        let rolls_back = self.rolls_back;
        let step = self.step(path)?;
        let open = matches!(step.forward.at, At::Open(_)) || matches!(step.check.at, At::Open(_));
        law!(!open, "{path} is resolved and open");
        step.by_hand = true;
        match resolution {
            Resolution::Output(_) => {
                law!(!rolls_back, "{path} is done by hand during a rollback");
                self.step_done(path)?;
            }
            Resolution::NotDone => {
                law!(!step.done, "{path} is done and said not to be");
                (step.doubts, step.spent_its_once, step.must_ask) = (0, false, false);
                step.forward.standing.clear();
                (step.check.at, step.undo.at) = (At::Nowhere, At::Nowhere);
                step.forward.beyond_budget = true;
                let another = step.refused && (step.alternate < step.step.alternates || step.collects());
                step.forward.at = if rolls_back || another { At::Nowhere } else { At::Due };
            }
            Resolution::Undone => {
                law!(
                    (rolls_back || step.turns() || step.leaves()) && step.wants_undo(),
                    "{path} is undone by hand and wants no undo"
                );
                step.undone = Some("hand");
                step.undo.at = At::Nowhere;
            }
        }
        Ok(())
    }

    fn again(&mut self, leg: &Leg) -> Law {
        let step = self.step(&leg.path)?;
        if !is_undo(leg) {
            step.forward.renew();
        }
        if leg.direction == Direction::Forward {
            (step.spent_its_once, step.must_ask) = (false, false);
        }
        let used = step.leg(leg);
        law!(matches!(used.at, At::Stuck(_) | At::BacksOff { .. }), "{leg} is neither stuck nor backing off");
        used.renew();
        used.at = At::Due;
        Ok(())
    }

    fn stuck(&mut self, leg: &Leg, why: &Why, context: &Context) -> Law {
        self.takes_in_hand(leg)?;
        law!(is_undo(leg) == self.goes_back(&leg.path)?, "{leg} is stuck the wrong way");
        let past = self.is_past_point_of_no_return();
        let step = self.step(&leg.path)?;
        let no_way_back = is_undo(leg) || past || step.step.kind == Kind::Retriable;
        match why {
            Why::Exhausted(_) => {
                let stays = no_way_back || step.step.on_exhausted == OnExhausted::Stuck;
                law!(stays && step.leg_is_exhausted(leg), "{leg} is not exhausted");
                let alternates = if let Undo::Code(policy) = &step.step.undo { policy.alternates } else { 0 };
                law!(!is_undo(leg) || step.undo_alternate == alternates, "{leg} is stuck, and has another alternate");
            }
            Why::Refused(_) if step.fans_out => law!(no_way_back && !step.listed, "{leg} has its list"),
            Why::Refused(_) => {
                let may_stand = step.doubts > 0 && step.step.undo == Undo::None;
                law!(!step.collects() || may_stand, "{leg} was refused, which is a result");
                law!(no_way_back && step.refused, "{leg} was not refused, or there is a way back");
                let last = step.alternate == step.step.alternates || (step.doubts > 0 && step.step.undo == Undo::None);
                law!(last, "{leg} is stuck, and has another alternate");
            }
            Why::Unknown(_) => {
                let stops = no_way_back || step.step.on_unknown == OnUnknown::OnceThenStop;
                law!(stops && step.spent_its_once, "{leg} may go on");
            }
            Why::PivotInDoubt(_) => {
                let doubt = step.step.kind == Kind::Pivot && step.doubts > 0 && !step.has_undo();
                law!(doubt, "{leg} is no pivot in doubt");
            }
            Why::Denied(_) => {}
            Why::HostDied => law!(step.leg(leg).stops >= 3, "{leg} did not take the host down"),
            Why::JournalFull => {
                let full = context.journal == Room::Full && leg.direction == Direction::Forward;
                law!(full || context.journal == Room::Spent, "the journal has room for {leg}");
            }
        }
        let used = step.leg(leg);
        law!(!matches!(used.at, At::Open(_) | At::Waits(..)), "{leg} is stuck and open");
        used.at = At::Stuck(why.clone());
        Ok(())
    }

    /// Compensations of the step may run: in a rollback, before its next alternate, or before its refusal is a result.
    fn goes_back(&mut self, path: &StepPath) -> Result<bool, String> {
        let step = self.step(path)?;
        let goes_back = step.turns() || step.leaves();
        Ok(self.rolls_back || goes_back)
    }

    fn retry(&self, leg: &Leg) -> Result<&Retry, String> {
        let step = self.steps.iter().find(|step| step.path == leg.path).ok_or("no such step")?;
        match (&step.step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => Ok(&policy.retry),
            (_, Direction::Undo(_)) => Err(format!("{leg} has no compensation")),
            _ => Ok(&step.step.retry),
        }
    }

    fn at(&self, path: &StepPath) -> Result<usize, String> {
        self.steps.iter().position(|step| step.path == *path).ok_or_else(|| format!("no step {path}"))
    }

    pub(crate) fn is_open(&mut self, attempt: &Attempt) -> bool {
        self.step(&attempt.leg.path).is_ok_and(|step| step.leg(&attempt.leg).is_open(attempt))
    }

    pub(crate) fn step(&mut self, path: &StepPath) -> Result<&mut StepModel, String> {
        self.steps.iter_mut().find(|step| step.path == *path).ok_or_else(|| format!("no step {path}"))
    }
}

/// The steps of a definition, with those of its children in place of theirs.
pub(crate) fn planted(definition: &Definition, module: &[Arc<Definition>], prefix: &str, place: &Place) -> Vec<StepModel> {
    let mut steps = Vec::new();
    for (stage, step) in definition.steps() {
        let (path, place) = (format!("{prefix}{}", step.name), place.below(stage, &step.name));
        if step.each.is_some() {
            steps.push(StepModel { fans_out: true, ..StepModel::new(&path, place, step) });
        } else {
            steps.extend(planted_body(step, module, &path, &place));
        }
    }
    steps
}

/// What the elements of a listed fan-out are.
pub(crate) fn planted_elements(each: &StepModel, module: &[Arc<Definition>]) -> Vec<StepModel> {
    let element = |key: &String| {
        let name = format!("[{key}]");
        planted_body(&each.step, module, &format!("{}{name}", each.path), &each.place.below(0, &name))
    };
    each.elements.iter().flat_map(element).collect()
}

/// Stages before which a rollback may stop, with the savepoint's name.
pub(crate) fn savepoints(definition: &Definition) -> Vec<(usize, String)> {
    let stages = definition.stages.iter().enumerate();
    stages.filter_map(|(n, stage)| Some((n + 1, stage.savepoint_after.clone()?))).collect()
}

fn planted_body(step: &Step, module: &[Arc<Definition>], path: &str, place: &Place) -> Vec<StepModel> {
    match &step.body {
        Body::Code | Body::Command(_) => vec![StepModel::new(path, place.clone(), step)],
        Body::Child(name) => {
            let child = module.iter().find(|child| child.name == *name);
            child.map_or(Vec::new(), |child| planted(child, module, &format!("{path}/"), place))
        }
    }
}

/// Where a step stands in the tree: the stage and the name at each level. An element is a level of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<(usize, String)>);

impl Place {
    fn below(&self, stage: usize, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([(stage, name.to_owned())]).collect())
    }

    /// The stage of the saga itself.
    pub(crate) fn stage(&self) -> usize {
        self.0[0].0
    }

    /// Where the two part, this one is in an earlier stage.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).find(|(a, b)| a != b).is_some_and(|(a, b)| a.0 < b.0)
    }

    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn at(&self, depth: usize) -> &(usize, String) {
        &self.0[depth]
    }

    pub(crate) fn is_element_of(&self, each: &Self) -> bool {
        self.0.len() > each.0.len() && self.0.starts_with(&each.0)
    }

    fn is_of_an_element(&self) -> bool {
        self.0.iter().any(|(_, name)| name.starts_with('['))
    }
}

impl StepModel {
    fn new(path: &str, place: Place, step: &Step) -> Self {
        Self {
            path: StepPath::new(path),
            place,
            fans_out: false,
            listed: false,
            elements: Vec::new(),
            gone: false,
            step: step.clone(),
            alternate: 0,
            round: 0,
            undo_alternate: 0,
            begun: false,
            left_standing: false,
            forward: LegModel::default(),
            check: LegModel::default(),
            undo: LegModel::default(),
            done: false,
            refused: false,
            doubts: 0,
            undone: None,
            refusal: None,
            undone_for: None,
            by_hand: false,
            spent_its_once: false,
            must_ask: false,
        }
    }

    /// The same step of another version.
    pub(crate) fn take_state_of(&mut self, other: &Self) {
        let Self { path, place, step, .. } = self.clone();
        *self = Self { path, place, step, ..other.clone() };
        // Another attempt was decided by the version before, whatever this one allows.
        for leg in [&mut self.forward, &mut self.check, &mut self.undo] {
            leg.beyond_budget |= matches!(leg.at, At::Due | At::BacksOff { .. } | At::Waits(..));
        }
    }

    /// A refusal of it is a result.
    pub(crate) fn collects(&self) -> bool {
        !self.fans_out && self.step.each.as_ref().is_some_and(|each| each.mode == EachMode::Collect)
    }

    /// Its refusal is a result: nothing of it stands, and nothing may.
    pub(crate) fn is_result(&self) -> bool {
        let may_stand = self.doubts > 0 && self.undone.is_none() && self.step.undo != Undo::Nothing;
        self.is_refused_for_good() && !may_stand
    }

    /// It is undone before its refusal is a result.
    fn leaves(&self) -> bool {
        self.is_refused_for_good() && self.wants_undo()
    }

    fn is_refused_for_good(&self) -> bool {
        let over = matches!(self.forward.at, At::Nowhere) && matches!(self.check.at, At::Nowhere);
        self.collects() && self.refused && !self.done && over && !self.turns()
    }

    pub(crate) fn leg(&mut self, leg: &Leg) -> &mut LegModel {
        match leg.direction {
            Direction::Forward => &mut self.forward,
            Direction::Check => &mut self.check,
            Direction::Undo(_) => &mut self.undo,
        }
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = &LegModel> {
        [&self.forward, &self.check, &self.undo].into_iter()
    }

    pub(crate) fn has_in_hand(&self, leg: &Leg) -> bool {
        let forward = leg.alternate == self.alternate && leg.round == self.round;
        forward && (!is_undo(leg) || leg.direction == Direction::Undo(self.undo_alternate))
    }

    /// It was refused and another alternate follows, once what may have happened is undone.
    pub(crate) fn turns(&self) -> bool {
        let over = matches!(self.forward.at, At::Nowhere) && matches!(self.check.at, At::Nowhere);
        let way = self.doubts == 0 || self.step.undo != Undo::None;
        !self.done && self.refused && over && way && self.alternate < self.step.alternates
    }

    /// A refused step's next alternate takes over, with legs and counters of its own.
    fn make_place(&mut self) {
        self.left_standing |= self.undone == Some("skip");
        (self.forward, self.check, self.undo) = (LegModel::default(), LegModel::default(), LegModel::default());
        (self.alternate, self.undo_alternate, self.doubts, self.undone) = (self.alternate + 1, 0, 0, None);
        (self.refused, self.spent_its_once, self.must_ask) = (false, false, false);
        (self.refusal, self.undone_for) = (None, None);
    }

    pub(crate) fn has_undo(&self) -> bool {
        matches!(self.step.undo, Undo::Code(_))
    }

    /// The mark `may have run`, and the open attempt's part in it.
    pub(crate) fn may_have_run(&self) -> bool {
        self.doubts > 0 || self.forward.reaches_outside()
    }

    pub(crate) fn wants_undo(&self) -> bool {
        self.has_undo() && self.undone.is_none() && (self.done || self.may_have_run())
    }

    fn leg_is_exhausted(&mut self, leg: &Leg) -> bool {
        let retry = match (&self.step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => policy.retry.clone(),
            _ => self.step.retry.clone(),
        };
        let used = self.leg(leg);
        retry.time_box_ms.is_some() || retry.attempts_max.is_some_and(|max| used.charged >= max)
    }

    fn is_exhausted(&mut self) -> bool {
        let forward = Leg::forward(self.path.clone());
        self.leg_is_exhausted(&forward) || self.leg_is_exhausted(&forward.turned(Direction::Check))
    }
}

impl LegModel {
    pub(crate) fn is_open(&self, attempt: &Attempt) -> bool {
        matches!(&self.at, At::Open(intent) if intent.attempt == *attempt)
    }

    pub(crate) fn reaches_outside(&self) -> bool {
        matches!(&self.at, At::Open(intent) if intent.reaches_outside)
    }

    fn renew(&mut self) {
        (self.charged, self.since, self.waited_ms, self.stops) = (0, None, 0, 0);
    }
}

fn law_open(leg: &LegModel, attempt: &Attempt) -> Law {
    law!(leg.is_open(attempt), "attempt {} of {} ends and is not open", attempt.number, attempt.leg);
    Ok(())
}

pub(crate) fn is_undo(leg: &Leg) -> bool {
    matches!(leg.direction, Direction::Undo(_))
}
