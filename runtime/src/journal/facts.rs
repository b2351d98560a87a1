//! The type codes of facts, and the encoding of their bodies. Headers are in `record.rs`.
//!
//! A code, once released, means the same for ever; a body is the postcard of the fact's fields, in the order given here.
//! postcard writes the index of a nested enum's variant: new variants go at the end, and the golden records below notice.

use amends_core::{
    aggregate::AggregateEvent,
    event::{Answer, Event as SagaEvent, Reason, Resolution, Why},
    job::JobEvent,
    policy::{InstanceEvent, PolicyEvent},
    schedule::ScheduleEvent,
    value::{Failure, Payload},
};
use serde::de::DeserializeOwned;

use super::{Fact, HostEvent, MessageEvent, ModuleEvent};

/// The version of every body so far. A fact whose fields change gets the next number, and its old form is upcast when read.
pub(super) const BODY_VERSION: u8 = 1;

macro_rules! facts {
    ($($group:ident($event:ident) {
        $($code:literal $name:literal $variant:ident { $($field:tt: $bound:ident),* })*
    })*) => {
        /// Every code in use, with its name.
        #[cfg(test)]
        pub(super) const CODES: &[(u16, &str)] = &[$($(($code, $name),)*)*];

        impl Fact {
            /// The record type's number, which never changes.
            pub fn code(&self) -> u16 {
                match self {
                    $($(Self::$group($event::$variant { .. }) => $code,)*)*
                }
            }

            /// The record type's name, which never changes.
            pub fn name(&self) -> &'static str {
                match self {
                    $($(Self::$group($event::$variant { .. }) => $name,)*)*
                }
            }

            /// Adds the body to a record.
            pub(super) fn write_body(&self, record: Vec<u8>) -> postcard::Result<Vec<u8>> {
                match self {
                    $($(Self::$group($event::$variant { $($field: $bound),* }) => {
                        postcard::to_extend(&($($bound,)*), record)
                    })*)*
                }
            }

            /// Reads a body that fills `bytes` exactly.
            pub(super) fn read_body(code: u16, version: u8, bytes: &[u8]) -> Result<Self, String> {
                let Some(name) = type_name(code) else {
                    return Err(format!("type {code} is unknown to this build; run the version that wrote it"));
                };
                let body = Body { name, version, bytes };
                match code {
                    $($($code => {
                        let ($($bound,)*) = body.read()?;
                        Ok(Self::$group($event::$variant { $($field: $bound),* }))
                    })*)*
                    _ => Err(format!("type {code} ({name}) has no body in this build")),
                }
            }
        }

        /// The name of a code.
        fn type_name(code: u16) -> Option<&'static str> {
            match code {
                $($($code => Some($name),)*)*
                _ => None,
            }
        }
    };
}

facts! {
    Saga(SagaEvent) {
        1 "started" Started { 0: started }
        2 "intent" Intent { 0: intent }
        3 "done" Done { 0: attempt, 1: output }
        4 "refused" Refused { 0: attempt, 1: failure }
        5 "transient" Transient { 0: attempt, 1: failure, 2: charge }
        6 "unknown" Unknown { 0: attempt, 1: failure, 2: charge }
        7 "not_done" NotDone { 0: attempt }
        8 "wait" Wait { 0: attempt, 1: wait }
        9 "arrived" Arrived { 0: leg, 1: arrival }
        10 "timer_fired" TimerFired { 0: leg }
        11 "stale" Stale { 0: attempt, 1: what }
        12 "backoff" Backoff { 0: leg, 1: until }
        13 "rollback_begun" RollbackBegun { 0: reason }
        14 "undone" Undone { 0: attempt }
        15 "resolved" Resolved { 0: path, 1: resolution, 2: act }
        16 "skipped" Skipped { 0: path, 1: act }
        17 "retried" Retried { 0: legs, 1: act }
        18 "cancel_requested" CancelRequested { 0: cancel }
        19 "stuck" Stuck { 0: leg, 1: why }
        20 "unstuck" Unstuck { 0: leg }
        21 "completed" Completed {}
        22 "compensated" Compensated {}
        23 "abandoned" Abandoned { 0: act }
        24 "round_begun" RoundBegun { 0: round }
        25 "moved" Moved { 0: moved }
        26 "lock_queued" LockQueued { 0: behind }
        27 "lock_taken" LockTaken {}
        28 "lock_broken" LockBroken { 0: key, 1: act }
        29 "listed" Listed { 0: path, 1: elements }
        30 "sent" Sent { 0: attempt, 1: sent }
        31 "published" Published { 0: attempt, 1: published }
        32 "answered" Answered { 0: leg, 1: answered }
    }
    Module(ModuleEvent) {
        100 "deployed" Deployed {
            version: version, digest: digest, bytes: bytes, description: description, imports: imports
        }
        101 "activated" Activated { version: version, act: act }
        102 "granted" Granted { 0: grant, 1: act }
        103 "revoked" Revoked { 0: grant, 1: act }
        104 "quarantined" Quarantined { version: version, reason: reason }
        105 "removed" Removed { version: version }
        106 "triggers" Triggers { version: version, triggers: triggers }
        107 "aggregates" Aggregates { version: version, description: description }
        108 "projections" Projections { version: version, description: description }
        109 "policies" Policies { version: version, description: description }
    }
    Message(MessageEvent) {
        200 "event" Event { source: source, id: id, topic: topic, to: to, data: data }
        201 "kept" Kept { until: until }
        202 "dead" Dead { reason: reason }
        203 "not_started" NotStarted { saga: saga, why: why }
    }
    Host(HostEvent) {
        300 "opened" Opened { epoch: epoch, clean: clean }
        301 "restored" Restored { generation: generation }
    }
    Schedule(ScheduleEvent) {
        400 "scheduled" Scheduled { spec: spec, input: input, next: next, paused: paused, act: act, key: key }
        401 "fired" Fired { due: due, saga: saga, next: next }
        402 "triggered" Triggered { saga: saga, act: act }
        403 "postponed" Postponed { due: due, until: until, reason: reason, next: next }
        404 "missed" Missed { due: due, count: count, reason: reason, next: next }
        405 "paused" Paused { 0: act }
        406 "resumed" Resumed { next: next, act: act }
        407 "unscheduled" Unscheduled { 0: act }
    }
    Job(JobEvent) {
        500 "asked" Asked { verb: verb, filter: filter, act: act }
        501 "advanced" Advanced { through: through, applied: applied, misfits: misfits }
        502 "ended" Ended {}
        503 "stopped" Stopped { act: act }
    }
    Aggregate(AggregateEvent) {
        600 "recorded" Recorded {
            revision: revision,
            event_type: event_type,
            version: version,
            data: data,
            tags: tags,
            subject: subject,
            module_version: module_version,
            command: command
        }
        601 "decided" Decided { command: command, refused: refused, module_version: module_version }
        602 "unfolded" Quarantined { module_version: module_version, digest: digest, failure: failure }
        603 "imported" Imported {
            revision: revision,
            event_type: event_type,
            version: version,
            data: data,
            tags: tags,
            at: at,
            by: by
        }
    }
    Policy(PolicyEvent) {
        700 "installed" Installed {
            module: module,
            module_version: module_version,
            digest: digest,
            incarnation: incarnation,
            from: from,
            replay_to: replay_to
        }
        701 "withdrawn" Withdrawn {}
        702 "policy_paused" Paused { 0: act }
        703 "policy_resumed" Resumed { 0: act }
        704 "reset" Reset { incarnation: incarnation, from: from, replay_to: replay_to, act: act }
        705 "policy_stopped" Stopped { at: at, failure: failure }
        706 "parked" Parked { key: key, position: position, failure: failure, attempts: attempts }
        707 "redriven" Redriven { key: key, act: act }
        708 "dropped" Dropped { key: key, position: position, act: act }
        709 "cleared" Cleared { key: key }
        710 "kept_for_instance" Kept { key: key, position: position, until: until }
        711 "undelivered" Dead { key: key, position: position, failure: failure }
        712 "host_died" HostDied { key: key, position: position }
    }
    Instance(InstanceEvent) {
        800 "handled" Handled { 0: reaction }
        801 "command_sent" Sent { 0: sent }
        802 "event_published" Published { 0: published }
        803 "saga_started" Started { 0: started }
        804 "command_answered" Answered { command: command, name: name, answered: answered }
        805 "alarm_fired" TimerFired { 0: timer }
        806 "late" Late { position: position, cause: cause }
    }
}

impl Fact {
    /// The payload of the fact, if any; the record's header has its encoding.
    pub fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Saga(event) => saga_payload(event),
            Self::Message(MessageEvent::Event { data, .. }) => data.as_ref(),
            Self::Schedule(ScheduleEvent::Scheduled { input, .. }) => Some(input),
            Self::Aggregate(AggregateEvent::Recorded { data, .. } | AggregateEvent::Imported { data, .. }) => data.as_ref(),
            Self::Aggregate(AggregateEvent::Decided { command, .. }) => Some(&command.data),
            Self::Aggregate(AggregateEvent::Quarantined { .. })
            | Self::Schedule(
                ScheduleEvent::Fired { .. }
                | ScheduleEvent::Triggered { .. }
                | ScheduleEvent::Postponed { .. }
                | ScheduleEvent::Missed { .. }
                | ScheduleEvent::Paused(_)
                | ScheduleEvent::Resumed { .. }
                | ScheduleEvent::Unscheduled(_),
            )
            | Self::Message(MessageEvent::Kept { .. } | MessageEvent::Dead { .. } | MessageEvent::NotStarted { .. })
            | Self::Module(_)
            | Self::Host(_)
            | Self::Job(_) => None,
            Self::Policy(
                PolicyEvent::Stopped { failure, .. } | PolicyEvent::Parked { failure, .. } | PolicyEvent::Dead { failure, .. },
            ) => failure.data.as_ref(),
            Self::Policy(_) => None,
            Self::Instance(event) => instance_payload(event),
        }
    }
}

fn instance_payload(event: &InstanceEvent) -> Option<&Payload> {
    match event {
        InstanceEvent::Handled(reaction) => reaction.state.as_ref().map(|state| &state.data),
        InstanceEvent::Sent(sent) => Some(&sent.data),
        InstanceEvent::Published(published) => Some(&published.data),
        InstanceEvent::Started(started) => Some(&started.input),
        InstanceEvent::Answered { answered, .. } => answer_payload(&answered.answer),
        InstanceEvent::TimerFired(timer) => timer.data.as_ref(),
        InstanceEvent::Late { .. } => None,
    }
}

fn answer_payload(answer: &Answer) -> Option<&Payload> {
    match answer {
        Answer::Accepted { data, .. } => data.as_ref(),
        Answer::Refused(failure) => failure.data.as_ref(),
    }
}

fn saga_payload(event: &SagaEvent) -> Option<&Payload> {
    match event {
        SagaEvent::Started(started) => Some(&started.input),
        SagaEvent::Intent(intent) => intent.element.as_ref(),
        SagaEvent::Done(_, output) | SagaEvent::Resolved(_, Resolution::Output(output), _) => Some(output),
        SagaEvent::Refused(_, failure) | SagaEvent::Transient(_, failure, _) | SagaEvent::Unknown(_, failure, _) => {
            failure.data.as_ref()
        }
        SagaEvent::Arrived(_, arrival) => arrival.data.as_ref(),
        SagaEvent::Sent(_, sent) => Some(&sent.data),
        SagaEvent::Published(_, published) => Some(&published.data),
        SagaEvent::Answered(_, answered) => answer_payload(&answered.answer),
        SagaEvent::RollbackBegun(reason) => reason_failure(reason)?.data.as_ref(),
        SagaEvent::Stuck(_, why) => why_failure(why)?.data.as_ref(),
        SagaEvent::NotDone(_)
        | SagaEvent::Wait(..)
        | SagaEvent::TimerFired(_)
        | SagaEvent::Stale(..)
        | SagaEvent::Backoff(..)
        | SagaEvent::Undone(_)
        | SagaEvent::Resolved(_, Resolution::NotDone | Resolution::Undone, _)
        | SagaEvent::Skipped(..)
        | SagaEvent::Retried(..)
        | SagaEvent::CancelRequested(_)
        | SagaEvent::Unstuck(_)
        // Its elements say how to read them, each for itself.
        | SagaEvent::Listed(..)
        | SagaEvent::RoundBegun(_)
        | SagaEvent::Moved(_)
        | SagaEvent::LockQueued(_)
        | SagaEvent::LockTaken
        | SagaEvent::LockBroken(..)
        | SagaEvent::Completed
        | SagaEvent::Compensated
        | SagaEvent::Abandoned(_) => None,
    }
}

fn reason_failure(reason: &Reason) -> Option<&Failure> {
    match reason {
        Reason::Refused(_, failure) | Reason::Exhausted(_, failure) | Reason::Unknown(_, failure) => Some(failure),
        Reason::Cancelled | Reason::Deadline => None,
    }
}

fn why_failure(why: &Why) -> Option<&Failure> {
    match why {
        Why::Exhausted(failure) | Why::Refused(failure) | Why::Unknown(failure) | Why::PivotInDoubt(failure) => Some(failure),
        Why::Denied(_) | Why::HostDied | Why::JournalFull => None,
    }
}

struct Body<'a> {
    name: &'static str,
    version: u8,
    bytes: &'a [u8],
}

impl Body<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let Self { name, version, bytes } = self;
        if *version != BODY_VERSION {
            return Err(format!("{name} of format {version} is unknown to this build; run the version that wrote it"));
        }
        match postcard::take_from_bytes(bytes) {
            Ok((fields, [])) => Ok(fields),
            Ok((_, rest)) => Err(format!("{name} is too long by {}", rest.len())),
            Err(error) => Err(format!("{name} cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_types_share_a_code_or_a_name() {
        let all = || CODES.iter();
        assert_eq!(all().map(|(code, _)| code).collect::<BTreeSet<_>>().len(), all().count());
        assert_eq!(all().map(|(_, name)| name).collect::<BTreeSet<_>>().len(), all().count());
    }
}
