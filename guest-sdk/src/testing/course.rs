//! What all steps of a saga under test share, and what their attempts decide for the whole saga.

use std::rc::Rc;

use crate::Moment;
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
    /// What the round before failed for.
    pub(super) cause: Option<WitFailure>,
    /// The pivot is done, or, where there is none, a retriable step has begun.
    pub(super) past_point_of_no_return: bool,
    /// Why the saga rolls back, if it does: open attempts still end, and no step begins.
    pub(super) rollback: Option<RollbackCause>,
}

impl Course {
    pub(super) fn now(&self) -> Moment {
        self.world.clock()
    }

    pub(super) fn rolls_back(&self) -> bool {
        self.rollback.is_some()
    }
}

/// A step has failed, and the saga rolls back for it.
pub(super) struct Failed {
    pub(super) path: String,
    pub(super) failure: WitFailure,
    pub(super) why: Why,
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
