//! Which views have an event, and since when.

use std::sync::Arc;

use amends_core::id::Namespace;

use super::{
    Shared, Views,
    generation::{Generation, Role},
    state::Live,
};
use crate::{
    service::reader::{ReadingState, ViewReading},
    store::Position,
};

/// The views of a namespace that answer, as of one moment.
pub struct Readers {
    shared: Arc<Shared>,
    views: Vec<Standing>,
}

/// A view and how far it was.
struct Standing {
    known: Generation,
    through: Position,
    /// It goes no further.
    is_stopped: bool,
    why: Option<String>,
}

impl Views {
    /// The views of a namespace that answer, as they are now.
    pub fn readers(&self, namespace: &Namespace) -> Readers {
        let state = self.0.state();
        let standing = |live: &Live| Standing {
            known: live.known.clone(),
            through: live.progress.through,
            is_stopped: live.known.stopped.is_some() || state.failed.is_some(),
            why: live.why(state.failed.as_deref()),
        };
        let of_namespace = state.views.iter().filter(|((at, _), _)| at == namespace);
        let views = of_namespace.filter_map(|(_, view)| view.of_role(Role::Active)).map(standing).collect();
        Readers { shared: Arc::clone(&self.0), views }
    }
}

impl Readers {
    /// Those that read events of a type, by name, and whether each has the one at a position. Blocks for some store reads.
    pub fn of(&self, event_type: &str, position: Position) -> Vec<ViewReading> {
        let reads = |view: &&Standing| view.known.definition.reads.iter().any(|reading| reading.event_type == event_type);
        self.views.iter().filter(reads).map(|view| self.reading(view, position)).collect()
    }

    fn reading(&self, view: &Standing, position: Position) -> ViewReading {
        let known = &view.known;
        let state = match known.skipped.iter().any(|skipped| skipped.position == position) {
            true => ReadingState::Skipped,
            false if position <= view.through => ReadingState::Taken,
            false if view.is_stopped => ReadingState::Stopped,
            false => ReadingState::Behind,
        };
        // When it was is no reason not to say that it was.
        let taken_at = || self.shared.file.taken_at(known.number, position).unwrap_or_default();
        ViewReading {
            view: known.definition.name.clone(),
            generation: known.number,
            module: known.module.clone(),
            version: known.version,
            state,
            taken_at: if state == ReadingState::Taken { taken_at() } else { None },
            why: match state {
                ReadingState::Behind | ReadingState::Stopped => view.why.clone(),
                ReadingState::Taken | ReadingState::Skipped => None,
            },
        }
    }
}
