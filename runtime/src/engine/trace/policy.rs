//! What a policy did with a cause, as its part of a tree: what it sent, and what it did with the answers and the timers that came of that.

use std::collections::HashMap;

use amends_core::{
    Failure,
    aggregate::AggregateEvent,
    event::{Answer, Event},
    id::StepKey,
    policy::{Cause, InstanceEvent, PolicyEvent, Reaction},
};

use super::{Anchor, Node, NodeKind, PAGE, grow::Grower, head_at, record_at};
use crate::{
    engine::{kernel::reads, policy::PolicyKey},
    journal::{Fact, Record, RecordId, record},
    store::{Position, Store, StoreError},
};

/// The reaction that is recorded at a position, or that a cause came too late.
pub(super) fn node(grower: &mut Grower<'_>, position: Position) -> Result<Option<Node>, StoreError> {
    let Some(first) = record_at(grower.store, position)? else { return Ok(None) };
    let Some(head) = head_at(grower.store, first.id.stream)? else { return Ok(None) };
    let Some((policy, key)) = PolicyKey::of_instance(&head.stream) else { return Ok(None) };
    let Fact::Instance(event) = &first.fact else { return Ok(None) };
    let (cause, version, outcome) = match event {
        InstanceEvent::Handled(reaction) => {
            (&reaction.cause, Some(reaction.module_version), reaction.is_silent.then_some("silent"))
        }
        InstanceEvent::Late { cause, .. } => (cause, None, Some("late")),
        InstanceEvent::Sent(_)
        | InstanceEvent::Published(_)
        | InstanceEvent::Started(_)
        | InstanceEvent::Answered { .. }
        | InstanceEvent::TimerFired(_) => return Ok(None),
    };
    if !grower.grows_at(Anchor::Reaction(position)) {
        return Ok(None);
    }
    let mut node = Node::new(NodeKind::Policy, name(&policy.name, cause), &first);
    node.id = Some(key.to_owned());
    node.outcome = outcome.map(str::to_owned);
    node.code = version.map(|version| Ok::<_, StoreError>((module_of(grower.store, &policy, version)?, version))).transpose()?;
    if let InstanceEvent::Handled(reaction) = event {
        let reacted = Reacted { grower, first: &first, reaction };
        node.children = reacted.children()?;
    }
    Ok(Some(node))
}

/// A cause waits, or is a dead letter.
pub(super) fn waits(grower: &mut Grower<'_>, waits: &Record) -> Result<Option<Node>, StoreError> {
    let Some(head) = head_at(grower.store, waits.id.stream)? else { return Ok(None) };
    let Fact::Policy(fact) = &waits.fact else { return Ok(None) };
    let (key, outcome, failure) = match fact {
        PolicyEvent::Parked { key, failure, .. } => (key, "parked", Some(failure)),
        PolicyEvent::Kept { key, .. } => (key, "kept", None),
        PolicyEvent::Dead { key, failure, .. } => (key, "dead", Some(failure)),
        PolicyEvent::Installed { .. }
        | PolicyEvent::Withdrawn
        | PolicyEvent::Paused(_)
        | PolicyEvent::Resumed(_)
        | PolicyEvent::Reset { .. }
        | PolicyEvent::Stopped { .. }
        | PolicyEvent::Redriven { .. }
        | PolicyEvent::Dropped { .. }
        | PolicyEvent::Cleared { .. }
        | PolicyEvent::HostDied { .. } => return Ok(None),
    };
    if !grower.grows() {
        return Ok(None);
    }
    let mut node = Node::new(NodeKind::Policy, head.stream.id, waits);
    node.id = Some(key.clone());
    node.outcome = Some(outcome.to_owned());
    node.failure = failure.map(|failure| Failure::new(failure.code.clone(), failure.message.clone()));
    Ok(Some(node))
}

/// The reaction that a record of an instance belongs to: the last one up to it.
pub(super) fn reaction_before(store: &dyn Store, at: RecordId) -> Result<Option<Record>, StoreError> {
    before(store, at, |event| matches!(event, InstanceEvent::Handled(_)))
}

/// What caused a reaction, if it is in the stream of its instance: the reaction that set the timer, or that sent the command.
pub(super) fn reaction_that_led_to(store: &dyn Store, reaction: &Record) -> Result<Option<Record>, StoreError> {
    let Fact::Instance(InstanceEvent::Handled(told)) = &reaction.fact else { return Ok(None) };
    let behind = RecordId { version: reaction.id.version.saturating_sub(1), ..reaction.id };
    let sets = |event: &InstanceEvent, name: &str| match event {
        InstanceEvent::Handled(reaction) => reaction.set.iter().any(|timer| timer.name == name),
        _ => false,
    };
    match &told.cause {
        Cause::Event { .. } => Ok(None),
        Cause::Timer { name } => before(store, behind, |event| sets(event, name)),
        Cause::Answer { command } => {
            let Some((ids, _)) = command.rsplit_once('.') else { return Ok(None) };
            let is_it =
                |event: &InstanceEvent| matches!(event, InstanceEvent::Handled(sent) if StepKey(sent.ids).to_string() == ids);
            before(store, behind, is_it)
        }
    }
}

/// The last record up to one whose fact is meant.
fn before(
    store: &dyn Store,
    RecordId { stream, version }: RecordId,
    is_meant: impl Fn(&InstanceEvent) -> bool,
) -> Result<Option<Record>, StoreError> {
    let mut end = version;
    while end > 0 {
        let from = end.saturating_sub(PAGE as u64 - 1).max(1);
        let limit = usize::try_from(end - from + 1).unwrap_or(PAGE);
        for stored in store.stream(stream, from, limit)?.iter().rev() {
            let record = record::decode_stored(stored)?;
            if matches!(&record.fact, Fact::Instance(event) if is_meant(event)) {
                return Ok(Some(record));
            }
        }
        end = from - 1;
    }
    Ok(None)
}

/// A policy, and to what it reacted if that was no event.
fn name(policy: &str, cause: &Cause) -> String {
    match cause {
        Cause::Event { .. } => policy.to_owned(),
        Cause::Timer { name } => format!("{policy} on timer {name}"),
        Cause::Answer { .. } => format!("{policy} on the answer"),
    }
}

/// The module whose version it was.
fn module_of(store: &dyn Store, policy: &PolicyKey, version: u32) -> Result<Option<String>, StoreError> {
    let records = reads::streams(store, &[&policy.stream()])?.pop().transpose()?.flatten().unwrap_or_default();
    let mut found = None;
    for stored in &records {
        if let Fact::Policy(PolicyEvent::Installed { module, module_version, .. }) = record::decode_stored(stored)?.fact
            && module_version == version
        {
            found = Some(module);
        }
    }
    Ok(found)
}

/// A reaction, and where what followed from it is looked for.
struct Reacted<'r, 'g, 'a> {
    grower: &'r mut Grower<'g>,
    first: &'a Record,
    reaction: &'a Reaction,
}

impl Reacted<'_, '_, '_> {
    /// What it sent, with what came of that; and what it did when its timers fired.
    fn children(self) -> Result<Vec<Node>, StoreError> {
        let Self { grower, first, reaction } = self;
        let stored = grower.store.stream(first.id.stream, first.id.version + 1, PAGE)?;
        let records = stored.iter().map(record::decode_stored).collect::<Result<Vec<_>, _>>()?;
        let is_mine = |record: &&Record| {
            matches!(
                record.fact,
                Fact::Instance(InstanceEvent::Sent(_) | InstanceEvent::Published(_) | InstanceEvent::Started(_))
            )
        };
        let (mut mine, mut later) = (Vec::new(), HashMap::new());
        let mut is_over: Vec<&str> = Vec::new();
        mine.extend(records.iter().take_while(is_mine));
        for record in &records[mine.len()..] {
            let Fact::Instance(InstanceEvent::Handled(handled)) = &record.fact else { continue };
            match &handled.cause {
                Cause::Answer { command } => drop(later.insert(command.as_str(), record.position)),
                Cause::Timer { name } if !is_over.contains(&name.as_str()) => drop(later.insert(name.as_str(), record.position)),
                Cause::Timer { .. } | Cause::Event { .. } => {}
            }
            // From here on a timer of the name is another one.
            is_over.extend(handled.set.iter().map(|timer| timer.name.as_str()));
        }
        let (timers, answered) = (reaction.set.iter().map(|timer| timer.name.clone()).collect::<Vec<_>>(), answers(&records));
        let mut sent = Sent { grower, ids: StepKey(reaction.ids), answered, later };
        let mut children = Vec::new();
        for record in mine {
            children.extend(sent.node(record)?);
        }
        for name in timers {
            children.extend(sent.reaction_to(&name)?);
        }
        Ok(children)
    }
}

/// What was answered to which command.
fn answers(records: &[Record]) -> HashMap<String, Option<Failure>> {
    let answer = |record: &Record| match &record.fact {
        Fact::Instance(InstanceEvent::Answered { command, answered, .. }) => Some((
            command.clone(),
            match &answered.answer {
                Answer::Refused(failure) => Some(Failure::new(failure.code.clone(), failure.message.clone())),
                Answer::Accepted { .. } => None,
            },
        )),
        _ => None,
    };
    records.iter().filter_map(answer).collect()
}

/// What a reaction sent.
struct Sent<'r, 'g, 'a> {
    grower: &'r mut Grower<'g>,
    ids: StepKey,
    answered: HashMap<String, Option<Failure>>,
    /// Later reactions of the instance, by the command's id or the timer's name.
    later: HashMap<&'a str, Position>,
}

impl Sent<'_, '_, '_> {
    fn node(&mut self, record: &Record) -> Result<Option<Node>, StoreError> {
        let Fact::Instance(event) = &record.fact else { return Ok(None) };
        let led_to = self.led_to(record)?;
        match event {
            InstanceEvent::Sent(sent) => {
                let command = self.id_of(sent.number);
                let mut node = match led_to {
                    Some(decided) => match self.grower.decision(decided, NodeKind::Command)? {
                        Some(node) => node,
                        None => return Ok(None),
                    },
                    None if !self.grower.grows() => return Ok(None),
                    None => {
                        let what = format!("{}/{}/{}", sent.aggregate, sent.to, sent.name);
                        let mut node = Node::new(NodeKind::Command, what, record);
                        let refused = self.answered.get(&command).cloned().flatten();
                        node.outcome = Some(if refused.is_some() { "refused" } else { "undecided" }.to_owned());
                        node.failure = refused;
                        node
                    }
                };
                node.children.extend(self.reaction_to(&command)?);
                Ok(Some(node))
            }
            InstanceEvent::Published(_) => led_to.map_or(Ok(None), |start| self.grower.published(start)),
            InstanceEvent::Started(_) => led_to.map_or(Ok(None), |start| self.grower.saga(start)),
            InstanceEvent::Handled(_)
            | InstanceEvent::Answered { .. }
            | InstanceEvent::TimerFired(_)
            | InstanceEvent::Late { .. } => Ok(None),
        }
    }

    /// Where what a record says has become something: the decision, the event or the saga that it caused.
    fn led_to(&mut self, record: &Record) -> Result<Option<Position>, StoreError> {
        let id = self.id_of(number_of(record));
        for position in self.grower.caused_by(&id)? {
            let Some(found) = record_at(self.grower.store, position)? else { continue };
            let is_it = match &found.fact {
                Fact::Aggregate(AggregateEvent::Recorded { .. } | AggregateEvent::Decided { .. })
                | Fact::Message(_)
                | Fact::Saga(Event::Started(_)) => found.causation == Some(record.id),
                _ => false,
            };
            if is_it {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// The id of what was sent under a number.
    fn id_of(&self, number: u32) -> String {
        format!("{}.{number}", self.ids)
    }

    /// What the policy did with an answer or a timer.
    fn reaction_to(&mut self, of: &str) -> Result<Option<Node>, StoreError> {
        match self.later.remove(of) {
            Some(position) => node(self.grower, position),
            None => Ok(None),
        }
    }
}

fn number_of(record: &Record) -> u32 {
    match &record.fact {
        Fact::Instance(InstanceEvent::Sent(sent)) => sent.number,
        Fact::Instance(InstanceEvent::Published(published)) => published.number,
        Fact::Instance(InstanceEvent::Started(start)) => start.number,
        _ => 0,
    }
}
