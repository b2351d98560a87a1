//! A definition as the wire says it.

use amends_core::{
    Definition,
    definition::{
        Body, CommandData, CommandStep, Each, EachMode, LockKey, OnExhausted, OnLocked, OnUnknown, Retry, Stage, Step, Undo,
        UndoPolicy,
    },
};
use amends_wire::definition;

use super::value::kind;
use crate::{engine::port::Offered, service::verify::Verified};

/// A definition that new sagas start on.
pub fn offered(offered: &Offered) -> definition::Definition {
    let Offered { module, version, definition: saga, started_by } = offered;
    definition::Definition { started_by: started_by.clone(), ..definition(module, Some(*version), saga) }
}

/// What a component contains, before any host has numbered it.
pub fn verified(verified: &Verified) -> Vec<definition::Definition> {
    let of = |saga: &Definition| {
        let triggers = verified.triggers.iter().filter(|trigger| trigger.saga == saga.name);
        let started_by = triggers.map(|trigger| trigger.event_type.clone()).collect();
        definition::Definition { started_by, ..definition(&verified.module, None, saga) }
    };
    verified.definitions.iter().map(of).collect()
}

/// A saga, before anything runs. `version` is the module's; none where no host has numbered it.
pub fn definition(module: &str, version: Option<u32>, saga: &Definition) -> definition::Definition {
    definition::Definition {
        name: saga.name.clone(),
        module: module.to_owned(),
        version,
        definition_version: saga.version,
        stages: saga.stages.iter().map(stage).collect(),
        output: saga.output.clone(),
        locks: saga.locks.iter().map(lock).collect(),
        on_locked: match saga.on_locked {
            OnLocked::Queue => definition::OnLocked::Queue,
            OnLocked::Refuse => definition::OnLocked::Refuse,
        },
        rounds: saga.rounds,
        deadline_ms: saga.deadline_ms,
        schema: saga.schema.clone(),
        started_by: Vec::new(),
    }
}

fn lock(lock: &LockKey) -> definition::LockDefinition {
    let LockKey { name, pointer } = lock.clone();
    definition::LockDefinition { name, pointer }
}

fn stage(stage: &Stage) -> definition::Stage {
    let steps = stage.steps.iter().map(step).collect();
    definition::Stage { steps, savepoint_after: stage.savepoint_after.clone() }
}

fn step(step: &Step) -> definition::StepDefinition {
    definition::StepDefinition {
        name: step.name.clone(),
        kind: kind(step.kind),
        child: match &step.body {
            Body::Code | Body::Command(_) => None,
            Body::Child(saga) => Some(saga.clone()),
        },
        command: match &step.body {
            Body::Command(command) => Some(self::command(command)),
            Body::Code | Body::Child(_) => None,
        },
        each: step.each.as_ref().map(each),
        alternates: step.alternates,
        effect_free: step.effect_free,
        needs: step.needs.clone(),
        deadline_ms: step.deadline_ms,
        retry: retry(&step.retry),
        on_unknown: match step.on_unknown {
            OnUnknown::Retry => definition::OnUnknown::Retry,
            OnUnknown::Check => definition::OnUnknown::Check,
            OnUnknown::OnceThenRollback => definition::OnUnknown::OnceThenRollback,
            OnUnknown::OnceThenStop => definition::OnUnknown::OnceThenStop,
        },
        on_exhausted: match step.on_exhausted {
            OnExhausted::Rollback => definition::OnExhausted::Rollback,
            OnExhausted::Stuck => definition::OnExhausted::Stuck,
        },
        undo: match &step.undo {
            Undo::None => definition::Undo::None,
            Undo::Nothing => definition::Undo::Nothing,
            Undo::Code(UndoPolicy { retry: policy, deadline_ms, alternates, effect_free }) => definition::Undo::Code {
                retry: retry(policy),
                deadline_ms: *deadline_ms,
                alternates: *alternates,
                effect_free: *effect_free,
            },
        },
    }
}

fn command(step: &CommandStep) -> definition::CommandDefinition {
    let CommandStep { aggregate, id, command, data, undo } = step.clone();
    definition::CommandDefinition {
        aggregate,
        id,
        name: command,
        data: command_data(data),
        undo: undo.map(|undo| definition::CommandUndo { name: undo.command, data: undo.data.map(command_data) }),
    }
}

fn command_data(data: CommandData) -> definition::CommandData {
    match data {
        CommandData::At(pointer) => definition::CommandData::At { pointer },
        CommandData::Object(members) => {
            definition::CommandData::Object { members: members.into_iter().map(|member| (member.name, member.at)).collect() }
        }
    }
}

fn each(each: &Each) -> definition::Each {
    let Each { items, key, mode, concurrency } = each.clone();
    let mode = match mode {
        EachMode::FailFast => definition::EachMode::FailFast,
        EachMode::Collect => definition::EachMode::Collect,
    };
    definition::Each { items, key, mode, concurrency }
}

fn retry(retry: &Retry) -> definition::RetryPolicy {
    definition::RetryPolicy {
        attempts_max: retry.attempts_max,
        first_ms: retry.first_ms,
        factor_percent: retry.factor_percent,
        cap_ms: retry.cap_ms,
        jitter_percent: retry.jitter_percent,
        time_box_ms: retry.time_box_ms,
    }
}
