//! What a job would do: the verb is tried on copies of the sagas as they are committed, and nothing is kept of it.

use std::collections::BTreeMap;

use amends_core::{Context, Instant, Room, Saga, event::Act, id::Namespace, view::Status};

use super::{Asked, add, asked, misfit, unchanged};
use crate::{
    engine::{
        load::{self, LoadError},
        modules::{Definitions, Modules},
        port::{JobPreview, JobVerb, SagaFilter},
        recover, rows,
        verbs::{act_on, prepare},
    },
    store::{Position, Store, StoreError},
};

/// Sagas that are replayed for a preview: at a tenth of a millisecond each, ten seconds of a reader's time.
const LOOKED_AT_MAX: usize = 100_000;

/// Rows that are looked at for them, at some microseconds each: also among the sagas of other namespaces an answer comes in time.
const EXAMINED_MAX: usize = 500_000;

/// Sagas that are named.
const NAMED: usize = 20;

/// Rows read at a time.
const PAGE: usize = 256;

/// Kinds of live sagas that are told of where nothing fits.
const KINDS_MAX: usize = 8;

/// What a verb would do to the sagas that a filter is about, up to as many as are enough to know.
pub(crate) fn preview(
    store: &dyn Store,
    definitions: &Definitions,
    namespace: &Namespace,
    verb: JobVerb,
    filter: &SagaFilter,
    enough: u64,
    now: Instant,
) -> Result<JobPreview, StoreError> {
    let modules = match verb {
        JobVerb::Move(_) => recover::read_modules(store)?,
        _ => Modules::default(),
    };
    let mut preview = JobPreview::default();
    let (mut named, mut looked_at) = (Vec::new(), 0);
    let statuses = rows::LIVE.into_iter().filter(|status| filter.status.is_none_or(|only| only == *status));
    let is_cut = each_of(store, statuses, |stream, summary| {
        let summary = match summary {
            Ok(summary) => summary,
            Err(why) => {
                add(&mut preview.misfits, &misfit(&format!("it cannot be read: {why}"), &format!("at {stream}")));
                return Ok(true);
            }
        };
        if !filter.admits(namespace, &summary) {
            return Ok(true);
        }
        looked_at += 1;
        let id = summary.id;
        let mut saga = match load::saga(store, definitions, &(namespace.clone(), id.clone())) {
            Ok(loaded) => loaded.saga,
            Err(LoadError::NotFound) => return Ok(true),
            Err(LoadError::Corrupt(why)) => {
                add(&mut preview.misfits, &misfit(&format!("it cannot be read: {why}"), id.as_str()));
                return Ok(true);
            }
            Err(LoadError::Storage(why)) => return Err(StoreError::Failed(why)),
        };
        if filter.fits(&saga) {
            match tried(&modules, namespace, &mut saga, verb, filter, now) {
                Ok(()) => {
                    preview.count += 1;
                    named.push((stream, id));
                    if named.len() > NAMED {
                        // The last of a status is later than the first of the next one may be.
                        named.sort_unstable_by_key(|(stream, _)| *stream);
                        named.truncate(NAMED);
                    }
                }
                Err(why) => add(&mut preview.misfits, &misfit(&why, id.as_str())),
            }
        }
        Ok(looked_at < LOOKED_AT_MAX && preview.count < enough)
    })?;
    named.sort_unstable_by_key(|(stream, _)| *stream);
    let sagas = named.into_iter().map(|(_, id)| id).collect();
    let live = if preview.count == 0 && preview.misfits.is_empty() { live(store, namespace)? } else { Vec::new() };
    Ok(JobPreview { sagas, live, is_cut, ..preview })
}

/// The verb on a copy; why not, if it would change nothing.
fn tried(
    modules: &Modules,
    namespace: &Namespace,
    saga: &mut Saga,
    verb: JobVerb,
    filter: &SagaFilter,
    now: Instant,
) -> Result<(), String> {
    // Whether a verb fits depends on none of these but the time.
    let context = Context { now, jitter: 1, may_reach_outside: false, snapshot: 0, journal: Room::Free };
    let Asked { intervention, .. } = asked(verb, filter, saga, usize::MAX);
    let prepared = prepare(modules, namespace, saga, intervention).map_err(|refusal| refusal.message)?;
    match act_on(saga, prepared, &Act::default(), context) {
        Ok(events) if events.is_empty() => Err(unchanged(verb)),
        Ok(_) => Ok(()),
        Err(rejected) => Err(rejected.to_string()),
    }
}

/// What has not ended, most first.
fn live(store: &dyn Store, namespace: &Namespace) -> Result<Vec<(String, u32, Status, u64)>, StoreError> {
    let mut counts: BTreeMap<(String, u32, Status), u64> = BTreeMap::new();
    let mut rows = 0;
    each_of(store, rows::LIVE.into_iter(), |_, summary| {
        if let Ok(summary) = summary
            && summary.namespace == *namespace
        {
            *counts.entry((summary.definition, summary.version, summary.status)).or_default() += 1;
        }
        rows += 1;
        Ok(rows < LOOKED_AT_MAX)
    })?;
    let mut kinds: Vec<_> = counts.into_iter().map(|((name, version, status), count)| (name, version, status, count)).collect();
    kinds.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    kinds.truncate(KINDS_MAX);
    Ok(kinds)
}

/// Hands over the sagas of some statuses, or why one cannot be read, of each the oldest first, until it is enough or too much; true if there may be more.
fn each_of(
    store: &dyn Store,
    statuses: impl Iterator<Item = Status>,
    mut see: impl FnMut(Position, Result<rows::Summary, String>) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut examined = 0;
    for status in statuses {
        let mut after = 0;
        loop {
            if examined >= EXAMINED_MAX {
                return Ok(true);
            }
            let page = rows::of_status(store, status, after, PAGE)?;
            for stream in &page {
                if !see(*stream, rows::look_at(store, *stream)?)? {
                    return Ok(true);
                }
            }
            examined += page.len();
            match page.last() {
                Some(last) if page.len() == PAGE => after = *last,
                _ => break,
            }
        }
    }
    Ok(false)
}
