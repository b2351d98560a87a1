//! What a job would do: the verb is tried on copies of the sagas as they are committed, and nothing is kept of it.

use std::collections::BTreeMap;

use amends_core::{
    Context, Instant, Room, Saga,
    event::Act,
    id::{Namespace, SagaId},
    job::{Misfit, SagaFilter},
    verbs::{AskedVerb, Verb},
    view::Status,
};

use super::{Asked, asked};
use crate::{
    engine::{
        module::{self, Modules},
        saga::{
            filter,
            load::Source,
            offered,
            rows::{self, Summary},
            scan::{self, Budget, Go, Scanned},
        },
    },
    store::{Store, StoreError},
};

/// What a job would do.
#[derive(Clone, Debug, Default)]
pub struct JobPreview {
    /// How many sagas the verb would be applied to.
    pub count: u64,
    /// The first of them, oldest first.
    pub sagas: Vec<SagaId>,
    /// Those that the filter is about and the verb does not fit.
    pub misfits: Vec<Misfit>,
    /// There are more sagas than were looked at.
    pub is_cut: bool,
    /// Sagas that have not ended, by definition, version and status, with how many: what there is, where nothing fits the filter.
    pub live: Vec<(String, u32, Status, u64)>,
}

/// Ten seconds of a reader's time.
const BUDGET: Budget = Budget { rows_max: 500_000, sagas_max: 100_000 };

/// Sagas that are named.
const NAMED: usize = 20;

/// Kinds of live sagas that are told of where nothing fits.
const KINDS_MAX: usize = 8;

/// What a verb would do to the sagas that a filter is about, up to as many as are enough to know.
pub(crate) fn preview(
    source: Source<'_>,
    namespace: &Namespace,
    verb: &AskedVerb,
    filter: &SagaFilter,
    enough: u64,
    now: Instant,
) -> Result<JobPreview, StoreError> {
    let modules = if let Verb::Move(_) = verb { module::recover::read(source.store)? } else { Modules::default() };
    let mut preview = JobPreview::default();
    let mut named = Vec::new();
    let statuses = rows::LIVE.into_iter().filter(|status| filter.status.is_none_or(|only| only == *status));
    let admits = |summary: &Summary| filter::admits(filter, namespace, summary);
    let is_cut = scan::sagas(source, namespace, statuses, BUDGET, admits, |scanned| {
        match scanned {
            Scanned::Saga(start, summary, mut saga) if filter.fits(&saga) => {
                match tried(&modules, namespace, &mut saga, verb, filter, now) {
                    Ok(()) => {
                        preview.count += 1;
                        named.push((start, summary.id));
                        if named.len() > NAMED {
                            // The last of a status is later than the first of the next one may be.
                            named.sort_unstable_by_key(|(start, _)| *start);
                            named.truncate(NAMED);
                        }
                    }
                    Err(why) => Misfit::of(&why, summary.id.as_str()).add_to(&mut preview.misfits),
                }
            }
            Scanned::Saga(..) => {}
            Scanned::Unreadable(start, summary, why) => {
                let name = summary.map_or_else(|| format!("at {start}"), |summary| summary.id.as_str().to_owned());
                Misfit::of(&format!("it cannot be read: {why}"), &name).add_to(&mut preview.misfits);
            }
        }
        if preview.count < enough { Go::On } else { Go::Enough }
    })?;
    named.sort_unstable_by_key(|(start, _)| *start);
    let sagas = named.into_iter().map(|(_, id)| id).collect();
    let live = if preview.count == 0 && preview.misfits.is_empty() { live(source.store, namespace)? } else { Vec::new() };
    Ok(JobPreview { sagas, live, is_cut, ..preview })
}

/// The verb on a copy; why not, if it would change nothing.
fn tried(
    modules: &Modules,
    namespace: &Namespace,
    saga: &mut Saga,
    verb: &AskedVerb,
    filter: &SagaFilter,
    now: Instant,
) -> Result<(), String> {
    // Whether a verb fits depends on none of these but the time.
    let context = Context { now, jitter: 1, may_reach_outside: false, snapshot: 0, journal: Room::Free };
    let Asked { verb: asked, .. } = asked(verb, filter, saga, usize::MAX);
    let Some(asked) = offered(modules, namespace, saga, asked).map_err(|refusal| refusal.message)? else {
        return Err(verb.unchanged());
    };
    match saga.act(asked, Act::default(), context) {
        Ok(events) if events.is_empty() => Err(verb.unchanged()),
        Ok(_) => Ok(()),
        Err(rejected) => Err(rejected.to_string()),
    }
}

/// What has not ended, most first.
fn live(store: &dyn Store, namespace: &Namespace) -> Result<Vec<(String, u32, Status, u64)>, StoreError> {
    let mut counts: BTreeMap<(String, u32, Status), u64> = BTreeMap::new();
    scan::rows(store, rows::LIVE, BUDGET.sagas_max, |lines| {
        let summaries = lines.into_iter().filter_map(|(_, summary)| summary.ok());
        for summary in summaries.filter(|summary| summary.namespace == *namespace) {
            *counts.entry((summary.definition, summary.version, summary.status)).or_default() += 1;
        }
        Ok(Go::On)
    })?;
    let mut kinds: Vec<_> = counts.into_iter().map(|((name, version, status), count)| (name, version, status, count)).collect();
    kinds.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    kinds.truncate(KINDS_MAX);
    Ok(kinds)
}
