//! What a cancel would do, as `/v1/sagas/{id}` answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::names;

/// What a cancel would do to the saga as it is. Nothing is decided by asking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CancelPreview {
    /// Why a cancel would be refused; without it, it would be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// A rollback to the start is under way: a cancel changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub under_way: bool,
    /// An attempt of the pivot is open: if it is done, nothing is undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot_decides: bool,
    /// Compensations in their order; left out if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undoing>,
    /// Steps that are done, or may be, and leave nothing to undo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// The version that the compensations run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// SHA-256 of its component, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

names! {
    /// Whether there is something to undo.
    pub enum Certainty {
        /// The step is done.
        Done = "done",
        /// It may have run.
        MayHaveRun = "may_have_run",
        /// It depends on the outcome of an open attempt.
        Open = "open",
    }
}

/// Compensations: one, several one after the other, or several in any order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Undoing {
    /// One compensation.
    Step {
        /// The step that it undoes.
        step: String,
        /// Whether there is something to undo.
        certainty: Certainty,
    },
    /// Each when the one before it has ended.
    InOrder {
        /// The first one first.
        #[schema(no_recursion)]
        parts: Vec<Undoing>,
    },
    /// In any order.
    SideBySide {
        /// All of them.
        #[schema(no_recursion)]
        parts: Vec<Undoing>,
    },
}
