//! What a cancel would do, as `/v1/sagas/{id}` answers it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Compensations in their order; null if there are none.
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

/// Compensations: one, several one after the other, or several in any order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Undoing {
    /// One compensation.
    Step {
        /// The step that it undoes.
        step: String,
        /// `done`, `may_have_run`, or `open`: it depends on the outcome of an open attempt.
        certainty: String,
    },
    /// Each when the one before it has ended.
    InOrder {
        /// The first one first.
        #[schema(no_recursion)]
        in_order: Vec<Undoing>,
    },
    /// In any order.
    SideBySide {
        /// All of them.
        #[schema(no_recursion)]
        side_by_side: Vec<Undoing>,
    },
}
