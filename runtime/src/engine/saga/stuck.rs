//! What is stuck, in groups: sagas that are stuck in the same step of the same version for the same failure are one thing to do.
//!
//! A committed read, of at most so many sagas.

use std::collections::BTreeMap;

use amends_core::{
    Instant, Saga,
    denial::Denial,
    event::Why,
    id::{Direction, Namespace, SagaId},
    job::{SagaFilter, failure_code},
    view::{Status, StuckView},
};

use super::{
    filter::admits,
    load::Source,
    rows::Summary,
    scan::{self, Budget, Go, Scanned},
};
use crate::store::StoreError;

/// What is stuck, in groups.
#[derive(Clone, Debug, Default)]
pub struct StuckGroups {
    /// The largest first.
    pub groups: Vec<StuckGroup>,
    /// Sagas that cannot be read.
    pub unreadable: Vec<SagaId>,
    /// More sagas are stuck than were looked at.
    pub is_cut: bool,
}

/// Sagas that are stuck in the same step of the same version for the same failure.
#[derive(Clone, Debug)]
pub struct StuckGroup {
    /// The step, without the keys of elements.
    pub step: String,
    /// The failure's code, or where there is no failure the reason.
    pub failure: String,
    /// How many sagas.
    pub count: u64,
    /// Since when the first of them is stuck.
    pub since: Instant,
    /// The first few of them, oldest first.
    pub sagas: Vec<SagaId>,
    /// The one that was started first, which stands for the others.
    pub first: FirstStuck,
}

/// A stuck leg, and the saga that it is of.
#[derive(Clone, Debug)]
pub struct FirstStuck {
    /// The saga's definition.
    pub definition: String,
    /// The module that it runs on.
    pub module: String,
    /// And its version.
    pub version: u32,
    /// The leg, without the data of its failure: groups are few, and what failures carry may be large.
    pub stuck: StuckView,
}

impl FirstStuck {
    fn new(saga: &Saga, stuck: &StuckView) -> Self {
        let mut stuck = stuck.clone();
        match &mut stuck.why {
            Why::Exhausted(failure) | Why::Refused(failure) | Why::Unknown(failure) | Why::PivotInDoubt(failure) => {
                failure.data = None;
            }
            Why::Denied(_) | Why::HostDied | Why::JournalFull => {}
        }
        let started = saga.started();
        let (definition, module) = (started.definition.clone(), started.module.clone());
        Self { definition, module, version: saga.code().version, stuck }
    }
}

/// An answer takes a second at most.
pub(crate) const BUDGET: Budget = Budget { rows_max: 100_000, sagas_max: 10_000 };

/// Ids that stand for their group.
const NAMED: usize = 5;

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
pub(crate) fn groups(source: Source<'_>, namespace: &Namespace, filter: &SagaFilter) -> Result<StuckGroups, StoreError> {
    let filter = SagaFilter { status: Some(Status::Stuck), ..filter.clone() };
    let mut found: BTreeMap<Alike, Gathered> = BTreeMap::new();
    let mut unreadable = Vec::new();
    let admits = |summary: &Summary| admits(&filter, namespace, summary);
    let is_cut = scan::sagas(source, namespace, [Status::Stuck], BUDGET, admits, |scanned| {
        match scanned {
            Scanned::Saga(_, summary, saga) => {
                filter.legs(&saga).iter().for_each(|leg| put(&mut found, &summary.id, &saga, leg));
            }
            Scanned::Unreadable(_, summary, _) => unreadable.extend(summary.map(|summary| summary.id)),
        }
        Go::On
    })?;
    let mut groups: Vec<StuckGroup> = found.into_values().map(|gathered| gathered.group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(StuckGroups { groups, unreadable, is_cut })
}

fn put(found: &mut BTreeMap<Alike, Gathered>, id: &SagaId, saga: &Saga, stuck: &StuckView) {
    let alike = Alike::new(saga, stuck);
    let (step, failure) = (alike.step.clone(), alike.failure.clone());
    let Gathered { group, latest } = found.entry(alike).or_insert_with(|| Gathered {
        group: StuckGroup { step, failure, count: 0, since: stuck.since, sagas: Vec::new(), first: FirstStuck::new(saga, stuck) },
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
