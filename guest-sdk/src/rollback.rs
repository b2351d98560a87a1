//! Why a compensation runs.

use std::fmt;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::stop::Failure;

/// Why a compensation runs, as [`Call::rollback_cause`](crate::Call::rollback_cause) tells it. It is the same in every attempt and
/// alternate of the compensation, so it may be a part of what a participant is told.
///
/// ```
/// use amends_sdk::testing::given;
/// use amends_sdk::{Call, Result, Saga, Step, refused};
///
/// fn cancel(_: (), _: Option<()>, call: &Call) -> Result {
///     let why = call.rollback_cause().map_or_else(|| "unknown".to_owned(), |cause| cause.code().to_owned());
///     amends_sdk::log::info!("cancels the room: {why}");
///     Ok(())
/// }
///
/// let hotel = Step::compensatable("hotel", |(), _| Ok(())).undo(cancel);
/// let car = Step::pivot("car", |(), _| Err::<(), _>(refused("no_car", "K1 has no cars left")));
/// let run = given(Saga::new("trip").step(hotel).step(car)).when(()).then(
///     "hotel done
///      car refused no_car
///      undo hotel done
///      compensated no_car",
/// );
/// assert_eq!(run.logs(), ["info cancels the room: no_car"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackCause {
    /// The saga rolls back, because a step was refused.
    Refused {
        /// The step's path.
        step: String,
        /// Its refusal.
        failure: Failure,
    },
    /// The saga rolls back, because the retries of a step were used up.
    Exhausted {
        /// The step's path.
        step: String,
        /// How it failed last.
        failure: Failure,
    },
    /// The saga rolls back, because a step may have happened that is [never run again](crate::Step::once_then_rollback).
    Unknown {
        /// The step's path.
        step: String,
        /// How it failed last.
        failure: Failure,
    },
    /// Somebody asked for it.
    Cancelled,
    /// The saga's deadline passed.
    Deadline,
    /// The saga does not roll back: this way of doing the step was refused and may have happened, and is undone before the next
    /// [alternate](crate::Step::alternate) begins.
    AlternateRefused {
        /// The refusal.
        failure: Failure,
    },
}

impl RollbackCause {
    /// The failure's code, else `cancelled` or `deadline`: what the host shows as the saga's `failure.code`.
    pub fn code(&self) -> &str {
        match self {
            RollbackCause::Cancelled => "cancelled",
            RollbackCause::Deadline => "deadline",
            RollbackCause::Refused { failure, .. }
            | RollbackCause::Exhausted { failure, .. }
            | RollbackCause::Unknown { failure, .. }
            | RollbackCause::AlternateRefused { failure } => &failure.code,
        }
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RollbackCause::Refused { step, failure } => write!(f, "step {step} was refused: {failure}"),
            RollbackCause::Exhausted { step, failure } => write!(f, "the retries of step {step} were used up: {failure}"),
            RollbackCause::Unknown { step, failure } => write!(f, "step {step} may have happened: {failure}"),
            RollbackCause::Cancelled => write!(f, "the saga was cancelled"),
            RollbackCause::Deadline => write!(f, "the saga's deadline passed"),
            RollbackCause::AlternateRefused { failure } => write!(f, "the alternate was refused: {failure}"),
        }
    }
}

impl From<&wit::RollbackCause> for RollbackCause {
    fn from(cause: &wit::RollbackCause) -> RollbackCause {
        let of = |failed: &wit::FailedStep| (failed.step.clone(), Failure::from(&failed.failure));
        match cause {
            wit::RollbackCause::Refused(failed) => {
                let (step, failure) = of(failed);
                RollbackCause::Refused { step, failure }
            }
            wit::RollbackCause::Exhausted(failed) => {
                let (step, failure) = of(failed);
                RollbackCause::Exhausted { step, failure }
            }
            wit::RollbackCause::Unknown(failed) => {
                let (step, failure) = of(failed);
                RollbackCause::Unknown { step, failure }
            }
            wit::RollbackCause::Cancelled => RollbackCause::Cancelled,
            wit::RollbackCause::Deadline => RollbackCause::Deadline,
            wit::RollbackCause::AlternateRefused(failure) => RollbackCause::AlternateRefused { failure: Failure::from(failure) },
        }
    }
}
