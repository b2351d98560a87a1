//! Events that several readers want, read from the journal once: those who build views of the same events read them at about the same
//! time.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use amends_core::id::Namespace;
use bytes::Bytes;

use super::{RecordedEvent, decoded, deduplicated, no_event, places};
use crate::store::{Position, Store, StoreError};

/// Events that are kept for the next reader.
const KEPT_BYTES: usize = 16 << 20;

/// Records between two events that are read with them, since the next event is nearer than another look into the journal.
const GAP_MAX: u64 = 8;

/// Records of one look into the journal: the largest events are 16 MiB then.
const RUN_MAX: u64 = 64;

/// The events that were read last.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    kept: HashMap<Position, Arc<RecordedEvent>>,
    /// Oldest read first.
    order: VecDeque<Position>,
    bytes: usize,
}

/// Events, and how far the journal was looked at.
#[derive(Debug)]
pub(crate) struct Page {
    /// In the order of the journal.
    pub(crate) events: Vec<Arc<RecordedEvent>>,
    /// Every event up to here that was asked for is among these, or was before them.
    pub(crate) through: Position,
    /// There may be more.
    pub(crate) has_more: bool,
}

impl Recent {
    /// Events of some types behind a position, in the order of the journal: at most so many, and they end where they would be larger
    /// than that; there is at least one.
    pub(crate) fn page(
        &mut self,
        store: &dyn Store,
        namespace: &Namespace,
        types: &[String],
        after: Position,
        (limit, bytes_max): (usize, usize),
    ) -> Result<Page, StoreError> {
        // What is committed meanwhile is for the next read: of all types the same part of the journal is seen.
        let last = store.last_position()?;
        let mut places = places(store, namespace, &deduplicated(types.to_vec()), after, limit)?;
        places.found.retain(|(position, ..)| *position <= last);
        let mut through = places.complete_to.unwrap_or(last).min(last).max(after);
        let mut has_more = places.complete_to.is_some();
        if let Some((cut, ..)) = places.found.get(limit) {
            (through, has_more) = (cut.saturating_sub(1), true);
            places.found.truncate(limit);
        }
        let (mut events, mut bytes) = (Vec::with_capacity(places.found.len()), 0);
        for (index, (position, event_type, _)) in places.found.iter().enumerate() {
            if !self.kept.contains_key(position) {
                self.fetch(store, &places.found[index..])?;
            }
            let event = self.kept.get(position).ok_or_else(|| no_event(*position, event_type))?;
            bytes += event.bytes();
            if bytes > bytes_max && !events.is_empty() {
                (through, has_more) = (position.saturating_sub(1), true);
                break;
            }
            events.push(Arc::clone(event));
        }
        self.forget();
        Ok(Page { events, through, has_more })
    }

    /// Reads the first of the events, and its neighbours with it.
    fn fetch(&mut self, store: &dyn Store, places: &[(Position, String, Bytes)]) -> Result<(), StoreError> {
        let Some((first, ..)) = places.first() else { return Ok(()) };
        let is_near = |pair: &&[(Position, String, Bytes)]| pair[1].0 - pair[0].0 <= GAP_MAX && pair[1].0 - first < RUN_MAX;
        let run = &places[..=places.windows(2).take_while(is_near).count()];
        let span = run.last().map_or(1, |(last, ..)| last - first + 1);
        let mut rest = run.iter().peekable();
        for stored in store.log(*first, span as usize)? {
            if let Some((position, event_type, value)) = rest.next_if(|(position, ..)| *position == stored.position) {
                let id = str::from_utf8(value).map_err(|_| no_event(*position, event_type))?;
                self.keep(*position, decoded(&stored, event_type, id)?);
            }
        }
        Ok(())
    }

    fn keep(&mut self, position: Position, event: RecordedEvent) {
        // It may be read again beside one that was missing.
        if self.kept.contains_key(&position) {
            return;
        }
        self.bytes += event.bytes();
        self.kept.insert(position, Arc::new(event));
        self.order.push_back(position);
    }

    /// Keeps the newest ones.
    fn forget(&mut self) {
        while self.bytes > KEPT_BYTES
            && let Some(position) = self.order.pop_front()
        {
            if let Some(event) = self.kept.remove(&position) {
                self.bytes -= event.bytes();
            }
        }
    }
}
