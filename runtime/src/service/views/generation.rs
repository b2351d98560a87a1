//! What is known of a generation of a view: a build of its rows by one component, from the first event on.

use amends_core::{
    id::Namespace,
    projection::Definition,
    value::{Failure, Instant},
};
use serde::{Deserialize, Serialize};

use super::Offer;
use crate::{engine::guests::ModuleDigest, journal, store::Position};

/// What is known of a generation beside its rows and how far it has read; kept in the file of the views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Counted through all generations of all views, from 1.
    pub number: u64,
    /// Where its projection is.
    pub namespace: Namespace,
    /// The module that builds it.
    pub module: String,
    /// The version of that.
    pub version: u32,
    /// And its component, which answers from the rows too.
    pub digest: ModuleDigest,
    /// The projection as that component declares it.
    pub definition: Definition,
    /// What it is for.
    pub role: Role,
    /// The life of the journal that it was made of.
    pub journal: u32,
    /// When it was begun.
    pub begun_at: Instant,
    /// Why it does not go on, if it does not.
    pub stopped: Option<Stopped>,
    /// Events that it left out, because somebody said so.
    pub skipped: Vec<Skipped>,
    /// Somebody wanted it to answer instead of this component, which is active: it does so until another one is.
    #[serde(default)]
    pub instead_of: Option<ModuleDigest>,
}

/// What a generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is built aside, and becomes the active one when it has read everything.
    Building,
    /// It answers.
    Active,
    /// It answered before the active one, and goes on, so that it can answer again at once.
    Previous,
}

/// Why a generation does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The module cannot take this event.
    Poison {
        /// Where the event is.
        position: Position,
        /// Which one.
        event: String,
        /// What the module said, or what ended it.
        failure: Failure,
    },
    /// Somebody wanted it.
    Asked {
        /// Why.
        note: String,
        /// Who.
        by: String,
    },
}

/// An event that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Where it is.
    pub position: Position,
    /// Which one.
    pub event: String,
    /// Why it was left out.
    pub note: String,
    /// Who wanted it.
    pub by: String,
    /// When.
    pub at: Instant,
}

impl Generation {
    /// A generation that has read nothing yet.
    pub(super) fn new(number: u64, offer: &Offer, role: Role, now: Instant) -> Self {
        Self {
            number,
            namespace: offer.namespace.clone(),
            module: offer.module.clone(),
            version: offer.version,
            digest: offer.digest,
            definition: offer.projection.definition.as_ref().clone(),
            role,
            journal: journal::GENERATION,
            begun_at: now,
            stopped: None,
            skipped: Vec::new(),
            instead_of: None,
        }
    }

    /// Whether its rows serve what is offered: they were built by the same component, or by one whose rows have the same version and
    /// whose projection reads the same events.
    pub(super) fn serves(&self, offer: &Offer) -> bool {
        let (mine, theirs) = (&self.definition, &offer.projection.definition);
        let reads = |definition: &Definition| {
            let mut types: Vec<String> = definition.reads.iter().map(|reading| reading.event_type.clone()).collect();
            types.sort_unstable();
            types
        };
        let is_same_form =
            mine.rows_version.is_some() && mine.rows_version == theirs.rows_version && reads(mine) == reads(theirs);
        self.digest == offer.digest || is_same_form
    }

    /// Goes on with another component, whose rows it serves. At an event that the one before could not take, that one is asked again.
    pub(super) fn adopt(&mut self, offer: &Offer) -> bool {
        if self.digest == offer.digest {
            return false;
        }
        (self.module, self.version, self.digest) = (offer.module.clone(), offer.version, offer.digest);
        self.definition = offer.projection.definition.as_ref().clone();
        self.stopped.take_if(|stopped| matches!(stopped, Stopped::Poison { .. }));
        true
    }

    /// The types that it reads.
    pub(super) fn types(&self) -> Vec<String> {
        self.definition.reads.iter().map(|reading| reading.event_type.clone()).collect()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
