//! What comes of a call: decisions become facts, claims and answers, in one commit.

use std::collections::{HashMap, HashSet, VecDeque};

use amends_core::{
    aggregate::{AggregateEvent, Claim, Command, Sender},
    plain::shown,
    value::{Failure, Payload},
};

use super::{
    AggregateKey, Aggregates, Shapes, answer,
    grow::Growing,
    refuse,
    request::{Answered, Asker, CommandAnswer, Told},
    resident::{Call, Made, Resident, Waiting},
    rows::{self, Base, First},
};
use crate::{
    engine::{
        guests::{CallFault, Decided, Decision, GuestReport, NewEvent},
        kernel::{
            answers,
            commit::{Chain, Commit},
            reads::{Reads, Unready},
        },
        messages::{Line, Message},
        module::Modules,
        recorded::RecordedEvent,
        refusal::{Refusal, RefusalCode},
    },
    journal::{Actor, StreamId, StreamKind},
    store::Position,
};

/// Who holds the keys that are to be taken.
pub(crate) type Holders = HashMap<String, String>;

/// What decisions meet beside their aggregate.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) holders: Holders,
    /// The types of events that somebody hears.
    pub(crate) heard: HashSet<String>,
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
        met: &Met,
    ) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        let Some(Call { commands, made }) = resident.call.take() else { return };
        self.calls -= 1;
        // What only sagas of this shard wait for is durable with what they record next.
        let is_awaited = commands.iter().flat_map(|waiting| &waiting.askers).any(|asker| matches!(asker, Asker::Client(_)));
        let (told, heard, shapes) = (&mut self.told, &mut self.heard, &mut self.shapes);
        // What code decided that is not active any more may be what the active one cannot read. It reached nothing: it is decided again.
        let is_active = modules.aggregate(&key.namespace, &key.name).is_some_and(|active| active.digest == made.digest);
        let ended = |commit: &mut Commit<'_>| {
            let mut ended = Ended { commit, told, heard, met, resident, shapes, key, made };
            match (is_active, &report) {
                (false, GuestReport::Decided(_)) => ended.back_in_line(commands),
                _ => ended.by(commands, report),
            }
        };
        match is_awaited {
            true => ended(commit),
            false => commit.lazily(ended),
        }
        self.go_on(commit, modules, key);
    }
}

/// A call that has ended, and what changes by it.
struct Ended<'a, 'k> {
    commit: &'a mut Commit<'k>,
    told: &'a mut VecDeque<Told>,
    heard: &'a mut VecDeque<Message>,
    met: &'a Met,
    resident: &'a mut Resident,
    shapes: &'a mut Shapes,
    key: &'a AggregateKey,
    made: Made,
}

/// What is done with one decision of a guest.
enum Outcome {
    /// It stands, as the guest decided it.
    Stands,
    /// It does not, and neither does what the guest decided after it.
    Falls,
}

impl<'k> Ended<'_, 'k> {
    fn by(&mut self, commands: VecDeque<Waiting>, report: GuestReport) {
        match report {
            GuestReport::Decided(Ok(decided)) => self.record_all(commands, decided),
            GuestReport::Decided(Err(fault)) => self.failed(commands, &fault),
            GuestReport::Folded(Ok(state)) => self.folded(state),
            GuestReport::Folded(Err(fault)) => self.cannot_fold(fault),
            // The report of a step goes to a saga, and that of a view to nobody here.
            GuestReport::Step(_) | GuestReport::Projected(_) | GuestReport::Queried(_) | GuestReport::Handled(_) => {
                self.back_in_line(commands);
            }
        }
    }

    /// Records what was decided, command by command, up to the first decision that does not stand: those after it rest on it, and are
    /// decided again.
    fn record_all(&mut self, mut commands: VecDeque<Waiting>, decided: Decided) {
        for decision in decided.decisions {
            let Some(waiting) = commands.pop_front() else { break };
            if let Outcome::Falls = self.record(waiting, decision) {
                return self.back_in_line(commands);
            }
        }
        let Made { digest, ref definition, .. } = self.made;
        let (state_version, every) = (definition.state_version, definition.keep_every);
        let revision = self.resident.standing.revision;
        self.resident.folded(Base { digest, state_version, revision, state: decided.state });
        self.growing().keep(every);
    }

    /// Commands whose decisions do not count are first in line again.
    fn back_in_line(&mut self, commands: VecDeque<Waiting>) {
        for waiting in commands.into_iter().rev() {
            self.resident.line.push_front(waiting);
        }
    }

    /// Records one decision and answers it.
    fn record(&mut self, waiting: Waiting, decision: Decision) -> Outcome {
        let (events, claims, answer) = match decision {
            Decision::Refused(failure) => {
                self.refused(waiting, failure);
                return Outcome::Stands;
            }
            Decision::Accepted { events, claims, answer } => (events, claims, answer),
        };
        if let Some(event) = events.iter().find(|event| !self.made.definition.records(&event.event_type, event.version)) {
            let NewEvent { event_type, version, .. } = event;
            let event_type = shown(event_type).escape_debug();
            let why = format!("it records an event `{event_type}` of version {version}, which its definition does not have");
            self.refuse(waiting, &self.guest_failed(&why));
            return Outcome::Falls;
        }
        if let Some(taken) = taken(self.key, &claims, &self.met.holders) {
            // Whoever holds the key may not be durable yet: the answer waits for all that is decided.
            let at = self.commit.last_position();
            self.refused_at(waiting, taken, at);
            return Outcome::Falls;
        }
        self.accepted(waiting, events, claims, answer);
        Outcome::Stands
    }

    fn accepted(&mut self, waiting: Waiting, events: Vec<NewEvent>, claims: Vec<Claim>, data: Option<Payload>) {
        let command = Box::new(fact_of(&waiting, data.clone(), claims.clone()));
        let module_version = self.made.version;
        let is_recorded = waiting.answer_key.is_some() || !claims.is_empty();
        let facts = match (events.is_empty(), is_recorded) {
            (false, _) => self.recorded(command, events),
            (true, true) => vec![AggregateEvent::Decided { command, refused: None, module_version }],
            (true, false) => Vec::new(),
        };
        self.claim_all(&claims);
        let events = self.append(&waiting.origin.actor, &chain_of(&waiting), facts);
        self.say(waiting, Answered::Accepted { events, data }, 0);
    }

    /// Writes who holds what, before the decision is recorded. What an aggregate gives back and does not hold may be another one's.
    fn claim_all(&mut self, claims: &[Claim]) {
        for (index, claim) in claims.iter().enumerate() {
            let taken_now = claims[..index].iter().any(|before| before.held && before.key == claim.key);
            if claim.held || taken_now || self.resident.standing.claims.contains(&claim.key) {
                rows::claim(self.commit, self.key, claim);
            }
        }
    }

    /// The facts of these events; the first one says by which command.
    fn recorded(&self, command: Box<Command>, events: Vec<NewEvent>) -> Vec<AggregateEvent> {
        let mut command = Some(command);
        let fact = |(event, revision): (NewEvent, u64)| AggregateEvent::Recorded {
            revision,
            event_type: event.event_type,
            version: event.version,
            data: Some(event.data),
            tags: event.tags,
            subject: None,
            module_version: self.made.version,
            command: command.take(),
        };
        events.into_iter().zip(self.resident.standing.revision + 1..).map(fact).collect()
    }

    /// The refusal is recorded if the command may come again: it is to get the same answer. Not to a saga, which records what it is
    /// told: it asks again only where a refusal is not to be the last word, as in a compensation.
    fn refused(&mut self, waiting: Waiting, failure: Failure) {
        self.refused_at(waiting, failure, 0);
    }

    /// The same, on the strength of what is recorded up to a position.
    fn refused_at(&mut self, mut waiting: Waiting, failure: Failure, at: Position) {
        waiting.answer_key = waiting.answer_key.filter(|_| waiting.command.sender.is_none());
        if waiting.answer_key.is_some() {
            let command = Box::new(fact_of(&waiting, None, Vec::new()));
            let (refused, module_version) = (Some(failure.clone()), self.made.version);
            let fact = AggregateEvent::Decided { command, refused, module_version };
            self.append(&waiting.origin.actor, &chain_of(&waiting), vec![fact]);
        }
        self.say(waiting, Answered::Refused(failure), at);
    }

    /// Gives the answer to who waits, and remembers it if the command may come again.
    fn say(&mut self, mut waiting: Waiting, decision: Answered, rests_on: Position) {
        let (revision, version) = (self.resident.standing.revision, self.made.version);
        let position = self.resident.last.max(rests_on);
        let decided = if let Answered::Accepted { .. } = &decision { "accepted" } else { "refused" };
        self.commit.metrics.decided(&self.key.name, decided);
        if let Some(answer_key) = waiting.answer_key.take() {
            let (events, data, refused) = match &decision {
                Answered::Accepted { events, data } => (events.len(), data.clone(), None),
                Answered::Refused(failure) => (0, None, Some(failure.clone())),
            };
            let events = u32::try_from(events).unwrap_or(u32::MAX);
            let first = First { revision, version, position, events, data, refused };
            let about = sender_of(self.key, &waiting);
            answers::keep(self.commit, answer_key, waiting.fingerprint, &first, about, position);
        }
        answer(self.commit, self.told, waiting, &CommandAnswer { duplicate: false, revision, version, position, decision });
    }

    /// Appends facts to the stream, and gives those that are events.
    fn append(&mut self, actor: &Actor, chain: &Chain, facts: Vec<AggregateEvent>) -> Vec<RecordedEvent> {
        let at = self.made.at;
        let mut growing = self.growing();
        let recorded = facts.into_iter().filter_map(|fact| growing.record(at, actor, chain, fact)).collect::<Vec<_>>();
        growing.grown(recorded.len() as u64);
        for event in recorded.iter().filter(|event| self.met.heard.contains(&event.event_type)) {
            let of = self.key.stream();
            let message = Message::new(Line::EventsOf(of.clone()), of, event.position);
            message.keep(self.commit);
            self.heard.push_back(message);
        }
        recorded
    }

    fn growing(&mut self) -> Growing<'_, 'k> {
        Growing { commit: self.commit, resident: self.resident, shapes: self.shapes, key: self.key }
    }

    /// A call with commands came to nothing.
    fn failed(&mut self, mut commands: VecDeque<Waiting>, fault: &CallFault) {
        if fault.is_hosts {
            let refusal = host_failed(self.key, fault);
            commands.into_iter().for_each(|waiting| self.refuse(waiting, &refusal));
        } else if commands.len() > 1 {
            // One of them may be a bomb: it is to cost nobody but itself.
            self.resident.alone = commands.len();
            self.back_in_line(commands);
        } else if self.made.folds > 0 {
            // It may be the command, and it may be an event that was recorded long ago.
            self.resident.folds_first = true;
            self.resident.alone += 1;
            self.back_in_line(commands);
        } else if let Some(waiting) = commands.pop_front() {
            let Failure { code, message, .. } = &fault.failure;
            self.commit.metrics.decided(&self.key.name, "failed");
            self.refuse(waiting, &self.guest_failed(&format!("{message} ({code})")));
        }
    }

    fn refuse(&mut self, waiting: Waiting, refusal: &Refusal) {
        refuse(self.commit, self.told, self.resident.last, waiting, refusal);
    }

    fn guest_failed(&self, why: &str) -> Refusal {
        let Made { module, version, .. } = &self.made;
        Refusal::new(RefusalCode::GuestFailed, format!("`{module}` v{version} failed on a command of {}: {why}", self.key))
            .hint("nothing was recorded; mend the module, or send another command")
    }

    /// The events that a call folded are in the state now.
    fn folded(&mut self, state: Payload) {
        if let Some(last) = self.made.folds.checked_sub(1).and_then(|last| self.resident.tail.get(last)) {
            let (digest, state_version, revision) = (self.made.digest, self.made.definition.state_version, last.revision);
            self.resident.folded(Base { digest, state_version, revision, state });
        }
        self.resident.folds_first &= !self.resident.tail.is_empty();
    }

    /// The events that were recorded cannot be folded: commands are refused until other code is active, and nothing else is harmed.
    fn cannot_fold(&mut self, fault: CallFault) {
        if fault.is_hosts {
            let refusal = host_failed(self.key, &fault);
            let line = std::mem::take(&mut self.resident.line);
            return line.into_iter().for_each(|waiting| self.refuse(waiting, &refusal));
        }
        self.resident.folds_first = false;
        let is_of_the_code = ["trap", "denied"].contains(&fault.failure.code.as_str());
        if !is_of_the_code {
            // It took too much, by the limits of today.
            let Failure { code, message, .. } = &fault.failure;
            let refusal = self.guest_failed(&format!("its events cannot be folded: {message} ({code})"));
            let line = std::mem::take(&mut self.resident.line);
            return line.into_iter().for_each(|waiting| self.refuse(waiting, &refusal));
        }
        let Made { module, version, digest, .. } = &self.made;
        let (module_version, digest, why) = (*version, *digest, &fault.failure.message);
        tracing::error!(aggregate = %self.key, module, version, why, "its events cannot be folded: it is quarantined");
        let fact = AggregateEvent::Quarantined { module_version, digest, failure: fault.failure };
        self.append(&Actor::Host, &Chain::default(), vec![fact]);
    }
}

/// The first key that another aggregate holds. Who that is, is not for whoever asks.
fn taken(key: &AggregateKey, claims: &[Claim], holders: &Holders) -> Option<Failure> {
    let is_taken = |claim: &&Claim| claim.held && holders.get(&claim.key).is_some_and(|holder| *holder != key.id);
    let claim = claims.iter().find(is_taken)?;
    Some(Failure::new("taken", format!("another {} holds `{}`", key.name, claim.key)))
}

fn fact_of(waiting: &Waiting, answer: Option<Payload>, claims: Vec<Claim>) -> Command {
    let command = &waiting.command;
    Command {
        id: command.command.clone(),
        name: command.name.clone(),
        data: command.data.clone(),
        answer,
        claims,
        sender: command.sender.clone(),
    }
}

/// The saga that sent a command: as long as it lives, the command may come again.
fn sender_of(key: &AggregateKey, waiting: &Waiting) -> Option<StreamId> {
    let (kind, id) = match waiting.command.sender.as_ref()? {
        Sender::Saga { id, .. } => (StreamKind::Saga, id.clone()),
        // A message of a policy comes again as long as its row is there, which is no longer than the host takes to pass it on.
        Sender::Policy { .. } => return None,
    };
    Some(StreamId { namespace: key.namespace.clone(), kind, id })
}

/// What a request asks for is the first of its chain; what a saga sends comes after the saga.
fn chain_of(waiting: &Waiting) -> Chain {
    let command = &waiting.command;
    let correlation = command.correlation.as_ref().unwrap_or(&command.command).clone();
    Chain { correlation: Some(correlation), depth: command.depth, cause: command.cause }
}

fn host_failed(key: &AggregateKey, fault: &CallFault) -> Refusal {
    let said = format!("the host could not ask the module about {key}: {}", fault.failure.message);
    Refusal::new(RefusalCode::Overloaded, said).hint("try again soon, with the same key")
}
