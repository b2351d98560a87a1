//! What all steps of a saga under test share.

use std::rc::Rc;

use crate::bindings::saga::exports::amends::module::saga::{EventArrival, Failure as WitFailure, RollbackCause};
use crate::testing::TestWorld;
use crate::testing::trace::Trace;

/// How far the saga has come, and the world that it runs in.
pub(super) struct Course {
    /// The saga's id.
    pub(super) id: String,
    pub(super) world: Rc<TestWorld>,
    pub(super) trace: Trace,
    /// Events that no step has taken.
    pub(super) kept: Vec<EventArrival>,
    pub(super) round: u32,
    /// What began the round.
    pub(super) cause: Option<WitFailure>,
    /// Why the saga rolls back, if it does.
    pub(super) rollback: Option<RollbackCause>,
    /// The pivot is done, or, where there is none, a retriable step has begun.
    pub(super) returned: bool,
}

/// What came of one attempt on the way forward, or of all that were due in a branch.
pub(super) enum Moved {
    On,
    /// The step has failed: nothing but a rollback, or an operator after the point of no return, goes on from here.
    Failed {
        path: String,
        failure: WitFailure,
        why: Why,
    },
    Stuck {
        at: String,
        failure: WitFailure,
    },
}

/// Why a step has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Refused,
    /// Its retries are used up.
    Exhausted,
    /// It may have run, and is never run again: not in another round either.
    Unknown,
}

/// What came of undoing a step, or a branch.
pub(super) enum Undone {
    Yes,
    Waiting,
    Stuck { at: String, failure: WitFailure },
}

impl Undone {
    /// What came of both: while one waits, the other's trouble is not the end yet.
    pub(super) fn and(self, other: Undone) -> Undone {
        match (self, other) {
            (Undone::Waiting, _) | (_, Undone::Waiting) => Undone::Waiting,
            (stuck @ Undone::Stuck { .. }, _) | (Undone::Yes, stuck) => stuck,
        }
    }
}
