//! What an operator may do to a saga, when it fits, and what it means.

use std::{collections::BTreeSet, fmt, iter, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    handle::{Context, Turn},
    moving::Obstacle,
    plan::Plan,
    run::{LegState, StepRun, Verdict},
    state::{Phase, Saga},
};
use crate::{
    event::{Act, Cancel, Code, Event, Moved, Reason, Resolution, Why},
    id::{Direction, Leg, StepPath},
    plain::shown,
};

/// What an operator may do to a saga. `V` is the version that a move goes to: its number as it is asked for, and what it has for the
/// saga when the saga decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb<V = Offered> {
    /// Roll back.
    Cancel,
    /// A new attempt now with a fresh budget, of those legs that are stuck or back off.
    Retry(Legs),
    /// Give stuck compensations up; their effects stay outstanding.
    Skip(Legs),
    /// Say what happened to steps.
    Resolve(Legs, Resolution),
    /// Break one of its lock keys: others may have it, and the saga goes on without.
    Unlock(String),
    /// Go over to another version of its module.
    Move(V),
    /// End it where it stands.
    Abandon,
}

/// A verb as it is asked for: a move names the version by its number.
pub type AskedVerb = Verb<u32>;

/// What a version has for the saga that is to move to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its definition of the saga.
    pub plan: Arc<Plan>,
    /// Which code that is.
    pub code: Code,
}

/// Which legs of a saga a verb is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Legs {
    /// Every one that it fits.
    All,
    /// Those of one step, and for a retry of what is in it. The verb is refused if it does not fit.
    Of(StepPath),
    /// Those of each of these steps that it fits.
    OfEach(Vec<StepPath>),
    /// Those among these that it fits.
    These(BTreeSet<Leg>),
}

impl Legs {
    fn has(&self, run: &StepRun, direction: Direction) -> bool {
        match self {
            Self::All => true,
            Self::Of(path) => run.path.is_in(path),
            Self::OfEach(paths) => paths.iter().any(|path| run.path.is_in(path)),
            Self::These(legs) => legs.contains(&run.name_leg(direction)),
        }
    }
}

/// What of a saga a verb is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole saga.
    Saga,
    /// Some of its legs, all with one record.
    Legs,
    /// Some of its steps, with a record for each.
    Steps,
}

impl<V> Verb<V> {
    /// What of a saga it is about.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Cancel | Self::Unlock(_) | Self::Move(_) | Self::Abandon => Scope::Saga,
            Self::Retry(_) => Scope::Legs,
            Self::Skip(_) | Self::Resolve(..) => Scope::Steps,
        }
    }

    /// The same, of other legs; a verb that is about the whole saga stays as it is.
    #[must_use]
    pub fn of(self, legs: Legs) -> Self {
        match self {
            Self::Retry(_) => Self::Retry(legs),
            Self::Skip(_) => Self::Skip(legs),
            Self::Resolve(_, resolution) => Self::Resolve(legs, resolution),
            Self::Cancel | Self::Unlock(_) | Self::Move(_) | Self::Abandon => self,
        }
    }

    /// The same, with the version of a move looked up.
    ///
    /// # Errors
    ///
    /// What the look-up says.
    pub fn offered<W, E>(self, look_up: impl FnOnce(V) -> Result<W, E>) -> Result<Verb<W>, E> {
        Ok(match self {
            Self::Cancel => Verb::Cancel,
            Self::Retry(legs) => Verb::Retry(legs),
            Self::Skip(legs) => Verb::Skip(legs),
            Self::Resolve(legs, resolution) => Verb::Resolve(legs, resolution),
            Self::Unlock(key) => Verb::Unlock(key),
            Self::Move(version) => Verb::Move(look_up(version)?),
            Self::Abandon => Verb::Abandon,
        })
    }

    /// Its name, which refusals use for the verbs that fit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry(_) => "retry",
            Self::Skip(_) => "skip",
            Self::Resolve(..) => "resolve",
            Self::Unlock(_) => "unlock",
            Self::Move(_) => "move",
            Self::Abandon => "abandon",
        }
    }
}

impl AskedVerb {
    /// Why the verb changes nothing of a saga that does not refuse it.
    pub fn unchanged(&self) -> String {
        match self {
            Self::Cancel => "it is on its way back already".to_owned(),
            Self::Move(version) => format!("it runs on v{version} already"),
            Self::Retry(_) | Self::Skip(_) | Self::Resolve(..) | Self::Unlock(_) | Self::Abandon => {
                "there is nothing to change".to_owned()
            }
        }
    }
}

/// Something that an operator may do about a stuck leg now: the saga takes it, and it changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Try again with a fresh budget.
    Retry,
    /// Go over to another version of the module. Whether a version has the same in what has begun, only the version tells.
    Move,
    /// Say that the step is done, with its output.
    Output,
    /// Say that the step did not happen.
    NotDone,
    /// Say that the compensation was done by hand.
    Undone,
    /// Give the compensation up.
    Skip,
    /// Roll the saga back.
    Cancel,
    /// End the saga where it stands.
    Abandon,
}

/// Why a verb was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The saga has ended.
    Ended,
    /// The pivot is done: there is no way back.
    PastPointOfNoReturn,
    /// There is no such step.
    NoSuchStep(StepPath),
    /// It cannot move to that version, for all of these.
    DoesNotMove(Vec<Obstacle>),
    /// It does not fit the saga's state; these verbs do.
    DoesNotFit {
        /// What stands against it.
        because: String,
        /// Verbs that fit.
        fits: Vec<&'static str>,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it has ended"),
            Self::PastPointOfNoReturn => f.write_str("it is past its point of no return"),
            Self::NoSuchStep(path) => write!(f, "it has no step `{path}`"),
            Self::DoesNotMove(obstacles) => {
                let obstacles: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
                write!(f, "it cannot move: {}", obstacles.join("; "))
            }
            Self::DoesNotFit { because, .. } => f.write_str(because),
        }
    }
}

impl std::error::Error for Rejected {}

impl Saga {
    /// Does what an operator asks, if it fits. No events: it was done before.
    ///
    /// # Errors
    ///
    /// What stands against it.
    pub fn act(&mut self, verb: Verb, act: Act, context: Context) -> Result<Vec<Event>, Rejected> {
        match verb {
            Verb::Cancel => cancel(self, act).map(|decided| self.done(decided, context)),
            Verb::Retry(legs) => retry(self, &legs, act).map(|decided| self.done(decided, context)),
            Verb::Skip(legs) => self.act_on_steps(&OfStep::Skip, legs, &act, context),
            Verb::Resolve(legs, resolution) => self.act_on_steps(&OfStep::Resolve(resolution), legs, &act, context),
            Verb::Unlock(key) => unlock(self, key, act).map(|decided| self.done(decided, context)),
            Verb::Move(Offered { plan, code }) => self.move_to(plan, Moved { code, act }, context),
            Verb::Abandon => abandon(self, act).map(|decided| self.done(decided, context)),
        }
    }

    /// Whether a verb about steps would do something to this one now.
    pub fn takes<V>(&self, verb: &Verb<V>, path: &StepPath) -> bool {
        match verb {
            Verb::Skip(_) => fits(self, &OfStep::Skip, path),
            Verb::Resolve(_, resolution) => fits(self, &OfStep::Resolve(resolution.clone()), path),
            Verb::Cancel | Verb::Retry(_) | Verb::Unlock(_) | Verb::Move(_) | Verb::Abandon => false,
        }
    }

    fn done(&mut self, decided: Vec<Event>, context: Context) -> Vec<Event> {
        let mut turn = Turn { saga: self, context, events: Vec::new() };
        decided.into_iter().for_each(|event| turn.emit(event));
        turn.advance();
        turn.events
    }

    /// Of one step it is refused if it does not fit. To many it is done as one decision, to each that it fits after those before it;
    /// refused as the first is if it fits none. The time that it takes grows with the steps: what they begin is decided once, behind
    /// the last.
    fn act_on_steps(&mut self, verb: &OfStep, legs: Legs, act: &Act, context: Context) -> Result<Vec<Event>, Rejected> {
        let paths = match legs {
            Legs::Of(path) => return decide_of_step(self, verb, path, act.clone()).map(|decided| self.done(decided, context)),
            Legs::OfEach(paths) => paths,
            Legs::All => self.steps.iter().map(|run| run.path.clone()).collect(),
            Legs::These(legs) => legs.into_iter().map(|leg| leg.path).collect(),
        };
        let refused = paths.first().cloned();
        let mut turn = Turn { saga: self, context, events: Vec::new() };
        for path in paths {
            if fits(turn.saga, verb, &path)
                && let Ok(decided) = decide_of_step(turn.saga, verb, path, act.clone())
            {
                decided.into_iter().for_each(|event| turn.emit(event));
            }
        }
        match refused {
            Some(path) if turn.events.is_empty() => return decide_of_step(turn.saga, verb, path, act.clone()),
            Some(_) | None => turn.advance(),
        }
        Ok(turn.events)
    }
}

/// A verb about a step, without which one.
enum OfStep {
    Skip,
    Resolve(Resolution),
}

fn decide_of_step(saga: &Saga, verb: &OfStep, path: StepPath, act: Act) -> Result<Vec<Event>, Rejected> {
    refuse_ended(saga)?;
    match verb {
        OfStep::Skip => skip(saga, path, act),
        OfStep::Resolve(resolution) => resolve(saga, path, resolution.clone(), act),
    }
}

/// Whether the verb fits this step now. A refusal names what else would fit, for which it looks at all steps; this looks at one.
fn fits(saga: &Saga, verb: &OfStep, path: &StepPath) -> bool {
    let fits = |run: &StepRun| match verb {
        OfStep::Skip => run.undo.is_stuck(),
        OfStep::Resolve(Resolution::Output(_)) => takes_output(saga, run),
        OfStep::Resolve(Resolution::NotDone) => takes_not_done(saga, run),
        OfStep::Resolve(Resolution::Undone) => takes_undone(saga, run),
    };
    !saga.is_ended() && saga.run(path).is_some_and(fits)
}

fn refuse_ended(saga: &Saga) -> Result<(), Rejected> {
    if saga.is_ended() { Err(Rejected::Ended) } else { Ok(()) }
}

fn abandon(saga: &Saga, act: Act) -> Result<Vec<Event>, Rejected> {
    refuse_ended(saga)?;
    Ok(vec![Event::Abandoned(act)])
}

/// What may be done about each stuck leg. What is true of the whole saga is asked once, for a fan-out may have thousands of legs.
pub(crate) fn offers(saga: &Saga) -> impl Fn(&StepRun, Direction) -> Vec<Offer> {
    let (is_live, moves, cancels) =
        (!saga.is_ended(), saga.open_intents().next().is_none(), matches!(cancel_now(saga), CancelNow::Taken));
    move |run, direction| {
        let all = [
            (Offer::Retry, is_retriable(run, direction)),
            (Offer::Move, moves),
            (Offer::Output, takes_output(saga, run)),
            (Offer::NotDone, takes_not_done(saga, run)),
            (Offer::Undone, takes_undone(saga, run)),
            (Offer::Skip, run.undo.is_stuck()),
            (Offer::Cancel, cancels),
            (Offer::Abandon, true),
        ];
        all.into_iter().filter(|(_, fits)| is_live && *fits).map(|(offer, _)| offer).collect()
    }
}

/// What a cancel means now. The verb, its preview and the list of verbs that fit all ask for it.
#[derive(Clone, Copy)]
enum CancelNow<'a> {
    /// It is recorded; the rollback begins, unless an open pivot decides.
    Taken,
    /// A rollback to the start is under way, or a cancel was recorded: nothing changes.
    Known,
    /// There is no way back.
    PastPointOfNoReturn,
    /// This pivot may have happened, and needs an operator first.
    PivotInDoubt(&'a StepRun),
}

fn cancel_now(saga: &Saga) -> CancelNow<'_> {
    let on_the_way = saga.phase == Phase::Backward && !saga.goes_to_a_savepoint();
    match saga.pivot_stuck_in_doubt() {
        _ if saga.is_past_point_of_no_return() => CancelNow::PastPointOfNoReturn,
        _ if on_the_way || saga.is_cancel_pending() => CancelNow::Known,
        Some(pivot) => CancelNow::PivotInDoubt(pivot),
        None => CancelNow::Taken,
    }
}

/// Rolls back.
pub(crate) fn cancel(saga: &Saga, act: Act) -> Result<Vec<Event>, Rejected> {
    if saga.phase == Phase::Compensated && matches!(saga.cancel, Some(Cancel::Asked(_))) {
        // It is what the cancel before it asked for.
        return Ok(Vec::new());
    }
    refuse_ended(saga)?;
    match cancel_now(saga) {
        CancelNow::Taken => Ok(vec![Event::CancelRequested(Cancel::Asked(act))]),
        CancelNow::Known => Ok(Vec::new()),
        CancelNow::PastPointOfNoReturn => Err(Rejected::PastPointOfNoReturn),
        CancelNow::PivotInDoubt(pivot) => {
            let because = format!("the pivot `{}` may have happened: say what did happen first", pivot.path);
            Err(Rejected::DoesNotFit { because, fits: fitting(saga) })
        }
    }
}

fn retry(saga: &Saga, asked: &Legs, act: Act) -> Result<Vec<Event>, Rejected> {
    refuse_ended(saga)?;
    if let Legs::Of(path) = asked {
        find(saga, path)?;
    }
    let legs = saga.legs().filter(|(run, direction, _)| is_retriable(run, *direction) && asked.has(run, *direction));
    let legs: Vec<Leg> = legs.map(|(run, direction, _)| run.name_leg(direction)).collect();
    if legs.is_empty() {
        let because = match asked {
            Legs::All => "no step is stuck or backing off".to_owned(),
            Legs::Of(path) => {
                let is_retriable = |run: &StepRun| run.directions().iter().any(|direction| is_retriable(run, *direction));
                format!("`{path}` is not stuck or backing off{}", others(saga, [" is", " are"], is_retriable))
            }
            Legs::OfEach(_) => "none of these steps is stuck or backing off".to_owned(),
            Legs::These(_) => "none of these legs is stuck or backing off".to_owned(),
        };
        return Err(Rejected::DoesNotFit { because, fits: fitting(saga) });
    }
    Ok(vec![Event::Retried(legs, act)])
}

fn unlock(saga: &Saga, key: String, act: Act) -> Result<Vec<Event>, Rejected> {
    refuse_ended(saga)?;
    if saga.broken.contains(&key) {
        return Ok(Vec::new());
    }
    if saga.has_its_locks() && saga.lock_keys().any(|held| *held == key) {
        return Ok(vec![Event::LockBroken(key, act)]);
    }
    let held: Vec<String> =
        saga.lock_keys().filter(|held| saga.has_its_locks() && !saga.broken.contains(*held)).cloned().collect();
    let holds = if held.is_empty() { "it holds none".to_owned() } else { format!("it holds {}", held.join(", ")) };
    let because = format!("it does not hold the lock key `{}`; {holds}", shown(&key).escape_debug());
    Err(Rejected::DoesNotFit { because, fits: fitting(saga) })
}

fn skip(saga: &Saga, path: StepPath, act: Act) -> Result<Vec<Event>, Rejected> {
    let run = find(saga, &path)?;
    if run.undo.is_stuck() {
        return Ok(vec![Event::Skipped(path, act)]);
    }
    let others = others(saga, [" has", " have"], |run| run.undo.is_stuck());
    let because = format!("only a stuck compensation can be skipped, and `{path}` has none{others}");
    Err(Rejected::DoesNotFit { because, fits: fitting(saga) })
}

fn resolve(saga: &Saga, path: StepPath, resolution: Resolution, act: Act) -> Result<Vec<Event>, Rejected> {
    let run = find(saga, &path)?;
    let (fits, because) = match resolution {
        Resolution::Output(_) => {
            (takes_output(saga, run), format!("`{path}` is not stuck, waiting, backing off or in doubt on the way forward"))
        }
        Resolution::NotDone => (takes_not_done(saga, run), format!("`{path}` is not stuck or in doubt, or an attempt is open")),
        Resolution::Undone => {
            (takes_undone(saga, run), format!("the compensation of `{path}` is not stuck, waiting or backing off"))
        }
    };
    if !fits {
        return Err(Rejected::DoesNotFit { because, fits: fitting(saga) });
    }
    let last = run.alternate == saga.step(run).alternates;
    let overdue = (resolution == Resolution::NotDone && last).then(|| overdue_rollback(run)).flatten();
    let resolved = Event::Resolved(path, resolution, act);
    Ok(iter::once(resolved).chain(overdue.map(Event::RollbackBegun)).collect())
}

/// The rollback that only the doubt about the pivot had stopped: it was refused, or its retries were used up.
fn overdue_rollback(run: &StepRun) -> Option<Reason> {
    match (&run.forward.state, &run.verdict) {
        (LegState::Stuck { why: Why::PivotInDoubt(failure), .. }, Verdict::Refused) => {
            Some(Reason::Refused(run.path.clone(), failure.clone()))
        }
        (LegState::Stuck { why: Why::PivotInDoubt(failure), .. }, _) => {
            Some(Reason::Exhausted(run.path.clone(), failure.clone()))
        }
        _ => None,
    }
}

fn find<'a>(saga: &'a Saga, path: &StepPath) -> Result<&'a StepRun, Rejected> {
    saga.run(path).ok_or_else(|| Rejected::NoSuchStep(path.clone()))
}

/// The steps that the verb would fit, for a refusal that is about another one; nothing if there are none.
fn others(saga: &Saga, [one, many]: [&str; 2], fits: impl Fn(&StepRun) -> bool) -> String {
    // A fan-out may have thousands of them.
    const SHOWN: usize = 5;
    let names: Vec<String> = saga.steps.iter().filter(|run| fits(run)).map(|run| format!("`{}`", run.path)).collect();
    match names.len() {
        0 => String::new(),
        1 => format!(" ({}{one})", names.join(", ")),
        2..=SHOWN => format!(" ({}{many})", names.join(", ")),
        count => format!(" ({} and {} more{many})", names[..SHOWN].join(", "), count - SHOWN),
    }
}

fn is_retriable(run: &StepRun, direction: Direction) -> bool {
    matches!(run.leg(direction).state, LegState::Stuck { .. } | LegState::BackingOff { .. })
}

fn takes_output(saga: &Saga, run: &StepRun) -> bool {
    let at_rest = run.is_in_doubt() || run.forward.is_at_rest() || run.check.is_at_rest();
    let goes_back = !matches!(run.undo.state, LegState::Idle);
    let open = run.is_leaf() && !run.is_done() && !saga.is_result(run) && !run.has_open_forward();
    saga.phase == Phase::Forward && open && !goes_back && at_rest
}

fn takes_not_done(saga: &Saga, run: &StepRun) -> bool {
    match saga.phase {
        Phase::Forward if !saga.goes_back(run) => {
            takes_output(saga, run) && (run.is_in_doubt() || run.forward.is_stuck() || run.check.is_stuck())
        }
        _ => run.is_leaf() && run.is_in_doubt() && run.undone.is_none() && !run.has_open_forward() && !run.undo.is_open(),
    }
}

fn takes_undone(saga: &Saga, run: &StepRun) -> bool {
    saga.goes_back(run) && saga.wants_undo(run) && run.undo.is_at_rest()
}

/// The verbs that fit the saga now, `abandon` last.
fn fitting(saga: &Saga) -> Vec<&'static str> {
    let any = |test: &dyn Fn(&StepRun) -> bool| saga.steps.iter().any(test);
    let mut fits = Vec::new();
    if any(&|run| run.directions().iter().any(|direction| is_retriable(run, *direction))) {
        fits.push("retry");
    }
    if any(&|run| takes_output(saga, run) || takes_not_done(saga, run) || takes_undone(saga, run)) {
        fits.push("resolve");
    }
    if any(&|run| run.undo.is_stuck()) {
        fits.push("skip");
    }
    if matches!(cancel_now(saga), CancelNow::Taken) {
        fits.push("cancel");
    }
    if saga.has_its_locks() && saga.lock_keys().next().is_some() {
        fits.push("unlock");
    }
    fits.push("abandon");
    fits
}
