//! What is recorded reaches everybody in the shard that it is for.
//!
//! A command of a step is decided as one from outside is, under an id that stays the same; its answer is recorded with the saga, and only
//! then the message is done. So a kill in between sends the command again, and it gets its first answer.

use amends_core::{
    aggregate::Sender,
    event::{Answer, Answered, AnsweredEvent, Attempt, Event, Published, Sent},
    id::SagaId,
    policy::{InstanceEvent, SagaStart},
    value::Failure,
};
use sha2::{Digest, Sha256};

use super::{Shard, Undecided, Work, commands::OUTPUT_BYTES_MAX};
use crate::{
    engine::{
        aggregate::{AggregateKey, Asked, Asker, Insider},
        event::{
            self, Heard,
            heard::{self, Left},
            request::{Cause, Publish, Seed},
        },
        kernel::{
            answers::Life,
            reads::{Reads, Unready},
            request::Origin,
        },
        messages::{Line, Message},
        port::{Answered as Decision, CommandAnswer, RecordedEvent, RefusalCode, SendCommand},
        refusal::Refusal,
        saga::{self, SagaKey, request::Start},
    },
    journal::{Actor, Fact, Record, StreamId, StreamKind, record},
};

impl Shard {
    /// The next message that can be passed on. A host that stops leaves them to the next one.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        if self.kernel.stopping { None } else { self.messages.next() }
    }

    /// One turn of a message.
    pub(super) fn pass_on(&mut self, message: Message) -> Result<(), Undecided> {
        let reads = self.kernel.reads();
        let (sagas, modules) = (&mut self.sagas, &mut self.modules);
        let left = match &message.line {
            Line::EventsOf(_) => heard::tell(reads, sagas, modules, &message).map(|(left, told)| {
                self.messages.spend(told);
                left
            }),
            Line::StartsBy(_) => heard::start(reads, sagas, modules, &message),
            Line::CommandsTo(_) => self.send(&message),
            Line::Events(..) => self.publish(&message),
            Line::StartsOf(_) => self.start_saga(&message),
        };
        match left {
            Ok(left) => self.passed_on(&message.line, left),
            Err(why) => return Err(Undecided::new(why, Work::Message(message))),
        }
        Ok(())
    }

    pub(super) fn passed_on(&mut self, line: &Line, left: Left) {
        match left {
            Left::Nothing => self.messages.done(line),
            Left::Answer => {}
            Left::Turn(message) if message.line == *line => self.messages.goes_on(message),
            Left::Turn(message) => {
                self.messages.push(message);
                self.messages.done(line);
            }
            Left::All(message, refusal) => {
                cannot_be_taken(&message, &refusal);
                self.messages.rests(self.kernel.now, message);
            }
            Left::Line(message, refusal) => {
                cannot_be_taken(&message, &refusal);
                self.messages.line_rests(self.kernel.now, message);
            }
        }
    }

    /// A command of a step comes to its aggregate.
    fn send(&mut self, message: &Message) -> Result<Left, Unready> {
        let mut reads = self.kernel.reads();
        let (said, record) = said(&mut reads, message)?;
        let Said::Command(sender, sent) = said else { return Err(no_message(message)) };
        let (origin, command) = command(message, sender, sent, &record);
        match self.aggregates.ask(reads, &self.modules, &origin, &command)? {
            Asked::Said(said) => Ok(self.decided(Box::new(message.clone()), said.said)),
            Asked::Waits => {
                let asker = Asker::Insider(Insider::Message(Box::new(message.clone())));
                self.aggregates.put_in_line(&mut self.kernel.commit(), &self.modules, origin, Box::new(command), asker);
                Ok(Left::Answer)
            }
        }
    }

    /// The answer to a command of a step came, for which those behind it waited.
    pub(super) fn was_decided(&mut self, message: Box<Message>, said: Result<CommandAnswer, Refusal>) {
        let line = message.line.clone();
        let left = self.decided(message, said);
        self.passed_on(&line, left);
    }

    /// A command of a step has its answer, or nobody can decide it now.
    fn decided(&mut self, message: Box<Message>, said: Result<CommandAnswer, Refusal>) -> Left {
        let answer = match said {
            Ok(CommandAnswer { decision: Decision::Refused(failure), .. }) => Answer::Refused(failure),
            Ok(CommandAnswer { decision: Decision::Accepted { events, data }, revision, .. }) => {
                Answer::Accepted { revision, events: answered_events(events), data }
            }
            Err(refusal) if is_final(refusal.code) => Answer::Refused(Failure::new(refusal.code.as_str(), refusal.message)),
            Err(refusal) if self.is_the_commands(&message, refusal.code) => return Left::All(*message, refusal),
            Err(refusal) => return Left::Line(*message, refusal),
        };
        self.take(Work::Answered(message, answer));
        Left::Nothing
    }

    /// What stands against a command stands against no other one to its aggregate.
    fn is_the_commands(&self, message: &Message, code: RefusalCode) -> bool {
        let has_code =
            |to: &StreamId| AggregateKey::of(to).is_some_and(|to| self.modules.aggregate(&to.namespace, &to.name).is_some());
        match (code, &message.line) {
            (RefusalCode::GuestFailed, _) => true,
            (RefusalCode::NoHandler, Line::CommandsTo(to)) => has_code(to),
            _ => false,
        }
    }

    /// The answer to a command is recorded with the saga whose step sent it, if that goes on, or with the policy.
    pub(super) fn answered(&mut self, message: Box<Message>, answer: Answer) -> Result<(), Undecided> {
        match self.is_told(&message, &answer) {
            Ok(()) => Ok(()),
            Err(why) => Err(Undecided::new(why, Work::Answered(message, answer))),
        }
    }

    fn is_told(&mut self, message: &Message, answer: &Answer) -> Result<(), Unready> {
        let mut reads = self.kernel.reads();
        let (said, record) = said(&mut reads, message)?;
        let (attempt, sent) = match said {
            Said::Command(By::Step(attempt), sent) => (attempt, sent),
            Said::Command(By::Policy, sent) => return self.policies.answered(reads, message, (sent, &record), answer),
            Said::Event(_) | Said::Start(_) => return Err(no_message(message)),
        };
        let saga = SagaKey::of(&message.of);
        // One that has ended is not read again to be told nothing.
        let lives = match &saga {
            Some(key) if matches!(self.sagas.life(&mut reads, key)?, Life::Goes) => {
                self.sagas.ready(&mut reads, self.modules.definitions(), key)?
            }
            Some(_) | None => false,
        };
        let mut commit = reads.done()?;
        if let Some(key) = saga.filter(|_| lives) {
            let Sent { number, aggregate, to: from, .. } = sent;
            let answered = Answered { number, aggregate, from, answer: answer.clone() };
            self.sagas.answered(&mut commit, &mut self.modules, &key, attempt.leg, answered);
        }
        message.forget(&mut commit);
        Ok(())
    }

    /// An event of a step or of a policy is published.
    fn publish(&mut self, message: &Message) -> Result<Left, Unready> {
        let mut reads = self.kernel.reads();
        let (said, record) = said(&mut reads, message)?;
        let Said::Event(published) = said else { return Err(no_message(message)) };
        let origin = Origin { namespace: message.of.namespace.clone(), actor: Actor::Host, idempotency_key: None };
        let publish = publication(message, &published, &record);
        if let Err(refusal) = self.broadcasts.refuse_new() {
            return Ok(Left::All(message.clone(), refusal));
        }
        let is_behind = self.broadcasts.has_topic(&origin.namespace, &publish.topic());
        let heard = event::publish(reads, &mut self.sagas, &mut self.modules, &origin, &publish, is_behind)?;
        let commit = &mut self.kernel.commit();
        match heard {
            Heard::Begins(delivery) => drop(self.broadcasts.deliver(commit, &origin.namespace, *delivery)),
            Heard::Said(said) => match said.said {
                Err(refusal) if refusal.code == RefusalCode::NameTaken => {
                    let (of, event_type, why) = (&message.of.id, &publish.event_type, &refusal.message);
                    commit.metrics.dead_letter();
                    tracing::error!(of, event_type, why, "an event of a step or of a policy is not published");
                }
                Err(refusal) => return Ok(Left::All(message.clone(), refusal)),
                Ok(_) => {}
            },
            Heard::UnderWay(_) => {}
        }
        message.forget(commit);
        Ok(Left::Nothing)
    }

    /// A policy starts a saga.
    fn start_saga(&mut self, message: &Message) -> Result<Left, Unready> {
        let mut reads = self.kernel.reads();
        let (said, record) = said(&mut reads, message)?;
        let Said::Start(start) = said else { return Err(no_message(message)) };
        let start = start_of(message, start)?;
        let key = SagaKey::new(&message.of.namespace, &start.id);
        self.sagas.ready(&mut reads, self.modules.definitions(), &key)?;
        let cause = saga::Cause {
            actor: Actor::Host,
            record: Some(record.id),
            root: Some(message.correlation()),
            depth: record.depth + 1,
        };
        let mut commit = reads.done()?;
        let begun = self.sagas.begin_or_find(&mut commit, &mut self.modules, &key, &start, cause);
        match begun {
            Ok(_) => {
                self.sagas.flush(&mut commit, &key);
                if let Some(position) = self.sagas.started_at(&key) {
                    commit.caused(&key.namespace, &started_by(message, &record), position);
                }
            }
            Err(refusal) if may_pass(refusal.code) => {
                self.sagas.park(&commit, &key);
                return Ok(Left::All(message.clone(), refusal));
            }
            Err(refusal) => {
                let (of, saga, code, why) = (&message.of.id, &start.definition, refusal.code.as_str(), &refusal.message);
                commit.metrics.dead_letter();
                tracing::error!(of, saga, code, why, "a policy was to start a saga, and something stands against it for good");
            }
        }
        self.sagas.park(&commit, &key);
        message.forget(&mut commit);
        Ok(Left::Nothing)
    }
}

/// What stands against a start may be gone when it is tried again.
fn may_pass(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::Stopping
            | RefusalCode::Overloaded
            | RefusalCode::Quarantined
            | RefusalCode::DefinitionNotFound
            | RefusalCode::Locked
            | RefusalCode::LowSpace
    )
}

/// No later try would end in another way.
fn is_final(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::NoSuchAggregate
            | RefusalCode::Exists
            | RefusalCode::InputDoesNotFit
            | RefusalCode::RevisionChanged
            | RefusalCode::KeyReused
    )
}

fn cannot_be_taken(message: &Message, refusal: &Refusal) {
    let Message { position, tries, of, .. } = message;
    let (of, code, why) = (&of.id, refusal.code.as_str(), &refusal.message);
    // The first tries may meet what is over in a moment; and who reads the log knows after some lines.
    match *tries >= 5 && tries.is_power_of_two() || *tries == 5 {
        true => tracing::warn!(position, of, tries, code, why, "what is recorded there cannot be taken: it is tried again"),
        false => tracing::debug!(position, of, tries, code, why, "what is recorded there cannot be taken now: it is tried again"),
    }
}

/// What a message says.
enum Said {
    Command(By, Sent),
    Event(Published),
    Start(SagaStart),
}

/// Who sends.
enum By {
    Step(Attempt),
    Policy,
}

/// What a message says, and its record.
fn said(reads: &mut Reads<'_>, message: &Message) -> Result<(Said, Record), Unready> {
    let stored = reads.record(message.position)?;
    let record = stored.map(|stored| record::decode_stored(&stored)).transpose()?;
    let record = record.ok_or_else(|| no_message(message))?;
    let said = match &record.fact {
        Fact::Saga(Event::Sent(attempt, sent)) => Said::Command(By::Step(attempt.clone()), (**sent).clone()),
        Fact::Saga(Event::Published(_, published)) => Said::Event((**published).clone()),
        Fact::Instance(InstanceEvent::Sent(sent)) => Said::Command(By::Policy, (**sent).clone()),
        Fact::Instance(InstanceEvent::Published(published)) => Said::Event((**published).clone()),
        Fact::Instance(InstanceEvent::Started(start)) => Said::Start((**start).clone()),
        _ => return Err(no_message(message)),
    };
    Ok((said, record))
}

fn no_message(message: &Message) -> Unready {
    Unready::Corrupt(format!("the record at {} is no message", message.position))
}

fn command(message: &Message, by: By, sent: Sent, record: &Record) -> (Origin, SendCommand) {
    let Sent { number, aggregate, to, name, data, expect_revision } = sent;
    let id = message.numbered(number);
    let of = &message.of.id;
    let (sender, cause) = match by {
        By::Step(attempt) => (Sender::Saga { id: of.clone(), leg: attempt.leg }, None),
        By::Policy => {
            let (name, key) = of.split_once('/').unwrap_or((of, ""));
            (Sender::Policy { name: name.to_owned(), key: key.to_owned() }, Some(record.id))
        }
    };
    let command = SendCommand {
        aggregate,
        id: to,
        name,
        data_hash: Sha256::digest(&data.bytes).into(),
        data,
        command: id.clone(),
        expect_revision,
        trace_context: None,
        sender: Some(sender),
        correlation: Some(message.correlation()),
        depth: record.depth + 1,
        cause,
    };
    let origin = Origin { namespace: message.of.namespace.clone(), actor: Actor::Host, idempotency_key: Some(id) };
    (origin, command)
}

/// The saga that a policy starts. Its id, if it has none, and its own key are made of the message, so that it is the same however often.
fn start_of(message: &Message, start: SagaStart) -> Result<Start, Unready> {
    let SagaStart { number, saga, id, input } = start;
    let made = message.numbered(number);
    let id = SagaId::new(id.as_deref().unwrap_or(&made)).map_err(|bad| Unready::Corrupt(bad.to_string()))?;
    let (input_hash, incarnation) = (Sha256::digest(&input.bytes).into(), hashed(&format!("saga {made}")));
    Ok(Start { definition: saga, id, input, input_hash, incarnation, trace_context: None, wait: false })
}

/// What led to a start, as a trace looks for it: what the message is.
fn started_by(message: &Message, record: &Record) -> String {
    match &record.fact {
        Fact::Instance(InstanceEvent::Started(start)) => message.numbered(start.number),
        _ => message.of.id.clone(),
    }
}

fn hashed(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    bytes
}

/// Its own key is made of the message, so that what it starts is the same however often it is published.
fn publication(message: &Message, published: &Published, record: &Record) -> Publish {
    let Published { number, topic, data } = published.clone();
    let id = message.numbered(number);
    let incarnation = hashed(&format!("event {id}"));
    // What an event leads to is found under its own id, and the event under what led to it.
    let (source, by) = match message.of.kind {
        StreamKind::Instance => {
            let policy = message.of.id.split_once('/').map_or(message.of.id.as_str(), |(policy, _)| policy);
            (format!("policy/{policy}"), id.clone())
        }
        _ => (format!("saga/{}", message.of.id), message.of.id.clone()),
    };
    let seed = Seed { input_hash: Sha256::digest(&data.bytes).into(), incarnation, trace_context: None };
    Publish {
        source,
        id,
        event_type: topic.event_type,
        key: topic.key,
        to: None,
        data: Some(data),
        seed: Some(seed),
        cause: Some(Cause { record: record.id, by, root: message.correlation(), depth: record.depth + 1 }),
        batch: None,
    }
}

/// What goes back to the step: without data, where the events are larger together than what goes from step to step.
fn answered_events(events: Vec<RecordedEvent>) -> Vec<AnsweredEvent> {
    let bytes = |event: &RecordedEvent| event.data.as_ref().map_or(0, |data| data.bytes.len());
    let is_large = events.iter().map(bytes).sum::<usize>() > OUTPUT_BYTES_MAX;
    let answered = |event: RecordedEvent| {
        let RecordedEvent { event_type, version, revision, position, at, data, .. } = event;
        AnsweredEvent { event_type, version, revision, position, at, data: data.filter(|_| !is_large) }
    };
    events.into_iter().map(answered).collect()
}
