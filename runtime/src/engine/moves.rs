//! Which sagas in flight could move to a component that is not deployed yet. A committed read, of at most so many sagas.

use std::sync::Arc;

use amends_core::{Definition, Plan, Saga, id::Namespace};

use crate::{
    engine::{
        load::{self, LoadError},
        modules::Definitions,
        port::{Candidate, Move, Moves},
        rows, schema,
    },
    store::{Position, Store, StoreError},
};

/// Sagas of the module that are told of: a person reads no more.
const LISTED_MAX: usize = 100;

/// Rows that are looked at for them: among sagas of other modules a plan still answers at once.
const EXAMINED_MAX: usize = 10_000;

/// Rows read at a time.
const PAGE: usize = 256;

/// Which sagas of the module could move to the candidate.
pub(crate) fn could_move(
    store: &dyn Store,
    definitions: &Definitions,
    namespace: &Namespace,
    candidate: &Candidate,
) -> Result<Moves, StoreError> {
    let targets = targets(&candidate.definitions);
    let mut moves = Moves::default();
    let mut examined = 0;
    // Those that need somebody come first.
    for status in rows::LIVE {
        let mut after: Position = 0;
        loop {
            let page = rows::of_status(store, status, after, PAGE)?;
            for stream in &page {
                let Some(summary) = rows::summary_at(store, *stream)? else { continue };
                let other = summary.namespace != *namespace || summary.module != candidate.module;
                if other || summary.digest == candidate.digest {
                    continue;
                }
                if moves.sagas.len() == LISTED_MAX {
                    return Ok(Moves { is_cut: true, ..moves });
                }
                let key = (summary.namespace, summary.id);
                let (obstacles, misfit) = match load::saga(store, definitions, &key) {
                    Ok(loaded) => judged(&loaded.saga, &targets),
                    // It ended meanwhile, or was never whole.
                    Err(LoadError::NotFound) => continue,
                    Err(error) => (vec![format!("it cannot be read: {error}")], None),
                };
                moves.sagas.push(Move { id: key.1, version: summary.version, status, obstacles, misfit });
            }
            examined += page.len();
            match page.last() {
                Some(last) if page.len() == PAGE && examined < EXAMINED_MAX => after = *last,
                Some(_) if page.len() == PAGE => return Ok(Moves { is_cut: true, ..moves }),
                _ => break,
            }
        }
    }
    Ok(moves)
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
