//! What the outside may ask of the engine: a closed set of requests, each answered once, after the commit that justifies the answer
//! (law 2). The types of a request lie with its kind; this is where the outside finds them.
//! What committed reads return lies with the read, and the outside finds it in `service/reader.rs`.

use amends_core::event::Act;

pub use crate::engine::{
    aggregate::import::{IMPORT_EVENTS_MAX, IMPORT_GROWN_MAX, Import, ImportAnswer, ImportEvent, ImportStream},
    aggregate::request::{Answered, CommandAnswer, SendCommand},
    event::request::{Batch, NotStarted, Publish, PublishAnswer, Seed, StartedSaga},
    job::request::{JobAnswer, JobRequest},
    kernel::request::{Answer, Origin},
    module::request::{Activation, Deploy, Force, ModuleAnswer, ModuleView, Offered, SetGrants, VersionView, Which},
    policy::request::{PolicyRequest, PolicyStatus, PolicyVerb, PolicyView},
    recorded::{EventQuery, RecordedEvent, RecordedEvents},
    refusal::{Hint, Refusal, RefusalCode, Remedy},
    saga::request::{Change, SagaAnswer, Start, VerbAnswer, VerbRequest},
    schedule::{
        CATCH_UP_MS,
        check::CheckedSpec,
        request::{OfSchedule, PutSchedule, ScheduleAnswer, ScheduleRequest},
    },
};
use crate::{
    engine::aggregate::AggregateKey,
    journal::{StreamId, StreamKind},
};

/// The closed set of what may be asked.
#[derive(Debug)]
pub enum Request {
    /// Starts a saga.
    Start(Origin, Start, Answer<SagaAnswer>),
    /// An operator's verb.
    Verb(Origin, VerbRequest, Answer<VerbAnswer>),
    /// An event, or a signal.
    Publish(Origin, Publish, Answer<PublishAnswer>),
    /// A verified component.
    Deploy(Origin, Deploy, Answer<ModuleAnswer>),
    /// Make a version of each of these modules the one that new work starts on, together. At least one.
    Activate(Origin, Activation, Answer<Vec<ModuleAnswer>>),
    /// Replaces what a module may reach.
    SetGrants(Origin, SetGrants, Answer<ModuleAnswer>),
    /// What is asked of one schedule.
    Schedule(Origin, ScheduleRequest, Answer<Box<ScheduleAnswer>>),
    /// Removes a version that nothing needs.
    Remove(Origin, String, u32, Answer<ModuleAnswer>),
    /// A verb for many sagas.
    Job(Origin, Box<JobRequest>, Answer<JobAnswer>),
    /// Stops a job, by its id.
    StopJob(Origin, String, Act, Answer<JobAnswer>),
    /// A command for an aggregate.
    Command(Origin, Box<SendCommand>, Answer<CommandAnswer>),
    /// Events that another system recorded.
    Import(Origin, Box<Import>, Answer<ImportAnswer>),
    /// Answers when the job of this id has ended.
    AwaitJob(Origin, String, Answer<JobAnswer>),
    /// The modules of a namespace.
    Modules(Origin, Answer<Vec<ModuleView>>),
    /// The definitions that new sagas of a namespace start on.
    Definitions(Origin, Answer<Vec<Offered>>),
    /// How the policies of a namespace stand.
    Policies(Origin, Answer<Vec<PolicyView>>),
    /// How the policy of this name stands.
    Policy(Origin, String, Answer<PolicyView>),
    /// What an operator does with a policy.
    ActOnPolicy(Origin, Box<PolicyRequest>, Answer<PolicyView>),
}

impl Request {
    /// The stream that the request is about, or would be about if there were one: requests about one keep their order.
    pub(crate) fn about(&self) -> StreamId {
        let stream = |origin: &Origin, kind, id: &str| StreamId { namespace: origin.namespace.clone(), kind, id: id.to_owned() };
        match self {
            Self::Start(origin, start, _) => stream(origin, StreamKind::Saga, start.id.as_str()),
            Self::Verb(origin, verb, _) => stream(origin, StreamKind::Saga, verb.id.as_str()),
            Self::Publish(origin, publish, _) => match &publish.to {
                Some(id) => stream(origin, StreamKind::Saga, id.as_str()),
                None => stream(origin, StreamKind::Event, &format!("{}/{}", publish.event_type, publish.key)),
            },
            Self::Deploy(origin, deploy, _) => stream(origin, StreamKind::Module, &deploy.module),
            Self::SetGrants(origin, set, _) => stream(origin, StreamKind::Module, &set.module),
            Self::Activate(origin, asked, _) => {
                stream(origin, StreamKind::Module, asked.versions.first().map_or("", |(module, _)| module))
            }
            Self::Remove(origin, module, ..) => stream(origin, StreamKind::Module, module),
            Self::Schedule(origin, asked, _) => stream(origin, StreamKind::Schedule, &asked.name),
            Self::Job(origin, job, _) => stream(origin, StreamKind::Job, &job.id),
            Self::StopJob(origin, id, ..) | Self::AwaitJob(origin, id, _) => stream(origin, StreamKind::Job, id),
            Self::Command(origin, command, _) => AggregateKey::new(&origin.namespace, &command.aggregate, &command.id).stream(),
            // They keep their order; each says itself where its streams are to stand.
            Self::Import(origin, ..) => stream(origin, StreamKind::Aggregate, ""),
            Self::Modules(origin, _) | Self::Definitions(origin, _) => stream(origin, StreamKind::Module, ""),
            Self::Policies(origin, _) => stream(origin, StreamKind::Policy, ""),
            Self::Policy(origin, name, _) => stream(origin, StreamKind::Policy, name),
            Self::ActOnPolicy(origin, request, _) => stream(origin, StreamKind::Policy, &request.name),
        }
    }

    /// The batch that it is part of. Events of a batch keep their order among themselves: events of one topic that are asked for
    /// side by side have none to keep.
    pub(crate) fn batch(&self) -> Option<u64> {
        match self {
            Self::Publish(_, publish, _) => publish.batch.as_ref().map(Batch::number),
            _ => None,
        }
    }

    /// What the request is about, in words.
    pub(crate) fn subject(&self) -> String {
        let StreamId { kind, id, .. } = self.about();
        match kind {
            StreamKind::Aggregate if id.is_empty() => "what is imported".to_owned(),
            StreamKind::Saga => format!("saga {id}"),
            StreamKind::Module => format!("module `{id}`"),
            StreamKind::Event => format!("what waits for event {id}"),
            StreamKind::Host => "the host".to_owned(),
            StreamKind::Schedule => format!("schedule `{id}`"),
            StreamKind::Job => format!("job {id}"),
            StreamKind::Aggregate => id.replacen('/', " ", 1),
            StreamKind::Policy => format!("policy `{id}`"),
            StreamKind::Instance => format!("instance {id}"),
            StreamKind::View => format!("view `{id}`"),
        }
    }

    /// Whether it brings new work. Everything else may be what open work needs to end, and is taken on a full disk too.
    pub(crate) fn brings_work(&self) -> bool {
        match self {
            Self::Start(..) | Self::Deploy(..) | Self::Command(..) | Self::Import(..) => true,
            Self::Schedule(_, request, _) => match request.asked {
                OfSchedule::Put(_) => true,
                OfSchedule::Pause | OfSchedule::Resume | OfSchedule::Trigger(_) | OfSchedule::Remove => false,
            },
            // A signal: the saga that it is addressed to may need it to end.
            Self::Publish(_, publish, _) => publish.to.is_none(),
            Self::Verb(..)
            | Self::Activate(..)
            | Self::SetGrants(..)
            | Self::Remove(..)
            | Self::Job(..)
            | Self::StopJob(..)
            | Self::AwaitJob(..)
            | Self::Modules(..)
            | Self::Definitions(..)
            | Self::Policies(..)
            | Self::Policy(..)
            | Self::ActOnPolicy(..) => false,
        }
    }

    /// Answers that the request cannot be decided.
    pub(crate) fn refuse(self, refusal: Refusal) {
        // A client that has gone does not mind.
        match self {
            Self::Start(.., answer) => drop(answer.send(Err(refusal))),
            Self::Verb(.., answer) => drop(answer.send(Err(refusal))),
            Self::Publish(.., answer) => drop(answer.send(Err(refusal))),
            Self::Deploy(.., answer) | Self::SetGrants(.., answer) | Self::Remove(.., answer) => {
                drop(answer.send(Err(refusal)));
            }
            Self::Schedule(.., answer) => drop(answer.send(Err(refusal))),
            Self::Job(.., answer) | Self::StopJob(.., answer) | Self::AwaitJob(.., answer) => drop(answer.send(Err(refusal))),
            Self::Command(.., answer) => drop(answer.send(Err(refusal))),
            Self::Import(.., answer) => drop(answer.send(Err(refusal))),
            Self::Activate(.., answer) => drop(answer.send(Err(refusal))),
            Self::Modules(_, answer) => drop(answer.send(Err(refusal))),
            Self::Definitions(_, answer) => drop(answer.send(Err(refusal))),
            Self::Policies(_, answer) => drop(answer.send(Err(refusal))),
            Self::Policy(.., answer) | Self::ActOnPolicy(.., answer) => drop(answer.send(Err(refusal))),
        }
    }
}
