//! What a version would break in its namespace when new work starts on it: sagas and events that it drops, and schedules that start
//! such a saga or whose input does not fit any more.
//!
//! Sagas in flight are not among them: they stay on their versions. All reads are of committed state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use amends_core::{Definition, Trigger, id::Namespace, value::Payload};
use amends_wire::module::{Break, Breaks};

use super::{Api, error::ApiError};
use crate::{
    engine::{
        module::schema,
        port::{Refusal, VersionView},
    },
    service::reader::{Reader, ScheduleView},
};

/// Schedules read at a time.
const PAGE: usize = 1_000;

/// Named at most: more of them say nothing new.
const BREAKS_MAX: usize = 100;

/// Inputs of schedules that are held against a schema: each is a read of its own.
const INPUTS_MAX: usize = 1_000;

/// What a version offers to those who start sagas.
pub(super) struct Offer {
    sagas: BTreeSet<String>,
    triggers: Vec<Trigger>,
    /// By saga; of a component that was just verified, and none of a version that is deployed.
    schemas: BTreeMap<String, Schema>,
}

/// The schema of a saga's input: its text, and what is read of it once.
struct Schema {
    text: String,
    kept: schema::Kept,
}

impl Offer {
    /// Of a component that was verified.
    pub(super) fn verified(definitions: &[Definition], triggers: &[Trigger]) -> Self {
        let sagas = definitions.iter().map(|definition| definition.name.clone()).collect();
        let schema = |definition: &Definition| {
            let text = definition.schema.clone()?;
            Some((definition.name.clone(), Schema { text, kept: schema::Kept::default() }))
        };
        Self { sagas, triggers: triggers.to_vec(), schemas: definitions.iter().filter_map(schema).collect() }
    }

    /// Of a version that is deployed.
    pub(super) fn deployed(version: &VersionView) -> Self {
        Self { sagas: version.sagas.iter().cloned().collect(), triggers: version.triggers.clone(), schemas: BTreeMap::new() }
    }

    fn misfit(&self, saga: &str, input: &Payload) -> Option<schema::Misfit> {
        let Schema { text, kept } = self.schemas.get(saga)?;
        kept.misfit(text, input)
    }
}

/// What an offer would break that takes the place of the active version; nothing if none is active.
pub(super) async fn by(
    api: &Arc<Api>,
    namespace: Namespace,
    active: Option<VersionView>,
    offer: Offer,
) -> Result<Breaks, ApiError> {
    match active {
        Some(active) => api.read(move |reader| found(reader, &namespace, &active, &offer)).await,
        None => Ok(Breaks::default()),
    }
}

fn found(reader: &Reader, namespace: &Namespace, active: &VersionView, offer: &Offer) -> Result<Breaks, Refusal> {
    let mut what = dropped(active, offer);
    let mut inputs_left = INPUTS_MAX;
    let mut after: Option<String> = None;
    let mut is_cut = false;
    loop {
        let page = reader.schedules(namespace, after.as_deref(), PAGE)?;
        for view in page.iter().filter(|view| is_live(view)) {
            match of_schedule(reader, namespace, active, offer, view, &mut inputs_left)? {
                Looked::Breaks(broken) => what.push(broken),
                Looked::Fits => {}
                Looked::NoMore => is_cut = true,
            }
        }
        after = page.last().map(|last| last.name.clone());
        if page.len() < PAGE || what.len() > BREAKS_MAX {
            break;
        }
    }
    is_cut |= what.len() > BREAKS_MAX;
    what.truncate(BREAKS_MAX);
    Ok(Breaks { what, is_cut })
}

/// Sagas and events that the active version has and the offer has not.
fn dropped(active: &VersionView, offer: &Offer) -> Vec<Break> {
    let sagas = active.sagas.iter().filter(|saga| !offer.sagas.contains(*saga)).map(|saga| Break::Saga { saga: saga.clone() });
    let triggers = active.triggers.iter().filter(|trigger| !offer.triggers.contains(trigger));
    let triggers =
        triggers.map(|Trigger { saga, event_type }| Break::Trigger { event_type: event_type.clone(), saga: saga.clone() });
    sagas.chain(triggers).collect()
}

/// It will start a saga, or would if it were resumed.
fn is_live(view: &ScheduleView) -> bool {
    view.schedule.next.is_some() || view.schedule.waiting.is_some()
}

enum Looked {
    Fits,
    Breaks(Break),
    /// As many inputs were looked at as is worth it.
    NoMore,
}

fn of_schedule(
    reader: &Reader,
    namespace: &Namespace,
    active: &VersionView,
    offer: &Offer,
    view: &ScheduleView,
    inputs_left: &mut usize,
) -> Result<Looked, Refusal> {
    let saga = &view.schedule.spec.saga;
    let broken = |why: String| Looked::Breaks(Break::Schedule { schedule: view.name.clone(), saga: saga.clone(), why });
    if !active.sagas.contains(saga) {
        return Ok(Looked::Fits);
    }
    if !offer.sagas.contains(saga) {
        return Ok(broken(format!("the version has no saga {saga}")));
    }
    if !offer.schemas.contains_key(saga) {
        return Ok(Looked::Fits);
    }
    if *inputs_left == 0 {
        return Ok(Looked::NoMore);
    }
    *inputs_left -= 1;
    // Gone since its page was read.
    let Some(input) = reader.schedule(namespace, &view.name)?.and_then(|view| view.input) else { return Ok(Looked::Fits) };
    Ok(match offer.misfit(saga, &input) {
        Some(misfit) => broken(format!("its input does not fit: {misfit}")),
        None => Looked::Fits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(sagas: &[&str], triggers: &[(&str, &str)]) -> VersionView {
        let trigger = |(event_type, saga): &(&str, &str)| Trigger { event_type: (*event_type).into(), saga: (*saga).into() };
        VersionView {
            version: 1,
            digest: [1; 32],
            bytes: 1,
            deployed_at: 0,
            sagas: sagas.iter().map(|saga| (*saga).to_owned()).collect(),
            imports: Vec::new(),
            triggers: triggers.iter().map(trigger).collect(),
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            in_flight: 0,
            quarantined: None,
        }
    }

    /// A version that dropped a saga or an event was activated without a word: it was noticed when nothing started any more.
    #[test]
    fn c2_23_what_the_active_version_has_and_the_next_one_has_not_is_named() {
        let active = version(&["trip", "flight"], &[("trip.wanted", "trip"), ("seat.free", "flight")]);
        let next = Offer::deployed(&version(&["trip", "hotel"], &[("trip.wanted", "trip"), ("seat.free", "hotel")]));
        let trigger = Break::Trigger { event_type: "seat.free".into(), saga: "flight".into() };
        assert_eq!(dropped(&active, &next), [Break::Saga { saga: "flight".into() }, trigger]);
        assert_eq!(dropped(&active, &Offer::deployed(&active)), []);
    }
}
