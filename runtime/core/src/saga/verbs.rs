//! What an operator may do to a saga, when it fits, and what it means.

use std::{collections::BTreeSet, fmt, iter};

use super::{
    moving::Obstacle,
    run::{LegState, StepRun, Verdict},
    state::{Phase, Saga},
};
use crate::{
    event::{Act, Cancel, Event, Reason, Resolution, Why},
    id::{Direction, Leg, StepPath},
    plain::shown,
};

/// An operator's verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Roll back.
    Cancel,
    /// A new attempt now with a fresh budget: of one step, or of all that are stuck or back off.
    Retry(Option<StepPath>),
    /// The same, of those among these legs that are stuck or back off.
    RetryLegs(BTreeSet<Leg>),
    /// Give a stuck compensation up; its effect stays outstanding.
    Skip(StepPath),
    /// Say what happened to a step.
    Resolve(StepPath, Resolution),
    /// Break one of its lock keys: others may have it, and the saga goes on without.
    Unlock(String),
    /// End it where it stands.
    Abandon,
}

/// A verb that can be said of many steps of a saga at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepVerb {
    /// Give the stuck compensation of each up.
    Skip,
    /// None of them happened.
    NotDone,
    /// The compensation of each was done by hand.
    Undone,
}

impl StepVerb {
    /// The same, said of one step.
    pub fn of(self, path: StepPath) -> Verb {
        match self {
            Self::Skip => Verb::Skip(path),
            Self::NotDone => Verb::Resolve(path, Resolution::NotDone),
            Self::Undone => Verb::Resolve(path, Resolution::Undone),
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

/// The events that a verb means. None: it was done before.
pub(crate) fn decide(saga: &Saga, verb: Verb, act: Act) -> Result<Vec<Event>, Rejected> {
    if saga.phase == Phase::Compensated && verb == Verb::Cancel && matches!(saga.cancel, Some(Cancel::Asked(_))) {
        // It is what the cancel before it asked for.
        return Ok(Vec::new());
    }
    if saga.is_ended() {
        return Err(Rejected::Ended);
    }
    match verb {
        Verb::Cancel => cancel(saga, act),
        Verb::Retry(path) => retry(saga, path, act),
        Verb::RetryLegs(legs) => retry_legs(saga, &legs, act),
        Verb::Skip(path) => skip(saga, path, act),
        Verb::Resolve(path, resolution) => resolve(saga, path, resolution, act),
        Verb::Unlock(key) => unlock(saga, key, act),
        Verb::Abandon => Ok(vec![Event::Abandoned(act)]),
    }
}

/// Whether the verb fits this step now. A refusal names what else would fit, for which it looks at all steps; this looks at one.
pub(crate) fn fits(saga: &Saga, verb: StepVerb, path: &StepPath) -> bool {
    let fits = |run: &StepRun| match verb {
        StepVerb::Skip => run.undo.is_stuck(),
        StepVerb::NotDone => takes_not_done(saga, run),
        StepVerb::Undone => takes_undone(saga, run),
    };
    !saga.is_ended() && saga.run(path).is_some_and(fits)
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

fn cancel(saga: &Saga, act: Act) -> Result<Vec<Event>, Rejected> {
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

fn retry(saga: &Saga, path: Option<StepPath>, act: Act) -> Result<Vec<Event>, Rejected> {
    let mut because = "no step is stuck or backing off".to_owned();
    if let Some(path) = &path {
        find(saga, path)?;
        let others = others(saga, [" is", " are"], |run| run.directions().iter().any(|direction| is_retriable(run, *direction)));
        because = format!("`{path}` is not stuck or backing off{others}");
    }
    let asked = |run: &StepRun| path.as_ref().is_none_or(|path| run.path.is_in(path));
    let legs = saga.legs().filter(|(run, direction, _)| asked(run) && is_retriable(run, *direction));
    let legs: Vec<Leg> = legs.map(|(run, direction, _)| run.name_leg(direction)).collect();
    if legs.is_empty() {
        return Err(Rejected::DoesNotFit { because, fits: fitting(saga) });
    }
    Ok(vec![Event::Retried(legs, act)])
}

fn retry_legs(saga: &Saga, asked: &BTreeSet<Leg>, act: Act) -> Result<Vec<Event>, Rejected> {
    let retriable = saga.legs().filter(|(run, direction, _)| is_retriable(run, *direction));
    let legs: Vec<Leg> = retriable.map(|(run, direction, _)| run.name_leg(direction)).filter(|leg| asked.contains(leg)).collect();
    if legs.is_empty() {
        return Err(Rejected::DoesNotFit {
            because: "none of these legs is stuck or backing off".to_owned(),
            fits: fitting(saga),
        });
    }
    Ok(vec![Event::Retried(legs, act)])
}

fn unlock(saga: &Saga, key: String, act: Act) -> Result<Vec<Event>, Rejected> {
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
