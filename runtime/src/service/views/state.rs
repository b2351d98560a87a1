//! The views of a host as they stand: which generations there are of each, how far each has read, and what is offered.

use std::{collections::BTreeMap, sync::Arc, time::Instant as Moment};

use amends_core::{id::Namespace, value::Failure};
use tokio::sync::Notify;

use super::{
    Offer,
    generation::{Generation, Role, Stopped},
};
use crate::{engine::module::Projection, store::redb::views::Progress};

/// Which view: where, and the name of its projection.
pub(super) type ViewKey = (Namespace, String);

/// All views.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) views: BTreeMap<ViewKey, View>,
    /// The number of the newest generation.
    pub(super) newest: u64,
    /// Why nothing is built any more, if the file failed.
    pub(super) failed: Option<String>,
}

/// One view.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The code that is active; none until it was looked for.
    pub(super) offer: Option<Offer>,
    /// At most one of each role.
    pub(super) generations: Vec<Live>,
}

/// A generation of a running host.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) known: Generation,
    pub(super) progress: Progress,
    /// The projection, with the schemas of its queries.
    pub(super) projection: Projection,
    /// Why the host cannot ask its code now.
    pub(super) delayed: Option<Failure>,
    /// Wakes whoever builds it.
    pub(super) hurry: Arc<Notify>,
    /// When this host began with it, and how many events were in it then.
    pub(super) since: (Moment, u64),
}

impl State {
    pub(super) fn view(&self, namespace: &Namespace, name: &str) -> Option<&View> {
        self.views.get(&(namespace.clone(), name.to_owned()))
    }

    pub(super) fn live(&self, number: u64) -> Option<&Live> {
        self.views.values().flat_map(|view| &view.generations).find(|live| live.known.number == number)
    }

    pub(super) fn live_mut(&mut self, number: u64) -> Option<&mut Live> {
        self.views.values_mut().flat_map(|view| &mut view.generations).find(|live| live.known.number == number)
    }

    /// The view that has this generation.
    pub(super) fn view_of(&self, number: u64) -> Option<(&ViewKey, &View)> {
        self.views.iter().find(|(_, view)| view.generations.iter().any(|live| live.known.number == number))
    }
}

impl View {
    pub(super) fn of_role(&self, role: Role) -> Option<&Live> {
        self.generations.iter().find(|live| live.known.role == role)
    }
}

impl Live {
    pub(super) fn new(known: Generation, progress: Progress) -> Self {
        let projection = Projection::new(known.definition.clone());
        Self { known, progress, projection, delayed: None, hurry: Arc::default(), since: (Moment::now(), progress.events) }
    }

    /// Why it is not further, in words, if there is a reason; `failed`: why none is built any more.
    pub(super) fn why(&self, failed: Option<&str>) -> Option<String> {
        let delayed = || self.delayed.as_ref().map(|failure| failure.message.clone());
        self.why_stopped().or_else(|| failed.map(str::to_owned)).or_else(delayed)
    }

    /// Why it does not go on, in words; none if it does.
    pub(super) fn why_stopped(&self) -> Option<String> {
        self.known.stopped.as_ref().map(|stopped| match stopped {
            Stopped::Poison { event, failure, .. } => {
                format!("it stopped at the event {event}: {} ({})", failure.message, failure.code)
            }
            Stopped::Asked { by, note } => match (by.as_str(), note.as_str()) {
                ("", "") => "somebody stopped it".to_owned(),
                ("", note) => format!("somebody stopped it: {note}"),
                (by, "") => format!("{by} stopped it"),
                (by, note) => format!("{by} stopped it: {note}"),
            },
        })
    }
}
