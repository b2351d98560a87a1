//! A saga without its input's type: its stages, and the code of their steps.

use std::borrow::Cow;
use std::rc::Rc;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::step::Erased;

/// A saga without its input's type.
pub(crate) struct Definition {
    pub(crate) name: Cow<'static, str>,
    pub(super) version: u32,
    pub(crate) stages: Vec<StageOfSteps>,
    pub(crate) output: Option<String>,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) locks: Vec<wit::LockKey>,
    pub(super) on_locked: wit::OnLocked,
    pub(super) rounds: Option<u32>,
    pub(super) schema: Option<String>,
    /// The types of the events that start it. The host records them beside its definition.
    pub(crate) started_by: Vec<String>,
}

/// Steps that run in parallel, and the savepoint after them.
pub(crate) struct StageOfSteps {
    pub(crate) steps: Vec<Rc<Erased>>,
    pub(crate) savepoint_after: Option<String>,
}

impl StageOfSteps {
    pub(super) fn new(steps: Vec<Rc<Erased>>) -> StageOfSteps {
        StageOfSteps { steps, savepoint_after: None }
    }
}

impl Definition {
    pub(super) fn new(name: Cow<'static, str>) -> Definition {
        Definition {
            name,
            version: 1,
            stages: Vec::new(),
            output: None,
            deadline_ms: None,
            locks: Vec::new(),
            on_locked: wit::OnLocked::Queue,
            rounds: None,
            schema: None,
            started_by: Vec::new(),
        }
    }

    /// All steps, in their order.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Rc<Erased>> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }

    /// One more round where there is a savepoint, unless the author said otherwise.
    pub(crate) fn rounds(&self) -> u32 {
        let has_savepoint = self.stages.iter().any(|stage| stage.savepoint_after.is_some());
        self.rounds.unwrap_or(u32::from(has_savepoint))
    }

    pub(crate) fn to_wit(&self) -> wit::Definition {
        let stage = |stage: &StageOfSteps| wit::Stage {
            steps: stage.steps.iter().map(|step| step.spec.clone()).collect(),
            savepoint_after: stage.savepoint_after.clone(),
        };
        wit::Definition {
            name: self.name.to_string(),
            version: self.version,
            stages: self.stages.iter().map(stage).collect(),
            output: self.output.clone(),
            deadline_ms: self.deadline_ms,
            locks: self.locks.clone(),
            on_locked: self.on_locked,
            rounds: self.rounds(),
            schema: self.schema.clone(),
        }
    }
}
