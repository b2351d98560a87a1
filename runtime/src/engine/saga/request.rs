//! What may be asked about sagas, and the answers.

use amends_core::{
    event::Act,
    id::{Namespace, SagaId},
    value::Payload,
    verbs::AskedVerb,
    view::{Status, View},
};

/// Starts a saga.
#[derive(Clone, Debug)]
pub struct Start {
    /// The definition's name.
    pub definition: String,
    /// Chosen by the client, or minted by the API before it asks.
    pub id: SagaId,
    /// The input as the client sent it.
    pub input: Payload,
    /// SHA-256 of the canonical input.
    pub input_hash: [u8; 32],
    /// 128 random bits for the keys of its steps; unused if the saga is there already.
    pub incarnation: [u8; 16],
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// Answer at the end (or at `stuck`) instead of at the durable start.
    pub wait: bool,
}

/// The answer to a start.
#[derive(Clone, Debug)]
pub struct SagaAnswer {
    /// The saga.
    pub id: SagaId,
    /// It was made by this request; else it was there with the same input.
    pub created: bool,
    /// The saga as of a committed revision.
    pub view: Box<View>,
    /// It has so many steps that the view leaves them out: they are read from the store.
    pub is_outline: bool,
    /// The position of its last record: `Amends-Position`.
    pub position: u64,
}

/// An operator's verb on one saga.
#[derive(Clone, Debug)]
pub struct VerbRequest {
    /// The saga.
    pub id: SagaId,
    /// What to do.
    pub asked: AskedVerb,
    /// Why and who, as the client says.
    pub act: Act,
    /// Only if the saga is at this revision.
    pub expect_revision: Option<u64>,
}

/// The answer to a verb. A repeated one gets what the first one got, but for `applied`.
#[derive(Clone, Debug)]
pub struct VerbAnswer {
    /// The verb changed the saga; a repeated one did not.
    pub applied: bool,
    /// Where the saga stood afterwards.
    pub status: Status,
    /// Its revision then.
    pub revision: u64,
    /// The position of its last record then.
    pub position: u64,
}

/// One committed change of a saga.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the saga lives.
    pub namespace: Namespace,
    /// The saga.
    pub id: SagaId,
    /// The version of its stream after the commit.
    pub revision: u64,
}
