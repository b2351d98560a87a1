//! What a shard wants done by whoever drives it.

use super::reads::Look;
use crate::{engine::guests::AttemptCall, journal::StreamId, store::{Batch, StoreError}};

/// What a shard wants done.
#[derive(Debug)]
pub enum Action {
    /// Make this durable, then say `Committed` with the number.
    Commit(Batch, u64),
    /// Read this from the store, then say `Fetched`.
    Fetch(Vec<Look>),
    /// Run guest code for this stream, then say `Report`.
    Run(StreamId, Box<AttemptCall>),
    /// A committed change that watchers may see: the stream and its revision.
    Changed(StreamId, u64),
    /// End the shard: the store takes no more commits. Whether the host ends too says the error.
    Fail(StoreError),
}
