//! What a shard wants done by whoever drives it.

use std::{fmt, sync::Arc};

use super::reads::Look;
use crate::{
    engine::guests::{Ahead, CallId, GuestCall},
    journal::StreamId,
    store::{Batch, StoreError},
};

/// What a shard wants done.
#[derive(Debug)]
pub enum Action {
    /// Make this durable, then say `Committed` with the number.
    Commit(Batch, u64),
    /// Read this from the store, then say `Fetched`.
    Fetch(Vec<Look>),
    /// Call guest code, then say `Report` with the stream that it ran for. Who goes on where the guest ran takes the report instead;
    /// then say `Returned` with the stream when it has ended what it could.
    Run(Box<GuestCall>, Option<Arc<dyn Ahead>>),
    /// Nothing needs this call of a stream any more: if its guest has not begun, say `Report` for it at once.
    Withdraw(StreamId, CallId),
    /// Nothing needs any call of this stream: end those that run, and say `Report` for each.
    End(StreamId),
    /// A committed change that watchers may see: the stream and its revision.
    Changed(StreamId, u64),
    /// End the shard: the store takes no more commits. The reason decides whether the host ends too.
    Fail(Ending),
}

/// The reason for the end of a shard that nobody stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another host owns the shard now. This host may go on with its other shards.
    Fenced(String),
    /// The storage failed, or the engine did. Nothing may be acknowledged any more, and the host ends at once (law 14).
    Failed(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced(why) => write!(f, "another host owns the shard: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<StoreError> for Ending {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced(why) => Self::Fenced(why),
            StoreError::Failed(why) => Self::Failed(why),
            // A commit at the wrong version or position is a bug of this host.
            StoreError::Conflict(_) | StoreError::Corrupt(_) => Self::Failed(error.to_string()),
        }
    }
}
