//! From what began a chain of causes to all that followed.

use amends_core::{Failure, aggregate::AggregateEvent, event::Event, id::Namespace, view::Status};

use super::{
    Anchor, Beside, Candidate, NODES_MAX, Node, NodeKind, PAGE, RECORDS_MAX, Trace, ViewReading, climb::Path, head_at, record_at,
};
use crate::{
    engine::saga::read,
    journal::{Fact, MessageEvent, Record, RecordId, keys, record},
    store::{Position, Store, StoreError},
};

/// A tree that grows.
pub(super) struct Grower<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) namespace: &'a Namespace,
    beside: Beside<'a>,
    /// What is shown also where there is no room any more: the way to what was asked for.
    path: Vec<Anchor>,
    nodes: usize,
    records: usize,
    is_cut: bool,
    open: Vec<(String, Status)>,
}

/// The tree of a chain, from its beginning on.
pub(super) fn tree(
    store: &dyn Store,
    namespace: &Namespace,
    beside: Beside<'_>,
    Path { schedule, anchors }: Path,
    found: Candidate,
) -> Result<Trace, StoreError> {
    let first = anchors.first().copied().unwrap_or(found.anchor);
    let mut grower = Grower { store, namespace, beside, path: anchors, nodes: 0, records: 0, is_cut: false, open: Vec::new() };
    let scheduled = schedule.map(|cause| store.stream(cause.stream, cause.version, 1)).transpose()?;
    let scheduled = scheduled.iter().flatten().next().map(record::decode_stored).transpose()?;
    let root = match (scheduled, first) {
        (Some(fired), Anchor::Saga(start)) => grower.scheduled(&fired, start)?,
        (_, Anchor::Saga(start)) => grower.start(start)?,
        (_, Anchor::Decision(position)) => grower.decision(position, NodeKind::Request)?,
        (_, Anchor::Published(start)) => grower.publication(start)?,
        // What a timer of it led to begins with it.
        (_, Anchor::Reaction(position)) => super::policy::node(&mut grower, position)?,
    };
    let root =
        root.ok_or_else(|| StoreError::Corrupt("the beginning of a chain is not there, though a row says so".to_owned()))?;
    let Grower { nodes, is_cut, open, .. } = grower;
    Ok(Trace { found, root, nodes, is_cut, open })
}

impl Grower<'_> {
    /// One more node. False: there is no room for one.
    pub(super) fn grows(&mut self) -> bool {
        let has_room = self.nodes < NODES_MAX;
        if has_room {
            self.nodes += 1;
        } else {
            self.is_cut = true;
        }
        has_room
    }

    /// The same, of what may be on the way to what was asked for.
    pub(super) fn grows_at(&mut self, anchor: Anchor) -> bool {
        let is_on_path = self.path.contains(&anchor);
        self.nodes += usize::from(is_on_path);
        is_on_path || self.grows()
    }

    /// Some more records are read. False: there are too many.
    pub(super) fn reads(&mut self, records: usize) -> bool {
        self.records += records;
        let may_read = self.records <= RECORDS_MAX;
        self.is_cut |= !may_read;
        may_read
    }

    pub(super) fn has_room(&self) -> bool {
        self.nodes < NODES_MAX && self.records <= RECORDS_MAX
    }

    /// What something of this id caused in other streams, in order, as long as there is room; what is on the way to what was asked for
    /// is among it.
    pub(super) fn caused_by(&mut self, id: &str) -> Result<Vec<Position>, StoreError> {
        let (mut positions, mut after) = (Vec::new(), 0);
        loop {
            let rows = self.store.rows(&keys::caused_by(self.namespace, id, after, PAGE))?;
            for row in &rows {
                (.., after) = keys::parse_correlation(&row.key)?;
                positions.push(after);
            }
            if rows.len() < PAGE {
                return Ok(positions);
            }
            // There is no room for more than these. What is behind them is found by its own id.
            if positions.len() > NODES_MAX {
                self.is_cut = true;
                let on_path = self.path.iter().map(|anchor| match anchor {
                    Anchor::Saga(position)
                    | Anchor::Decision(position)
                    | Anchor::Published(position)
                    | Anchor::Reaction(position) => *position,
                });
                positions.extend(on_path.filter(|position| *position > after));
                return Ok(positions);
            }
        }
    }

    /// A saga, and the request that started it.
    fn start(&mut self, start: Position) -> Result<Option<Node>, StoreError> {
        let Some(record) = record_at(self.store, start)? else { return Ok(None) };
        let (Fact::Saga(Event::Started(started)), Some(head)) = (&record.fact, &record.head) else { return Ok(None) };
        self.nodes += 1;
        let mut root = Node::new(NodeKind::Request, format!("start {}", started.definition), &record);
        root.id = Some(head.stream.id.clone());
        root.actor = Some(record.actor.clone());
        root.children.extend(self.saga(start)?);
        Ok(Some(root))
    }

    /// A moment of a schedule, and the saga that it started.
    fn scheduled(&mut self, fired: &Record, start: Position) -> Result<Option<Node>, StoreError> {
        let Some(head) = head_at(self.store, fired.id.stream)? else { return Ok(None) };
        self.nodes += 1;
        let mut root = Node::new(NodeKind::Schedule, head.stream.id, fired);
        root.actor = Some(fired.actor.clone());
        root.children.extend(self.saga(start)?);
        Ok(Some(root))
    }

    /// A saga with all that followed, if there is room.
    pub(super) fn saga(&mut self, start: Position) -> Result<Option<Node>, StoreError> {
        if !self.grows_at(Anchor::Saga(start)) {
            return Ok(None);
        }
        let Some(node) = super::saga::node(self, start)? else { return Ok(None) };
        let status = read::summaries_at(self.store, &[start])?.into_iter().next().transpose()?.map(|summary| summary.status);
        let node = Node { outcome: status.map(|status| status.as_str().to_owned()), ..node };
        if let (Some(status), Some(id)) = (status.filter(|status| !status.is_ended()), &node.id) {
            self.open.push((id.clone(), status));
        }
        Ok(Some(node))
    }

    /// A command and its events, from the first record of the decision on.
    pub(super) fn decision(&mut self, position: Position, kind: NodeKind) -> Result<Option<Node>, StoreError> {
        let Some(first) = record_at(self.store, position)? else { return Ok(None) };
        let Some(head) = head_at(self.store, first.id.stream)? else { return Ok(None) };
        let Fact::Aggregate(fact) = &first.fact else { return Ok(None) };
        let aggregate = head.stream.id.as_str();
        if let AggregateEvent::Imported { revision, event_type, .. } = fact {
            return Ok(Some(self.import(aggregate, *revision, event_type, &first)));
        }
        let Some(command) = fact.command() else { return Ok(None) };
        if !self.grows_at(Anchor::Decision(position)) {
            return Ok(None);
        }
        let sends = if kind == NodeKind::Request { "send " } else { "" };
        let mut node = Node::new(kind, format!("{sends}{aggregate}/{}", command.name), &first);
        node.id = Some(command.id.clone());
        node.actor = (kind == NodeKind::Request).then(|| first.actor.clone());
        match fact {
            AggregateEvent::Decided { refused, module_version, .. } => {
                node.code = Some(self.code(aggregate, *module_version));
                node.outcome = Some(if refused.is_some() { "refused" } else { "accepted" }.to_owned());
                node.failure = refused.clone();
            }
            AggregateEvent::Recorded { module_version, .. } => {
                node.code = Some(self.code(aggregate, *module_version));
                node.outcome = Some("accepted".to_owned());
                self.events(aggregate, first, &mut node)?;
            }
            AggregateEvent::Quarantined { .. } | AggregateEvent::Imported { .. } => {}
        }
        Ok(Some(node))
    }

    /// An event that was imported: what led to it is not known here.
    fn import(&mut self, aggregate: &str, revision: u64, event_type: &str, record: &Record) -> Node {
        self.nodes += 2;
        let mut node = Node::new(NodeKind::Request, format!("import {aggregate}"), record);
        node.actor = Some(record.actor.clone());
        let mut event = Node::new(NodeKind::Event, event_type.to_owned(), record);
        event.id = Some(format!("{aggregate}/{revision}"));
        event.views = self.views_of(event_type, record.position);
        node.children.push(event);
        node
    }

    /// The events of a decision: those up to the next command.
    fn events(&mut self, aggregate: &str, first: Record, node: &mut Node) -> Result<(), StoreError> {
        let (stream, mut next) = (first.id.stream, first.id.version + 1);
        let mut page = vec![first];
        loop {
            for record in &page {
                let is_other =
                    matches!(&record.fact, Fact::Aggregate(fact) if fact.command().is_some() && record.position != node.position);
                let Fact::Aggregate(AggregateEvent::Recorded { revision, event_type, module_version, .. }) = &record.fact else {
                    return Ok(());
                };
                if is_other {
                    return Ok(());
                }
                if !self.grows_at(Anchor::Decision(node.position)) {
                    return Ok(());
                }
                let mut event = Node::new(NodeKind::Event, event_type.clone(), record);
                event.id = Some(format!("{aggregate}/{revision}"));
                event.code = Some(self.code(aggregate, *module_version));
                event.views = self.views_of(event_type, record.position);
                self.effects(record.id, &format!("{aggregate}/{revision}"), &mut event)?;
                node.children.push(event);
            }
            let stored = self.store.stream(stream, next, PAGE)?;
            if stored.is_empty() || !self.reads(stored.len()) {
                return Ok(());
            }
            next += stored.len() as u64;
            page = stored.iter().map(record::decode_stored).collect::<Result<_, _>>()?;
        }
    }

    /// The views that read an event, as long as there is room.
    fn views_of(&mut self, event_type: &str, position: Position) -> Vec<ViewReading> {
        let views = (self.beside.views_of)(event_type, position);
        views.into_iter().take_while(|_| self.grows()).collect()
    }

    fn code(&self, aggregate: &str, version: u32) -> (Option<String>, u32) {
        let name = aggregate.split_once('/').map_or(aggregate, |(name, _)| name);
        ((self.beside.module_of)(name, version), version)
    }

    /// An event that somebody published, and the request.
    fn publication(&mut self, start: Position) -> Result<Option<Node>, StoreError> {
        let Some(first) = record_at(self.store, start)? else { return Ok(None) };
        let Fact::Message(MessageEvent::Event { source, id, topic, to, .. }) = &first.fact else { return Ok(None) };
        self.nodes += 2;
        let asked = match to {
            Some(to) => format!("signal {} to {to}", topic.event_type),
            None => format!("publish {}", topic.event_type),
        };
        let name = format!("{source}/{id}");
        let mut root = Node::new(NodeKind::Request, asked, &first);
        root.id = Some(name.clone());
        root.actor = Some(first.actor.clone());
        let mut event = Node::new(NodeKind::Published, format!("{}/{}", topic.event_type, topic.key), &first);
        event.id = Some(name);
        // A signal is for one saga: no view reads it.
        event.views = if to.is_none() { self.views_of(&topic.event_type, start) } else { Vec::new() };
        for stored in self.store.stream(start, 2, PAGE)? {
            self.became(&mut event, &record::decode_stored(&stored)?);
        }
        self.effects(RecordId { stream: start, version: 1 }, id, &mut event)?;
        root.children.push(event);
        Ok(Some(root))
    }

    /// An event that a step of a saga published.
    pub(super) fn published(&mut self, start: Position) -> Result<Option<Node>, StoreError> {
        let Some(first) = record_at(self.store, start)? else { return Ok(None) };
        let Fact::Message(MessageEvent::Event { source, id, topic, .. }) = &first.fact else { return Ok(None) };
        if !self.grows_at(Anchor::Published(start)) {
            return Ok(None);
        }
        let mut event = Node::new(NodeKind::Published, format!("{}/{}", topic.event_type, topic.key), &first);
        event.id = Some(format!("{source}/{id}"));
        event.views = self.views_of(&topic.event_type, start);
        for stored in self.store.stream(start, 2, PAGE)? {
            self.became(&mut event, &record::decode_stored(&stored)?);
        }
        self.effects(first.id, id, &mut event)?;
        Ok(Some(event))
    }

    /// What the later records of an event say of it.
    fn became(&mut self, event: &mut Node, record: &Record) {
        match &record.fact {
            Fact::Message(MessageEvent::Kept { .. }) => event.outcome = Some("kept".to_owned()),
            Fact::Message(MessageEvent::Dead { .. }) => event.outcome = Some("dead".to_owned()),
            Fact::Message(MessageEvent::NotStarted { saga, why }) if self.grows() => {
                let mut node = Node::new(NodeKind::NotStarted, saga.clone(), record);
                node.failure = Some(Failure::new(why.code.as_str(), why.message.clone()));
                event.children.push(node);
            }
            _ => {}
        }
    }

    /// The sagas that an event started, those that it woke, and what policies did with it.
    fn effects(&mut self, cause: RecordId, id: &str, event: &mut Node) -> Result<(), StoreError> {
        for position in self.caused_by(id)? {
            let on_path = [Anchor::Saga(position), Anchor::Reaction(position)];
            if !self.has_room() && on_path.iter().all(|anchor| !self.path.contains(anchor)) {
                self.is_cut = true;
                continue;
            }
            let Some(record) = record_at(self.store, position)? else { continue };
            // Another publisher may have an event of the same id.
            if record.causation != Some(cause) {
                continue;
            }
            match &record.fact {
                Fact::Saga(Event::Started(_)) => event.children.extend(self.saga(position)?),
                Fact::Instance(_) => event.children.extend(super::policy::node(self, position)?),
                Fact::Policy(_) => event.children.extend(super::policy::waits(self, &record)?),
                Fact::Saga(Event::Arrived(leg, _)) => {
                    let Some(head) = head_at(self.store, record.id.stream)?.filter(|_| self.grows()) else { continue };
                    let mut woke = Node::new(NodeKind::Woke, leg.path.as_str().to_owned(), &record);
                    woke.id = Some(head.stream.id);
                    event.children.push(woke);
                    // What was kept found somebody.
                    event.outcome = event.outcome.take().filter(|outcome| outcome != "kept");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
