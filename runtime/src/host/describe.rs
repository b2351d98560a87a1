//! What a module says about itself, as the core's definitions.
//!
//! Only the shape is translated; whether a definition keeps the rules is the core's to say.

use amends_core::{Trigger, aggregate, definition as core, policy, projection};

use super::{
    bindings::{
        aggregates::exports::amends::module::aggregate as of_aggregates, exports::amends::module::saga as wit,
        policies::exports::amends::module::policy as of_policies,
        projections::exports::amends::module::projection as of_projections, triggers::exports::amends::module::triggers,
    },
    fault::Fault,
};

/// A module's name, its sagas and what starts them, its aggregates, its projections and its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name that the component gives itself, not yet checked.
    pub module: String,
    /// Its sagas, not yet checked.
    pub sagas: Vec<core::Definition>,
    /// Which events start which of them, not yet checked.
    pub triggers: Vec<Trigger>,
    /// Its aggregates, not yet checked.
    pub aggregates: Vec<aggregate::Definition>,
    /// Its projections, not yet checked.
    pub projections: Vec<projection::Definition>,
    /// Its policies, not yet checked.
    pub policies: Vec<policy::Definition>,
}

/// What the interfaces say that a component exports.
pub(super) struct Interfaces {
    pub(super) sagas: Option<wit::Description>,
    pub(super) aggregates: Option<of_aggregates::Description>,
    pub(super) projections: Option<of_projections::Description>,
    pub(super) policies: Option<of_policies::Description>,
}

impl Description {
    /// What the interfaces of a component say. It has one name, in all.
    pub(super) fn new(interfaces: Interfaces, triggers: Vec<triggers::Trigger>) -> Result<Self, Fault> {
        let Interfaces { sagas, aggregates, projections, policies } = interfaces;
        let names = [
            sagas.as_ref().map(|said| ("sagas", said.module.clone())),
            aggregates.as_ref().map(|said| ("aggregates", said.module.clone())),
            projections.as_ref().map(|said| ("projections", said.module.clone())),
            policies.as_ref().map(|said| ("policies", said.module.clone())),
        ];
        let mut names = names.into_iter().flatten();
        let first = names.next();
        if let Some((of_one, one)) = &first
            && let Some((of_other, other)) = names.find(|(_, name)| name != one)
        {
            return Err(Fault::bad_output(format!(
                "the component names itself `{}` with its {of_one} and `{}` with its {of_other}",
                one.escape_debug(),
                other.escape_debug()
            )));
        }
        let module = first.map(|(_, name)| name).unwrap_or_default();
        let trigger = |trigger: triggers::Trigger| Trigger { saga: trigger.saga, event_type: trigger.event_type };
        Ok(Self {
            module,
            sagas: sagas.into_iter().flat_map(|sagas| sagas.sagas).map(definition).collect(),
            triggers: triggers.into_iter().map(trigger).collect(),
            aggregates: aggregates.into_iter().flat_map(|known| known.aggregates).map(aggregate_definition).collect(),
            projections: projections.into_iter().flat_map(|known| known.projections).map(projection_definition).collect(),
            policies: policies.into_iter().flat_map(|known| known.policies).map(policy_definition).collect(),
        })
    }
}

fn aggregate_definition(definition: of_aggregates::Definition) -> aggregate::Definition {
    let command = |command: of_aggregates::CommandDefinition| aggregate::CommandDefinition {
        name: command.name,
        on: match command.on {
            of_aggregates::Presence::Any => aggregate::Presence::Any,
            of_aggregates::Presence::New => aggregate::Presence::New,
            of_aggregates::Presence::Existing => aggregate::Presence::Existing,
        },
        schema: command.schema,
    };
    let event = |event: of_aggregates::EventDefinition| aggregate::EventDefinition {
        event_type: event.event_type,
        version: event.version,
        reads: event.reads,
    };
    aggregate::Definition {
        name: definition.name,
        commands: definition.commands.into_iter().map(command).collect(),
        events: definition.events.into_iter().map(event).collect(),
        keep_every: definition.keep_every,
        state_version: definition.state_version,
    }
}

fn projection_definition(definition: of_projections::Definition) -> projection::Definition {
    let reading =
        |reading: of_projections::Reading| projection::Reading { event_type: reading.event_type, versions: reading.versions };
    let query = |query: of_projections::QueryDefinition| projection::QueryDefinition { name: query.name, schema: query.schema };
    projection::Definition {
        name: definition.name,
        reads: definition.reads.into_iter().map(reading).collect(),
        queries: definition.queries.into_iter().map(query).collect(),
        rows_version: definition.rows_version,
    }
}

fn policy_definition(definition: of_policies::Definition) -> policy::Definition {
    let subscription = |subscription: of_policies::Subscription| policy::Subscription {
        event_type: subscription.event_type,
        versions: subscription.versions,
        key: subscription.key,
        route: match subscription.route {
            of_policies::Route::Start => policy::Route::Start,
            of_policies::Route::StartOrContinue => policy::Route::StartOrContinue,
            of_policies::Route::Continue => policy::Route::Continue,
        },
    };
    policy::Definition {
        name: definition.name,
        subscriptions: definition.subscriptions.into_iter().map(subscription).collect(),
        state: definition.state.map(|form| policy::StateForm { version: form.version, reads: form.reads }),
        on_poison: match definition.on_poison {
            of_policies::OnPoison::Park => policy::OnPoison::Park,
            of_policies::OnPoison::Stop => policy::OnPoison::Stop,
        },
        attempts_max: definition.attempts_max,
        start: match definition.start {
            of_policies::Start::Now => policy::StartAt::Now,
            of_policies::Start::Beginning => policy::StartAt::Beginning,
        },
        replay: match definition.replay {
            of_policies::Replay::Silent => policy::Replay::Silent,
            of_policies::Replay::Effects => policy::Replay::Effects,
        },
        answers: definition.answers,
        sends: definition.sends,
        publishes: definition.publishes,
        starts: definition.starts,
    }
}

fn definition(definition: wit::Definition) -> core::Definition {
    let lock = |lock: wit::LockKey| core::LockKey { name: lock.name, pointer: lock.pointer };
    core::Definition {
        name: definition.name,
        version: definition.version,
        stages: definition.stages.into_iter().map(stage).collect(),
        output: definition.output,
        deadline_ms: definition.deadline_ms,
        locks: definition.locks.into_iter().map(lock).collect(),
        on_locked: match definition.on_locked {
            wit::OnLocked::Queue => core::OnLocked::Queue,
            wit::OnLocked::Refuse => core::OnLocked::Refuse,
        },
        rounds: definition.rounds,
        schema: definition.schema,
    }
}

fn stage(stage: wit::Stage) -> core::Stage {
    core::Stage { steps: stage.steps.into_iter().map(step).collect(), savepoint_after: stage.savepoint_after }
}

fn step(step: wit::Step) -> core::Step {
    core::Step {
        name: step.name,
        kind: match step.kind {
            wit::Kind::Compensatable => core::Kind::Compensatable,
            wit::Kind::Pivot => core::Kind::Pivot,
            wit::Kind::Retriable => core::Kind::Retriable,
        },
        body: match step.body {
            wit::Body::Code => core::Body::Code,
            wit::Body::Child(saga) => core::Body::Child(saga),
            wit::Body::Command(command) => core::Body::Command(core::CommandStep {
                aggregate: command.aggregate,
                id: command.id,
                command: command.command,
                data: command_data(command.data),
                undo: command.undo.map(|undo| core::CommandUndo { command: undo.command, data: undo.data.map(command_data) }),
            }),
        },
        effect_free: step.effect_free,
        needs: step.needs,
        retry: retry(step.retry),
        deadline_ms: step.deadline_ms,
        on_unknown: match step.on_unknown {
            wit::OnUnknown::Retry => core::OnUnknown::Retry,
            wit::OnUnknown::Check => core::OnUnknown::Check,
            wit::OnUnknown::OnceThenRollback => core::OnUnknown::OnceThenRollback,
            wit::OnUnknown::OnceThenStop => core::OnUnknown::OnceThenStop,
        },
        on_exhausted: match step.on_exhausted {
            wit::OnExhausted::Rollback => core::OnExhausted::Rollback,
            wit::OnExhausted::Stuck => core::OnExhausted::Stuck,
        },
        alternates: step.alternates,
        undo: match step.undo {
            wit::Undo::None => core::Undo::None,
            wit::Undo::Nothing => core::Undo::Nothing,
            wit::Undo::Code(policy) => core::Undo::Code(core::UndoPolicy {
                retry: retry(policy.retry),
                deadline_ms: policy.deadline_ms,
                alternates: policy.alternates,
                effect_free: policy.effect_free,
            }),
        },
        each: step.each.map(|each| core::Each {
            items: each.items,
            key: each.key,
            mode: match each.mode {
                wit::EachMode::FailFast => core::EachMode::FailFast,
                wit::EachMode::Collect => core::EachMode::Collect,
            },
            concurrency: each.concurrency,
        }),
    }
}

fn command_data(data: wit::CommandData) -> core::CommandData {
    match data {
        wit::CommandData::At(pointer) => core::CommandData::At(pointer),
        wit::CommandData::Object(members) => core::CommandData::Object(
            members.into_iter().map(|member| core::Member { name: member.name, at: member.at }).collect(),
        ),
    }
}

fn retry(retry: wit::Retry) -> core::Retry {
    core::Retry {
        attempts_max: retry.attempts_max,
        first_ms: retry.first_ms,
        factor_percent: retry.factor_percent,
        cap_ms: retry.cap_ms,
        jitter_percent: retry.jitter_percent,
        time_box_ms: retry.time_box_ms,
    }
}
