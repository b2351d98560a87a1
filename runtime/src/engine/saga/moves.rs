//! Which sagas in flight could move to a component that is not deployed yet. A committed read, of at most so many sagas.

use std::sync::Arc;

use amends_core::{
    Definition, Plan, Saga,
    id::{Namespace, SagaId},
    view::Status,
};

use super::{
    load::Source,
    rows::{self, Summary},
    scan::{self, Budget, Go, Scanned},
};
use crate::{engine::guests::ModuleDigest, engine::module::schema, store::StoreError};

/// Sagas of the module that are told of: a person reads no more.
const LISTED_MAX: usize = 100;

/// Among sagas of other modules a plan still answers at once.
const BUDGET: Budget = Budget { rows_max: 10_000, sagas_max: LISTED_MAX + 1 };

/// A component to which sagas might move.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The module.
    pub module: String,
    /// SHA-256 of the component; sagas that run on it are no matter.
    pub digest: ModuleDigest,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
}

/// Which sagas in flight could move to a component.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Those that are stuck first, of each status the oldest first.
    pub sagas: Vec<Move>,
    /// There are more.
    pub is_cut: bool,
}

/// Whether one saga could move.
#[derive(Clone, Debug)]
pub struct Move {
    /// The saga.
    pub id: SagaId,
    /// The version that it runs on.
    pub version: u32,
    /// Where it stands.
    pub status: Status,
    /// What stands against it; none, and it could move now.
    pub obstacles: Vec<String>,
    /// Where its recorded input does not fit the schema of the new version. It is kept all the same.
    pub misfit: Option<String>,
}

/// Which sagas of the module could move to the candidate.
pub(crate) fn could_move(source: Source<'_>, namespace: &Namespace, candidate: &Candidate) -> Result<Moves, StoreError> {
    let targets = targets(&candidate.definitions);
    let mut sagas = Vec::new();
    let is_other = |summary: &Summary| summary.module == candidate.module && summary.digest != candidate.digest;
    // Those that need somebody come first.
    let is_cut = scan::sagas(source, namespace, rows::LIVE, BUDGET, is_other, |scanned| {
        if sagas.len() == LISTED_MAX {
            return Go::Enough;
        }
        let (summary, obstacles, misfit) = match scanned {
            Scanned::Saga(_, summary, saga) => {
                let (obstacles, misfit) = judged(&saga, &targets);
                (summary, obstacles, misfit)
            }
            Scanned::Unreadable(_, Some(summary), why) => (summary, vec![format!("it cannot be read: {why}")], None),
            Scanned::Unreadable(_, None, _) => return Go::On,
        };
        let Summary { id, version, status, .. } = summary;
        sagas.push(Move { id, version, status, obstacles, misfit });
        Go::On
    })?;
    Ok(Moves { sagas, is_cut })
}

/// What sagas could move to: a plan with the schema of its input.
struct Target {
    plan: Plan,
    schema: schema::Kept,
}

fn targets(definitions: &[Definition]) -> Vec<Target> {
    let all: Vec<Arc<Definition>> = definitions.iter().cloned().map(Arc::new).collect();
    let plans = all.iter().filter_map(|definition| Plan::new(Arc::clone(definition), &all).ok());
    plans.map(|plan| Target { plan, schema: schema::Kept::default() }).collect()
}

/// What stands against a move, and where the recorded input does not fit the new schema: it is kept as it is, and only the code
/// can say whether it copes.
fn judged(saga: &Saga, targets: &[Target]) -> (Vec<String>, Option<String>) {
    let name = &saga.started().definition;
    let Some(Target { plan, schema }) = targets.iter().find(|target| target.plan.definition().name == *name) else {
        return (vec![format!("the component has no saga `{name}`")], None);
    };
    let obstacles = saga.obstacles(plan).iter().map(ToString::to_string).collect();
    let misfit = plan.definition().schema.as_deref().and_then(|text| schema.misfit(text, &saga.started().input));
    (obstacles, misfit.map(|misfit| misfit.to_string()))
}
