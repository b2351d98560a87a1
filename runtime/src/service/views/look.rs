//! How views are shown: their generations, how far each is, and what it has not read yet.

use std::time::Instant as Moment;

use amends_core::{id::Namespace, projection::Definition, value::Instant};

use super::{
    Views,
    generation::{Role, Skipped, Stopped},
    no_view,
    state::{Live, View},
};
use crate::{
    engine::{
        recorded,
        refusal::{Refusal, RefusalCode},
    },
    store::{Position, StoreError},
};

/// A view.
#[derive(Clone, Debug)]
pub struct ProjectionView {
    /// The projection's name.
    pub name: String,
    /// The active one first, then what is built, then the one before.
    pub generations: Vec<GenerationView>,
    /// Why nothing is built any more, if the file of the views failed.
    pub failed: Option<String>,
}

/// A generation of a view.
#[derive(Clone, Debug)]
pub struct GenerationView {
    /// Counted through all generations of all views.
    pub number: u64,
    /// What it is for.
    pub role: Role,
    /// The module whose code builds it and answers from it.
    pub module: String,
    /// And its version.
    pub version: u32,
    /// What that declares.
    pub definition: Definition,
    /// When it was begun.
    pub begun_at: Instant,
    /// How many events are in it.
    pub events: u64,
    /// Everything up to here that it reads is in it.
    pub through: Position,
    /// Events that it has not taken yet, counted up to 10,000.
    pub lag: u64,
    /// When the first of them was recorded.
    pub waiting_since: Option<Instant>,
    /// Events that it took in a second, since it or the host began.
    pub rate: u64,
    /// Why it does not go on.
    pub stopped: Option<Stopped>,
    /// Why the host cannot ask its code now.
    pub delayed: Option<String>,
    /// What it left out.
    pub skipped: Vec<Skipped>,
}

/// Events that a generation has not taken are counted up to so many.
const LAG_MAX: u64 = 10_000;

/// A generation before its lag is counted.
type Standing = (GenerationView, Vec<String>);

impl Views {
    /// The views of a namespace, by name. Blocks for some store reads.
    pub fn list(&self, namespace: &Namespace) -> Result<Vec<ProjectionView>, Refusal> {
        let (standing, failed) = {
            let state = self.0.state();
            let of_namespace = state.views.iter().filter(|((at, _), _)| at == namespace);
            let standing: Vec<(String, Vec<Standing>)> =
                of_namespace.map(|((_, name), view)| (name.clone(), standing(view))).collect();
            (standing, state.failed.clone())
        };
        standing.into_iter().map(|(name, standing)| self.counted(namespace, name, standing, failed.clone())).collect()
    }

    /// One view. Blocks for some store reads.
    pub fn show(&self, namespace: &Namespace, name: &str) -> Result<ProjectionView, Refusal> {
        let (standing, failed) = {
            let state = self.0.state();
            let key = (namespace.clone(), name.to_owned());
            let view = state.views.get(&key).ok_or_else(|| no_view(&state, &key))?;
            (standing(view), state.failed.clone())
        };
        self.counted(namespace, name.to_owned(), standing, failed)
    }

    fn counted(
        &self,
        namespace: &Namespace,
        name: String,
        standing: Vec<Standing>,
        failed: Option<String>,
    ) -> Result<ProjectionView, Refusal> {
        let count = |(view, types): Standing| {
            let store = self.0.store.as_ref();
            let lag = recorded::count(store, namespace, &types, view.through, LAG_MAX as usize)? as u64;
            let waiting_since = match lag {
                0 => None,
                _ => recorded::first_at(store, namespace, &types, view.through)?,
            };
            Ok(GenerationView { lag, waiting_since, ..view })
        };
        let generations = standing.into_iter().map(count).collect::<Result<_, StoreError>>();
        let generations = generations.map_err(|error| Refusal::new(RefusalCode::StorageFailed, error.to_string()))?;
        Ok(ProjectionView { name, generations, failed })
    }
}

fn standing(view: &View) -> Vec<Standing> {
    let mut all: Vec<&Live> = view.generations.iter().collect();
    all.sort_by_key(|live| match live.known.role {
        Role::Active => 0,
        Role::Building => 1,
        Role::Previous => 2,
    });
    all.into_iter().map(of_generation).collect()
}

fn of_generation(live: &Live) -> Standing {
    let (known, progress) = (&live.known, live.progress);
    let (since, before) = live.since;
    let ms = Moment::now().saturating_duration_since(since).as_millis().max(1) as u64;
    let view = GenerationView {
        number: known.number,
        role: known.role,
        module: known.module.clone(),
        version: known.version,
        definition: known.definition.clone(),
        begun_at: known.begun_at,
        events: progress.events,
        through: progress.through,
        lag: 0,
        waiting_since: None,
        rate: progress.events.saturating_sub(before).saturating_mul(1_000) / ms,
        stopped: known.stopped.clone(),
        delayed: live.delayed.as_ref().map(|failure| failure.message.clone()),
        skipped: known.skipped.clone(),
    };
    (view, known.types())
}
