//! What comes of a call: decisions become facts, claims and answers, in one commit.

use std::collections::{HashMap, VecDeque};

use amends_core::{
    aggregate::{AggregateEvent, Claim, Command},
    value::{Failure, Payload},
};

use super::{
    AggregateKey, Aggregates, answer, refuse,
    request::{Answered, CommandAnswer, RecordedEvent},
    resident::{Call, Resident, Waiting},
    rows::{self, Base, First, Kept},
};
use crate::{
    engine::{
        guests::{CallFault, Decided, Decision, GuestReport, NewEvent},
        kernel::{
            answers,
            commit::{Chain, Commit, Entry, Stream},
            reads::{Reads, Unready},
        },
        module::Modules,
        refusal::{Refusal, RefusalCode},
    },
    journal::{Actor, Fact, StreamHead},
};

/// Who holds the keys that are to be taken.
pub(crate) type Holders = HashMap<String, String>;

/// What is done with one decision of a guest.
enum Outcome {
    /// It stands, as the guest decided it.
    Stands,
    /// It does not, and neither does what the guest decided after it.
    Falls,
}

/// Who holds what is to be claimed by these decisions.
pub(crate) fn holders(reads: &mut Reads<'_>, key: &AggregateKey, report: &GuestReport) -> Result<Holders, Unready> {
    let GuestReport::Decided(Ok(Decided { decisions, .. })) = report else { return Ok(Holders::new()) };
    let claims = decisions.iter().flat_map(|decision| match decision {
        Decision::Accepted { claims, .. } => claims.as_slice(),
        Decision::Refused(_) => &[],
    });
    // All of them are asked for before one that is missing ends this.
    let found: Vec<_> = claims.filter(|claim| claim.held).map(|claim| (claim, rows::holder(reads, key, &claim.key))).collect();
    let known = found.into_iter().filter_map(|(claim, holder)| match holder {
        Ok(holder) => holder.map(|holder| Ok((claim.key.clone(), holder))),
        Err(unready) => Some(Err(unready)),
    });
    known.collect()
}

impl Aggregates {
    /// A call has ended.
    pub(crate) fn reported(
        &mut self,
        commit: &mut Commit<'_>,
        modules: &Modules,
        key: &AggregateKey,
        report: GuestReport,
        holders: &Holders,
    ) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        let Some(call) = resident.call.take() else { return };
        self.calls -= 1;
        match report {
            GuestReport::Decided(Ok(decided)) => record_all(commit, resident, key, call, decided, holders),
            GuestReport::Decided(Err(fault)) => failed(commit, resident, key, call, &fault),
            GuestReport::Folded(Ok(state)) => folded(resident, &call, state),
            GuestReport::Folded(Err(fault)) => cannot_fold(commit, resident, key, &call, fault),
            GuestReport::Step(_) => {}
        }
        self.go_on(commit, modules, key);
    }
}

/// Records what was decided, command by command, up to the first decision that does not stand: those after it rest on it, and are
/// decided again.
fn record_all(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    mut call: Call,
    decided: Decided,
    holders: &Holders,
) {
    for decision in decided.decisions {
        let Some(waiting) = call.commands.pop_front() else { break };
        if let Outcome::Falls = record(commit, resident, key, &call, waiting, decision, holders) {
            back_in_line(resident, call.commands);
            return;
        }
    }
    let state_version = call.definition.state_version;
    resident.folded(Base { digest: call.digest, state_version, revision: resident.standing.revision, state: decided.state });
    keep(commit, resident, key, call.definition.keep_every);
}

/// Keeps the state, if enough events have come since the last time.
fn keep(commit: &mut Commit<'_>, resident: &mut Resident, key: &AggregateKey, every: u32) {
    let is_due = every > 0 && resident.standing.revision >= resident.kept_at + u64::from(every);
    if let Some(base) = resident.base.as_ref().filter(|_| is_due) {
        let (base, standing) = (base.clone(), resident.standing.clone());
        resident.kept_at = base.revision;
        rows::keep(commit, key, &Kept { base, standing, start: resident.start, last: resident.last });
    }
}

/// Commands whose decisions do not count are first in line again.
fn back_in_line(resident: &mut Resident, commands: VecDeque<Waiting>) {
    for waiting in commands.into_iter().rev() {
        resident.line.push_front(waiting);
    }
}

/// Records one decision and answers it.
fn record(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    call: &Call,
    waiting: Waiting,
    decision: Decision,
    holders: &Holders,
) -> Outcome {
    match decision {
        Decision::Refused(failure) => {
            refused(commit, resident, key, call, waiting, failure);
            Outcome::Stands
        }
        Decision::Accepted { events, claims, answer } => {
            if let Some(event) = events.iter().find(|event| !call.definition.records(&event.event_type, event.version)) {
                let NewEvent { event_type, version, .. } = event;
                let why = format!("it records an event `{event_type}` of version {version}, which its definition does not have");
                refuse(commit, resident.last, waiting, &guest_failed(key, call, &why));
                return Outcome::Falls;
            }
            if let Some(taken) = taken(key, &claims, holders) {
                refused(commit, resident, key, call, waiting, taken);
                return Outcome::Falls;
            }
            accepted(commit, resident, key, call, waiting, events, claims, answer);
            Outcome::Stands
        }
    }
}

/// The first key that another aggregate holds. Who that is, is not for whoever asks.
fn taken(key: &AggregateKey, claims: &[Claim], holders: &Holders) -> Option<Failure> {
    let is_taken = |claim: &&Claim| claim.held && holders.get(&claim.key).is_some_and(|holder| *holder != key.id);
    let claim = claims.iter().find(is_taken)?;
    Some(Failure::new("taken", format!("another {} holds `{}`", key.name, claim.key)))
}

#[expect(clippy::too_many_arguments, reason = "what was decided, and about what")]
fn accepted(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    call: &Call,
    waiting: Waiting,
    events: Vec<NewEvent>,
    claims: Vec<Claim>,
    data: Option<Payload>,
) {
    let count = events.len();
    let mut command = Some(Box::new(told(&waiting, data.clone(), claims.clone())));
    let module_version = call.module_version;
    let facts = if count > 0 {
        let revisions = resident.standing.revision + 1..;
        let recorded = events.into_iter().zip(revisions).map(|(event, revision)| AggregateEvent::Recorded {
            revision,
            event_type: event.event_type,
            version: event.version,
            data: Some(event.data),
            tags: event.tags,
            subject: None,
            module_version,
            command: command.take(),
        });
        recorded.collect()
    } else {
        let is_recorded = waiting.answer_key.is_some() || !claims.is_empty();
        let decided = |command| AggregateEvent::Decided { command, refused: None, module_version };
        command.filter(|_| is_recorded).map(decided).into_iter().collect()
    };
    claims.iter().for_each(|claim| rows::claim(commit, key, claim));
    let events = append(commit, resident, key, call, &waiting, facts);
    let said = CommandAnswer {
        duplicate: false,
        revision: resident.standing.revision,
        version: module_version,
        position: resident.last,
        decision: Answered::Accepted { events, data },
    };
    say(commit, waiting, &said);
}

/// The refusal is recorded if the command may come again: it is to get the same answer.
fn refused(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    call: &Call,
    waiting: Waiting,
    failure: Failure,
) {
    if waiting.answer_key.is_some() {
        let command = Box::new(told(&waiting, None, Vec::new()));
        let (refused, module_version) = (Some(failure.clone()), call.module_version);
        append(commit, resident, key, call, &waiting, vec![AggregateEvent::Decided { command, refused, module_version }]);
    }
    let said = CommandAnswer {
        duplicate: false,
        revision: resident.standing.revision,
        version: call.module_version,
        position: resident.last,
        decision: Answered::Refused(failure),
    };
    say(commit, waiting, &said);
}

/// Remembers the answer to a command that may come again, and gives it to who waits.
fn say(commit: &mut Commit<'_>, mut waiting: Waiting, said: &CommandAnswer) {
    if let Some(answer_key) = waiting.answer_key.take() {
        let (events, data, refused) = match &said.decision {
            Answered::Accepted { events, data } => (events.len(), data.clone(), None),
            Answered::Refused(failure) => (0, None, Some(failure.clone())),
        };
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let first = First { revision: said.revision, version: said.version, position: said.position, events, data, refused };
        answers::keep(commit, answer_key, waiting.fingerprint, &first, None, said.position);
    }
    answer(commit, waiting, said);
}

fn told(waiting: &Waiting, answer: Option<Payload>, claims: Vec<Claim>) -> Command {
    let command = &waiting.command;
    Command { id: command.command.clone(), name: command.name.clone(), data: command.data.clone(), answer, claims }
}

/// Appends facts to the stream, and gives those that are events.
fn append(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    call: &Call,
    waiting: &Waiting,
    facts: Vec<AggregateEvent>,
) -> Vec<RecordedEvent> {
    let chain = Chain { correlation: Some(waiting.command.command.clone()), depth: 0 };
    append_as(commit, resident, key, call, &waiting.origin.actor, &chain, facts)
}

fn append_as(
    commit: &mut Commit<'_>,
    resident: &mut Resident,
    key: &AggregateKey,
    call: &Call,
    actor: &Actor,
    chain: &Chain,
    facts: Vec<AggregateEvent>,
) -> Vec<RecordedEvent> {
    let name = key.stream();
    let mut stream = match resident.standing.facts {
        0 => Stream::begins(StreamHead::new(name.clone(), name.id)),
        facts => Stream::goes_on(name, resident.start, facts),
    };
    let mut events = Vec::new();
    for fact in facts {
        let entry = Entry { at: call.at, actor: actor.clone(), causation: None, fact: Fact::Aggregate(fact.clone()) };
        let position = commit.record_in(chain.clone(), &mut stream, entry).position;
        resident.start = stream.start;
        resident.apply(&fact, position, call.at);
        events.extend(RecordedEvent::of_fact(&fact, position, call.at));
    }
    events
}

/// A call with commands came to nothing.
fn failed(commit: &mut Commit<'_>, resident: &mut Resident, key: &AggregateKey, mut call: Call, fault: &CallFault) {
    if fault.is_hosts {
        let refusal = host_failed(key, fault);
        call.commands.drain(..).for_each(|waiting| refuse(commit, resident.last, waiting, &refusal));
    } else if call.commands.len() > 1 {
        // One of them may be a bomb: it is to cost nobody but itself.
        resident.alone = call.commands.len();
        back_in_line(resident, call.commands);
    } else if call.folds > 0 {
        // It may be the command, and it may be an event that was recorded long ago.
        resident.folds_first = true;
        resident.alone += 1;
        back_in_line(resident, call.commands);
    } else if let Some(waiting) = call.commands.pop_front() {
        let Failure { code, message, .. } = &fault.failure;
        refuse(commit, resident.last, waiting, &guest_failed(key, &call, &format!("{message} ({code})")));
    }
}

fn guest_failed(key: &AggregateKey, call: &Call, why: &str) -> Refusal {
    let Call { module, module_version, .. } = call;
    Refusal::new(RefusalCode::GuestFailed, format!("`{module}` v{module_version} failed on a command of {key}: {why}"))
        .hint("nothing was recorded; mend the module, or send another command")
}

fn host_failed(key: &AggregateKey, fault: &CallFault) -> Refusal {
    let said = format!("the host could not ask the module about {key}: {}", fault.failure.message);
    Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same key")
}

/// The events that a call folded are in the state now.
fn folded(resident: &mut Resident, call: &Call, state: Payload) {
    if let Some(last) = call.folds.checked_sub(1).and_then(|last| resident.tail.get(last)) {
        let (digest, state_version, revision) = (call.digest, call.definition.state_version, last.revision);
        resident.folded(Base { digest, state_version, revision, state });
    }
    resident.folds_first &= !resident.tail.is_empty();
}

/// The events that were recorded cannot be folded: commands are refused until other code is active, and nothing else is harmed.
fn cannot_fold(commit: &mut Commit<'_>, resident: &mut Resident, key: &AggregateKey, call: &Call, fault: CallFault) {
    if fault.is_hosts {
        let (refusal, at) = (host_failed(key, &fault), resident.last);
        resident.line.drain(..).for_each(|waiting| refuse(commit, at, waiting, &refusal));
        return;
    }
    resident.folds_first = false;
    let Call { module_version, digest, .. } = *call;
    tracing::error!(aggregate = %key, module = call.module, version = module_version, why = fault.failure.message, "its events cannot be folded: it is quarantined");
    let fact = AggregateEvent::Quarantined { module_version, digest, failure: fault.failure };
    append_as(commit, resident, key, call, &Actor::Host, &Chain::default(), vec![fact]);
}
