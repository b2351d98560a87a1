//! What is stuck, in groups: sagas that are stuck in the same step of the same version for the same failure are one thing to do.
//!
//! A committed read, of at most so many sagas.

use std::collections::BTreeMap;

use amends_core::{
    Saga,
    denial::Denial,
    event::Why,
    id::{Direction, Namespace, SagaId},
    view::{Status, StuckView},
};

use crate::{
    engine::{
        filter::failure_code,
        load::{self, LoadError},
        modules::Definitions,
        port::{FirstStuck, StuckGroup, StuckGroups},
        rows,
    },
    journal::job::SagaFilter,
    store::{Store, StoreError},
};

/// Sagas that are looked at: each is replayed in a tenth of a millisecond, so an answer takes a second at most.
pub(crate) const LOOKED_AT_MAX: usize = 10_000;

/// Rows that are looked at for them, at some microseconds each: also among the sagas of other namespaces an answer comes in time.
const EXAMINED_MAX: usize = 100_000;

/// Ids that stand for their group.
const NAMED: usize = 5;

/// Rows read at a time.
const PAGE: usize = 256;

/// What legs of a group have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    definition: String,
    module: String,
    version: u32,
    step: String,
    /// Forward, backward or the question in between; which alternate does not matter.
    direction: &'static str,
    failure: String,
    /// What was denied: another grant is another thing to do.
    denied: Option<Denial>,
}

impl Alike {
    fn new(saga: &Saga, stuck: &StuckView) -> Self {
        let denied = match &stuck.why {
            Why::Denied(denial) => Some(denial.clone()),
            Why::Exhausted(_) | Why::Refused(_) | Why::Unknown(_) | Why::PivotInDoubt(_) | Why::HostDied | Why::JournalFull => {
                None
            }
        };
        Self {
            definition: saga.started().definition.clone(),
            module: saga.started().module.clone(),
            version: saga.code().version,
            step: stuck.leg.path.without_elements().as_str().to_owned(),
            direction: match stuck.leg.direction {
                Direction::Forward => "forward",
                Direction::Undo(_) => "undo",
                Direction::Check => "check",
            },
            failure: failure_code(&stuck.why).to_owned(),
            denied,
        }
    }
}

/// The groups of stuck sagas that a filter is about, the largest first.
pub(crate) fn groups(
    store: &dyn Store,
    definitions: &Definitions,
    namespace: &Namespace,
    filter: &SagaFilter,
) -> Result<StuckGroups, StoreError> {
    let filter = SagaFilter { status: Some(Status::Stuck), ..filter.clone() };
    let mut found: BTreeMap<Alike, Gathered> = BTreeMap::new();
    let (mut after, mut examined, mut sagas, mut unreadable) = (0, 0, 0, Vec::new());
    let is_cut = loop {
        let page = rows::sagas_of(store, Status::Stuck, after, PAGE)?;
        for (_, summary) in page.iter().filter(|(_, summary)| filter.admits(namespace, summary)) {
            let key = (namespace.clone(), summary.id.clone());
            match load::saga(store, definitions, &key) {
                Ok(loaded) => {
                    let legs = filter.legs(&loaded.saga);
                    legs.iter().for_each(|leg| put(&mut found, &summary.id, &loaded.saga, leg));
                }
                Err(LoadError::NotFound) => {}
                Err(LoadError::Corrupt(_)) => unreadable.push(summary.id.clone()),
                Err(LoadError::Storage(why)) => return Err(StoreError::Failed(why)),
            }
            sagas += 1;
        }
        examined += page.len();
        match page.last() {
            Some((last, _)) if page.len() == PAGE && sagas < LOOKED_AT_MAX && examined < EXAMINED_MAX => after = *last,
            _ => break page.len() == PAGE,
        }
    };
    let mut groups: Vec<StuckGroup> = found.into_values().map(|gathered| gathered.group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(StuckGroups { groups, unreadable, is_cut })
}

fn put(found: &mut BTreeMap<Alike, Gathered>, id: &SagaId, saga: &Saga, stuck: &StuckView) {
    let alike = Alike::new(saga, stuck);
    let (step, failure) = (alike.step.clone(), alike.failure.clone());
    let Gathered { group, latest } = found.entry(alike).or_insert_with(|| Gathered {
        group: StuckGroup {
            step,
            failure,
            count: 0,
            since: stuck.since,
            sagas: Vec::new(),
            first: FirstStuck { view: Box::new(saga.view()), stuck: stuck.clone() },
        },
        latest: None,
    });
    group.since = group.since.min(stuck.since);
    // Elements of one fan-out may be stuck by the thousand; they are one saga.
    if latest.as_ref() == Some(id) {
        return;
    }
    *latest = Some(id.clone());
    group.count += 1;
    if group.sagas.len() < NAMED {
        group.sagas.push(id.clone());
    }
}

/// A group while sagas are counted, and the one that was counted last.
struct Gathered {
    group: StuckGroup,
    latest: Option<SagaId>,
}
