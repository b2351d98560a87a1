//! The engine's view of guest code: one attempt in, one report out.

use std::sync::Arc;

use amends_core::{
    event::{Attempt, RollbackCause, Woken},
    id::{Namespace, SagaId, StepKey},
    outcome::Report,
    value::{Failure, Instant, Payload},
};

use serde::{Deserialize, Serialize};

use crate::journal::Grant;

/// The SHA-256 of a component.
pub type ModuleDigest = [u8; 32];

/// One attempt to run, with everything that the guest and the host's functions need to know.
#[derive(Clone, Debug)]
pub struct AttemptCall {
    /// Whose it is.
    pub namespace: Namespace,
    /// The module's name, for logs.
    pub module: String,
    /// The module's version, for logs.
    pub version: u32,
    /// The component to run (law 9).
    pub digest: ModuleDigest,
    /// The saga.
    pub saga: SagaId,
    /// The definition's name.
    pub definition: String,
    /// The step's name; its path is in `attempt`.
    pub step: String,
    /// The key of the `each` element.
    pub element: Option<String>,
    /// Which leg, which attempt.
    pub attempt: Attempt,
    /// The leg's key (law 10).
    pub key: StepKey,
    /// The forward leg's key.
    pub forward_key: StepKey,
    /// Law-bound time: when the leg became ready.
    pub now: Instant,
    /// When this attempt began.
    pub started_at: Instant,
    /// When the attempt is ended from outside.
    pub deadline_at: Instant,
    /// The attempt may reach outside, as its intent says. If not, every outgoing call is denied.
    pub reaches_outside: bool,
    /// The step, or the compensation that this is an attempt of, declares itself effect-free; a denial names that.
    pub effect_free: bool,
    /// What the module may reach and its config, as of the intent's snapshot.
    pub grants: Arc<[Grant]>,
    /// W3C `traceparent` of the request that started the saga.
    pub trace_context: Option<String>,
    /// The saga's input.
    pub input: Payload,
    /// The outputs that the step needs, in its order.
    pub outputs: Vec<(String, Payload)>,
    /// What the step had returned, when undoing or checking.
    pub own_output: Option<Payload>,
    /// The last failure of this leg; in a first compensation the forward one.
    pub last_failure: Option<Failure>,
    /// Why, in a compensation: the same in every attempt and alternate.
    pub rollback_cause: Option<RollbackCause>,
    /// An earlier attempt may have happened.
    pub may_have_run: bool,
    /// What ended the wait before this attempt.
    pub arrived: Option<Woken>,
}

/// Runs guests, apart from the engine, the API and the committer.
pub trait Guests: Send + Sync + 'static {
    /// Runs one attempt and calls `done` once with its report, from any thread.
    ///
    /// It never blocks: beyond the number of guests in flight an attempt waits its turn.
    fn run(&self, call: AttemptCall, done: Box<dyn FnOnce(Report) + Send>);
}

/// A guest that was executing when the host died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Where its saga lives.
    pub namespace: Namespace,
    /// Its saga.
    pub saga: SagaId,
    /// Which leg, which attempt.
    pub attempt: Attempt,
}
