//! What every request has: where it comes from, and where its answer goes.

use amends_core::id::Namespace;

use crate::{engine::refusal::Refusal, journal::Actor};

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it applies.
    pub namespace: Namespace,
    /// Who, as the host knows it.
    pub actor: Actor,
    /// The client's `Idempotency-Key`, for verbs, signals and events.
    pub idempotency_key: Option<String>,
}

/// The channel for a request's answer.
pub type Answer<T> = tokio::sync::oneshot::Sender<Result<T, Refusal>>;

/// What a decision says to whoever asked, and the position up to which records must be durable before it leaves.
#[derive(Debug)]
pub(crate) struct Said<T> {
    pub(crate) at: u64,
    pub(crate) said: Result<T, Refusal>,
}

impl<T> Said<T> {
    pub(crate) fn new(at: u64, said: Result<T, Refusal>) -> Self {
        Self { at, said }
    }

    /// A refusal that says nothing of what may not be durable.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { at: 0, said: Err(refusal) }
    }
}
