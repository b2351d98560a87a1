//! A second, independent reading of the rules: a fold of the events that objects to what the rules forbid.
//!
//! It is written from the rules and not from the core: it keeps what the rules speak of, and decides nothing.

use std::collections::BTreeSet;

use amends_core::{
    Context, Definition, Event, Instant, Room,
    definition::{Kind, OnExhausted, OnUnknown, Retry, Step, Undo},
    event::{Arrival, Attempt, Cancel, Charge, Intent, Reason, Resolution, Wait, Why},
    id::{Direction, Leg, StepPath},
    retry::AGAIN_MS_MIN,
};

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
    pub(crate) rolls_back: bool,
    pub(crate) ended: Option<&'static str>,
    pub(crate) cancel_asked: bool,
    pub(crate) deadline_seen: bool,
    pub(crate) consumed: BTreeSet<String>,
    pub(crate) manual: u32,
}

/// One step.
pub(crate) struct StepModel {
    pub(crate) path: StepPath,
    pub(crate) stage: usize,
    pub(crate) step: Step,
    pub(crate) forward: LegModel,
    pub(crate) check: LegModel,
    pub(crate) undo: LegModel,
    pub(crate) done: bool,
    /// The last forward attempt was refused.
    pub(crate) refused: bool,
    /// Ended forward attempts that could reach outside and were neither refused nor transient.
    pub(crate) doubts: u32,
    pub(crate) undone: Option<&'static str>,
    pub(crate) by_hand: bool,
    /// It is run once, may have happened, and no operator has said otherwise since.
    pub(crate) spent_its_once: bool,
    /// It may have happened, and the check has not answered since.
    pub(crate) must_ask: bool,
}

/// One leg.
#[derive(Default)]
pub(crate) struct LegModel {
    pub(crate) at: At,
    pub(crate) attempts: u32,
    /// Failures that count, since the budget was fresh.
    pub(crate) charged: u32,
    pub(crate) since: Option<Instant>,
    pub(crate) waited_ms: u64,
    pub(crate) stops: u32,
    /// Its last attempt ended by a fault of the host: it is tried again, whatever is used up.
    pub(crate) host_failed: bool,
    /// Said by an operator to be tried although its budget is used up.
    pub(crate) beyond_budget: bool,
    pub(crate) arrived: Option<Option<Arrival>>,
}

/// Where a leg is.
#[derive(Default)]
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
    pub(crate) fn new(definition: &Definition) -> Self {
        let step = |(stage, step): (usize, &Step)| StepModel {
            path: StepPath::new(&step.name),
            stage,
            step: step.clone(),
            forward: LegModel::default(),
            check: LegModel::default(),
            undo: LegModel::default(),
            done: false,
            refused: false,
            doubts: 0,
            undone: None,
            by_hand: false,
            spent_its_once: false,
            must_ask: false,
        };
        Self {
            steps: definition.steps().map(step).collect(),
            rolls_back: false,
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
            Kind::Retriable => step.done || step.forward.attempts > 0,
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
            Event::Done(attempt, _) => {
                self.ends(attempt, Charge::Leg)?;
                law!(!is_undo(&attempt.leg), "a compensation ends undone");
                self.step_done(&attempt.leg.path)?;
            }
            Event::Undone(attempt) => {
                self.ends(attempt, Charge::Leg)?;
                law!(is_undo(&attempt.leg), "only a compensation ends undone");
                let step = self.step(&attempt.leg.path)?;
                law!(step.undone.is_none(), "{} is undone twice", step.path);
                step.undone = Some("code");
            }
            Event::Refused(attempt, _) => {
                self.ends(attempt, Charge::Leg)?;
                law!(attempt.leg.direction == Direction::Forward, "only a step is refused");
                self.step(&attempt.leg.path)?.refused = true;
            }
            Event::Transient(attempt, _, charge) => {
                self.ends(attempt, *charge)?;
                self.charge(&attempt.leg, *charge)?;
            }
            Event::Unknown(attempt, _, charge) => {
                let reached = self.ends(attempt, *charge)?;
                self.charge(&attempt.leg, *charge)?;
                self.unknown(attempt, reached)?;
            }
            Event::NotDone(attempt) => {
                self.ends(attempt, Charge::Leg)?;
                law!(attempt.leg.direction == Direction::Check, "only a check says not-done");
                self.step(&attempt.leg.path)?.must_ask = false;
            }
            Event::Wait(attempt, wait) => {
                let reached = self.ends(attempt, Charge::Leg)?;
                law!(wait.event.is_some() || wait.until.is_some(), "a wait for nothing");
                let rolls_back = self.rolls_back;
                let step = self.step(&attempt.leg.path)?;
                step.doubts += u32::from(reached && attempt.leg.direction == Direction::Forward);
                if is_undo(&attempt.leg) || !rolls_back {
                    step.leg(&attempt.leg).at = At::Waits(wait.clone(), now);
                }
            }
            Event::Arrived(leg, arrival) => {
                law!(self.consumed.insert(arrival.id.clone()), "event {} is consumed twice", arrival.id);
                let awaited = |wait: &Wait| wait.event.as_ref() == Some(&arrival.topic);
                self.wakes(leg, awaited, Some(arrival.clone()), now)?;
            }
            Event::TimerFired(leg) => self.wakes(leg, |wait| wait.until.is_some_and(|until| until <= now), None, now)?,
            Event::Stale(attempt, _) => {
                law!(!self.is_open(attempt), "an open attempt of {} is called stale", attempt.leg);
            }
            Event::Backoff(leg, until) => self.backoff(leg, *until, now)?,
            Event::RollbackBegun(reason) => self.rollback(reason, now)?,
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
                law!(!self.rolls_back && !self.is_past_point_of_no_return(), "a cancel is taken too late");
                self.cancel_asked = true;
            }
            Event::CancelRequested(Cancel::Deadline) => {
                law!(!self.deadline_seen, "the deadline passes twice");
                self.deadline_seen = true;
            }
            Event::Stuck(leg, why) => self.stuck(leg, why, context)?,
            Event::Completed => {
                law!(!self.rolls_back && self.steps.iter().all(|step| step.done), "completed with a step that is not done");
                self.ended = Some("completed");
            }
            Event::Compensated => {
                law!(self.rolls_back, "compensated without a rollback");
                for step in &self.steps {
                    law!(!step.wants_undo(), "compensated, and {} is not undone", step.path);
                    law!(!step.legs().any(|leg| matches!(leg.at, At::Open(_))), "compensated, and {} is open", step.path);
                }
                self.ended = Some("compensated");
            }
            Event::Abandoned(_) => self.ended = Some("abandoned"),
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
        let now = context.now;
        match leg.direction {
            Direction::Undo(_) => self.may_undo(&leg.path)?,
            Direction::Forward | Direction::Check => {
                law!(!self.rolls_back, "{leg} begins during a rollback");
                let stage = self.step(&leg.path)?.stage;
                let before = self.steps.iter().find(|step| step.stage < stage && !step.done);
                law!(before.is_none(), "{leg} begins before an earlier stage is done");
                law!(!self.step(&leg.path)?.done, "{leg} begins and is done");
            }
        }
        let retry = self.retry(leg)?.clone();
        let step = self.step(&leg.path)?;
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
            Direction::Undo(_) => {}
        }
        law!(context.journal != Room::Spent, "{leg} begins and the journal is spent");
        let reaches = context.may_reach_outside && !step.step.effect_free;
        let deadline_ms = match (&step.step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => policy.deadline_ms,
            _ => step.step.deadline_ms,
        };
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
        used.attempts += 1;
        used.since.get_or_insert(now);
        used.at = At::Open(intent.clone());
        Ok(())
    }

    /// A stage's undo begins when none of its forward attempts is open, and after all later stages are undone.
    fn may_undo(&mut self, path: &StepPath) -> Law {
        law!(self.rolls_back, "{path} is undone without a rollback");
        let stage = self.step(path)?.stage;
        for other in &self.steps {
            let open = matches!(other.forward.at, At::Open(_)) || matches!(other.check.at, At::Open(_));
            law!(!open, "{path} is undone while an attempt of {} is open", other.path);
            law!(other.stage <= stage || !other.wants_undo(), "{path} is undone before {} of a later stage", other.path);
            let earlier = other.stage < stage && other.undo.attempts > 0;
            law!(!earlier, "{path} is undone after {} of an earlier stage", other.path);
        }
        let step = self.step(path)?;
        law!(step.wants_undo(), "{path} is undone: it never happened, has no compensation, or is undone");
        Ok(())
    }

    /// Ends the open attempt; whether it could reach outside.
    fn ends(&mut self, attempt: &Attempt, charge: Charge) -> Result<bool, String> {
        let used = self.step(&attempt.leg.path)?.leg(&attempt.leg);
        law_open(used, attempt)?;
        let At::Open(intent) = std::mem::take(&mut used.at) else { return Err("not open".into()) };
        if intent.solo && charge == Charge::Leg {
            used.stops = 0;
        }
        Ok(intent.reaches_outside)
    }

    fn charge(&mut self, leg: &Leg, charge: Charge) -> Law {
        let goes_on = is_undo(leg) || !self.rolls_back;
        let used = self.step(&leg.path)?.leg(leg);
        match charge {
            Charge::Leg => {
                used.charged += 1;
                used.beyond_budget = false;
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

    fn wakes(&mut self, leg: &Leg, awaited: impl Fn(&Wait) -> bool, arrival: Option<Arrival>, now: Instant) -> Law {
        let used = self.step(&leg.path)?.leg(leg);
        let At::Waits(wait, since) = &used.at else { return Err(format!("{leg} does not wait")) };
        law!(awaited(wait), "{leg} does not wait for that");
        used.waited_ms += now.since(*since);
        used.at = At::Due;
        used.arrived = Some(arrival);
        Ok(())
    }

    fn backoff(&mut self, leg: &Leg, until: Instant, now: Instant) -> Law {
        law!(is_undo(leg) == self.rolls_back, "{leg} is tried again the wrong way");
        let retry = self.retry(leg)?.clone();
        let used = self.step(&leg.path)?.leg(leg);
        law!(matches!(used.at, At::Nowhere) && used.attempts > 0, "{leg} backs off without a failure");
        if std::mem::take(&mut used.host_failed) {
            let within = now.plus(AGAIN_MS_MIN)..=now.plus(72_000);
            law!(within.contains(&until), "{leg} backs off for the wrong time after a fault of the host");
            used.at = At::BacksOff { since: now, until };
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
        law!(!self.rolls_back, "a rollback begins twice");
        law!(!self.is_past_point_of_no_return(), "a rollback begins after the point of no return");
        for step in self.steps.iter().filter(|step| step.step.kind == Kind::Pivot) {
            let open = matches!(step.forward.at, At::Open(_)) || matches!(step.check.at, At::Open(_));
            law!(!open, "a rollback begins while the pivot is open");
            law!(step.doubts == 0 || step.has_undo(), "a rollback begins while the pivot is in doubt");
        }
        match reason {
            Reason::Refused(path, _) => law!(self.step(path)?.refused, "{path} was not refused"),
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
        self.rolls_back = true;
        for leg in self.steps.iter_mut().flat_map(|step| [&mut step.forward, &mut step.check]) {
            if !matches!(leg.at, At::Open(_)) {
                leg.at = At::Nowhere;
            }
        }
        Ok(())
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
                (step.check.at, step.undo.at) = (At::Nowhere, At::Nowhere);
                step.forward.beyond_budget = true;
                step.forward.at = if rolls_back { At::Nowhere } else { At::Due };
            }
            Resolution::Undone => {
                law!(rolls_back && step.wants_undo(), "{path} is undone by hand and wants no undo");
                step.undone = Some("hand");
                step.undo.at = At::Nowhere;
            }
        }
        Ok(())
    }

    fn again(&mut self, leg: &Leg) -> Law {
        let step = self.step(&leg.path)?;
        if leg.direction != Direction::Undo(0) {
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
        law!(is_undo(leg) == self.rolls_back, "{leg} is stuck the wrong way");
        let past = self.is_past_point_of_no_return();
        let step = self.step(&leg.path)?;
        let no_way_back = is_undo(leg) || past || step.step.kind == Kind::Retriable;
        match why {
            Why::Exhausted(_) => {
                let stays = no_way_back || step.step.on_exhausted == OnExhausted::Stuck;
                law!(stays && step.leg_is_exhausted(leg), "{leg} is not exhausted");
            }
            Why::Refused(_) => law!(no_way_back && step.refused, "{leg} was not refused, or there is a way back"),
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

    fn retry(&self, leg: &Leg) -> Result<&Retry, String> {
        let step = self.steps.iter().find(|step| step.path == leg.path).ok_or("no such step")?;
        match (&step.step.undo, leg.direction) {
            (Undo::Code(policy), Direction::Undo(_)) => Ok(&policy.retry),
            (_, Direction::Undo(_)) => Err(format!("{leg} has no compensation")),
            _ => Ok(&step.step.retry),
        }
    }

    pub(crate) fn is_open(&mut self, attempt: &Attempt) -> bool {
        self.step(&attempt.leg.path).is_ok_and(|step| step.leg(&attempt.leg).is_open(attempt))
    }

    pub(crate) fn step(&mut self, path: &StepPath) -> Result<&mut StepModel, String> {
        self.steps.iter_mut().find(|step| step.path == *path).ok_or_else(|| format!("no step {path}"))
    }
}

impl StepModel {
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
