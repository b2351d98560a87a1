//! A saga as its part of a tree: its legs with what they sent, and what was done with it.

use std::collections::HashMap;

use amends_core::{
    Failure,
    aggregate::Sender,
    event::{Answer, Attempt, Cancel, Event, Reason, Resolution, Why},
    id::{Direction, Leg, StepPath},
};

use super::{Node, NodeKind, PAGE, grow::Grower, record_at};
use crate::{
    engine::kernel::reads,
    journal::{Fact, Record, record},
    store::{Position, StoreError, StreamRead},
};

/// Bytes of records that are in memory at a time, or one record.
const PAGE_BYTES: usize = 1 << 20;

/// The saga that starts at a position.
pub(super) fn node(grower: &mut Grower<'_>, start: Position) -> Result<Option<Node>, StoreError> {
    let Some(first) = record_at(grower.store, start)? else { return Ok(None) };
    let (Fact::Saga(Event::Started(started)), Some(head)) = (&first.fact, &first.head) else { return Ok(None) };
    let mut saga = Node::new(NodeKind::Saga, started.definition.clone(), &first);
    saga.id = Some(head.stream.id.clone());
    let code = (Some(started.module.clone()), started.version);
    saga.code = Some(code.clone());
    let mut telling = Telling { grower, saga, code, legs: HashMap::new(), sent: Vec::new() };
    telling.records(start)?;
    telling.commands(&head.stream.id)?;
    let mut saga = telling.saga;
    saga.children.sort_by_key(|child| child.position);
    saga.children.iter_mut().for_each(|leg| leg.children.sort_by_key(|child| child.position));
    Ok(Some(saga))
}

struct Telling<'t, 'g> {
    grower: &'t mut Grower<'g>,
    saga: Node,
    /// What it runs on.
    code: (Option<String>, u32),
    /// Where each leg is among the children.
    legs: HashMap<Leg, usize>,
    /// Commands that were sent and of which no decision was found: by whom, the number there, and the node.
    sent: Vec<(Leg, u32, Node)>,
}

impl Telling<'_, '_> {
    fn records(&mut self, start: Position) -> Result<(), StoreError> {
        let mut from = 2;
        loop {
            let read = |bytes_max: usize, limit: usize| StreamRead { stream: start, from_version: from, limit, bytes_max };
            let mut page = reads::page(self.grower.store, read(PAGE_BYTES, PAGE))?;
            if page.is_empty() {
                page = reads::page(self.grower.store, read(usize::MAX, 1))?;
            }
            if page.is_empty() || !self.grower.reads(page.len()) {
                return Ok(());
            }
            from += page.len() as u64;
            for stored in &page {
                let record = record::decode_stored(stored)?;
                if let Fact::Saga(event) = &record.fact {
                    self.told(&record, event);
                }
            }
        }
    }

    fn told(&mut self, record: &Record, event: &Event) {
        match event {
            Event::Intent(intent) => {
                let number = intent.attempt.number;
                self.leg(record, &intent.attempt.leg, |leg| {
                    leg.attempts = number;
                    leg.stands("running", None);
                });
            }
            Event::Done(attempt, _) => self.ended(record, attempt, "done", None),
            Event::Undone(attempt) => self.ended(record, attempt, "undone", None),
            Event::NotDone(attempt) => self.ended(record, attempt, "not_done", None),
            Event::Refused(attempt, failure) => self.ended(record, attempt, "refused", Some(failure)),
            Event::Transient(attempt, failure, _) => self.ended(record, attempt, "transient", Some(failure)),
            Event::Unknown(attempt, failure, _) => self.ended(record, attempt, "unknown", Some(failure)),
            Event::Wait(attempt, _) => self.leg(record, &attempt.leg, |leg| leg.stands("waiting", None)),
            Event::Arrived(leg, arrival) => {
                let mut node =
                    Node::new(NodeKind::Arrived, format!("{}/{}", arrival.topic.event_type, arrival.topic.key), record);
                node.id = Some(event_id(&arrival.source, &arrival.id));
                let node = Some(node).filter(|_| self.grower.grows());
                self.leg(record, leg, |leg| leg.children.extend(node));
            }
            Event::Sent(attempt, sent) => {
                let what = format!("{}/{}/{}", sent.aggregate, sent.to, sent.name);
                let mut node = Node::new(NodeKind::Command, what, record);
                node.stands("undecided", None);
                self.sent.push((attempt.leg.clone(), sent.number, node));
            }
            Event::Answered(leg, answered) => match &answered.answer {
                Answer::Accepted { .. } => self.was_decided(leg, answered.number),
                // What the host refused at once, nobody decided.
                Answer::Refused(failure) => {
                    let of_it = |(by, number, _): &&mut (Leg, u32, Node)| by == leg && *number == answered.number;
                    if let Some((.., node)) = self.sent.iter_mut().find(of_it) {
                        node.stands("refused", Some(short(failure)));
                    }
                }
            },
            Event::Stuck(leg, why) => {
                let failure = failure_of(why);
                self.leg(record, leg, |leg| {
                    let failure = failure.or(leg.failure.take());
                    leg.stands("stuck", failure);
                });
            }
            Event::Backoff(leg, _) => self.leg(record, leg, |leg| leg.outcome = Some("backoff".to_owned())),
            Event::RollbackBegun(reason) => {
                let what = match reason {
                    Reason::Refused(step, _) => format!("{} was refused", step.as_str()),
                    Reason::Exhausted(step, _) => format!("{} used up its attempts", step.as_str()),
                    Reason::Unknown(step, _) => format!("{} may have happened", step.as_str()),
                    Reason::Cancelled => "cancelled".to_owned(),
                    Reason::Deadline => "its deadline passed".to_owned(),
                };
                self.child(NodeKind::Rollback, what, record, |node| node.failure = reason.failure().map(short));
            }
            Event::RoundBegun(round) => {
                let what = format!("round {} from savepoint {}", round.number, round.savepoint);
                self.child(NodeKind::Rollback, what, record, |_| {});
            }
            Event::CancelRequested(Cancel::Asked(_)) => self.act("cancel".to_owned(), record),
            Event::Resolved(path, resolution, _) => {
                let how = match resolution {
                    Resolution::Output(_) => "done",
                    Resolution::NotDone => "not done",
                    Resolution::Undone => "undone",
                };
                self.act(format!("resolve {} as {how}", path.as_str()), record);
                self.frees(path, "resolved");
            }
            Event::Skipped(path, _) => {
                self.act(format!("skip {}", path.as_str()), record);
                self.frees(path, "skipped");
            }
            Event::Retried(..) => self.act("retry".to_owned(), record),
            Event::LockBroken(key, _) => self.act(format!("unlock {key}"), record),
            Event::Moved(moved) => {
                self.code.1 = moved.code.version;
                self.act("move".to_owned(), record);
            }
            Event::Abandoned(_) => {
                self.act("abandon".to_owned(), record);
                self.saga.ended_at = Some(record.at);
            }
            Event::Completed | Event::Compensated => self.saga.ended_at = Some(record.at),
            // These change how a leg stands only together with what follows them.
            Event::Started(_)
            | Event::Listed(..)
            | Event::TimerFired(_)
            | Event::Published(..)
            | Event::Stale(..)
            | Event::CancelRequested(Cancel::Deadline)
            | Event::Unstuck(_)
            | Event::LockQueued(_)
            | Event::LockTaken => {}
        }
    }

    fn ended(&mut self, record: &Record, attempt: &Attempt, outcome: &str, failure: Option<&Failure>) {
        let failure = failure.map(short);
        self.leg(record, &attempt.leg, |leg| {
            leg.attempts = leg.attempts.max(attempt.number);
            leg.stands(outcome, failure);
            leg.ended_at = Some(record.at);
        });
    }

    /// Changes the node of a leg, which is made with its first record.
    fn leg(&mut self, record: &Record, leg: &Leg, change: impl FnOnce(&mut Node)) {
        let index = match self.legs.get(leg) {
            Some(index) => *index,
            None if !self.grower.grows() => return,
            None => {
                let mut node = Node::new(kind_of(leg), name_of(leg), record);
                node.code = Some(self.code.clone());
                self.saga.children.push(node);
                let index = self.saga.children.len() - 1;
                self.legs.insert(leg.clone(), index);
                index
            }
        };
        if let Some(node) = self.saga.children.get_mut(index) {
            change(node);
        }
    }

    /// An operator said how it goes on where legs of a step were stuck.
    fn frees(&mut self, path: &StepPath, outcome: &str) {
        for index in self.legs.iter().filter(|(leg, _)| leg.path == *path).map(|(_, index)| *index) {
            if let Some(leg) = self.saga.children.get_mut(index).filter(|leg| leg.outcome.as_deref() == Some("stuck")) {
                leg.outcome = Some(outcome.to_owned());
            }
        }
    }

    fn child(&mut self, kind: NodeKind, what: String, record: &Record, change: impl FnOnce(&mut Node)) {
        if self.grower.grows() {
            let mut node = Node::new(kind, what, record);
            change(&mut node);
            self.saga.children.push(node);
        }
    }

    fn act(&mut self, what: String, record: &Record) {
        self.child(NodeKind::Act, what, record, |node| node.actor = Some(record.actor.clone()));
    }

    /// The commands that its legs sent and that aggregates recorded, and the events that they published.
    fn commands(&mut self, id: &str) -> Result<(), StoreError> {
        for position in self.grower.caused_by(id)? {
            let Some(record) = record_at(self.grower.store, position)? else { continue };
            if matches!(record.fact, Fact::Message(_)) && record.causation.is_some_and(|cause| cause.stream == self.saga.position)
            {
                let published = self.grower.published(position)?;
                self.saga.children.extend(published);
                continue;
            }
            let Fact::Aggregate(fact) = &record.fact else { continue };
            let Some(Sender::Saga { id: sender, leg }) = fact.command().and_then(|command| command.sender.as_ref()) else {
                continue;
            };
            // A command from outside may have the saga's id as its key.
            if sender != id {
                continue;
            }
            let number = fact.command().and_then(|command| command.id.rsplit_once('.')?.1.parse().ok());
            number.into_iter().for_each(|number| self.was_decided(leg, number));
            let Some(command) = self.grower.decision(position, NodeKind::Command)? else { continue };
            self.under(leg, command);
        }
        for (leg, _, node) in std::mem::take(&mut self.sent) {
            if self.grower.grows() {
                self.under(&leg, node);
            }
        }
        Ok(())
    }

    fn was_decided(&mut self, leg: &Leg, number: u32) {
        self.sent.retain(|(by, sent, _)| !(by == leg && *sent == number));
    }

    /// Puts a node under that of its leg.
    fn under(&mut self, leg: &Leg, node: Node) {
        match self.legs.get(leg).and_then(|index| self.saga.children.get_mut(*index)) {
            Some(parent) => parent.children.push(node),
            None => self.saga.children.push(node),
        }
    }
}

impl Node {
    fn stands(&mut self, outcome: &str, failure: Option<Failure>) {
        self.outcome = Some(outcome.to_owned());
        self.failure = failure;
    }
}

fn kind_of(leg: &Leg) -> NodeKind {
    match leg.direction {
        Direction::Forward => NodeKind::Step,
        Direction::Undo(_) => NodeKind::Undo,
        Direction::Check => NodeKind::Check,
    }
}

/// `charge`, `charge way 2 round 1`.
fn name_of(leg: &Leg) -> String {
    let way = if leg.alternate > 0 { format!(" way {}", leg.alternate + 1) } else { String::new() };
    let by = match leg.direction {
        Direction::Undo(alternate) if alternate > 0 => format!(" undone by way {}", alternate + 1),
        _ => String::new(),
    };
    let round = if leg.round > 0 { format!(" round {}", leg.round) } else { String::new() };
    format!("{}{way}{by}{round}", leg.path.as_str())
}

/// By what an event is found: the id of an aggregate's event says of which aggregate it is.
fn event_id(source: &str, id: &str) -> String {
    let is_aggregates = id.strip_prefix(source).is_some_and(|rest| rest.starts_with('/'));
    if is_aggregates { id.to_owned() } else { format!("{source}/{id}") }
}

/// A failure without its data: a tree has many.
fn short(failure: &Failure) -> Failure {
    Failure::new(failure.code.clone(), failure.message.clone())
}

fn failure_of(why: &Why) -> Option<Failure> {
    match why {
        Why::Exhausted(failure) | Why::Refused(failure) | Why::Unknown(failure) | Why::PivotInDoubt(failure) => {
            Some(short(failure))
        }
        Why::Denied(_) | Why::HostDied | Why::JournalFull => None,
    }
}
