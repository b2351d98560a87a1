//! Which types of aggregates' events some saga waits for. An event of another type costs no read.

use std::collections::HashMap;

use amends_core::id::Namespace;

use super::{Sagas, resident::Flushed};
use crate::{
    engine::kernel::reads::{Reads, Unready},
    journal::keys,
};

/// What is known of types of events, as far as somebody asked. That of a type some saga has once waited stays, until the host ends.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_type: HashMap<Namespace, HashMap<String, bool>>,
}

impl Listeners {
    /// The rows say that a saga waits for these.
    pub(super) fn note(&mut self, namespace: &Namespace, flushed: &Flushed) {
        if flushed.topics.is_empty() {
            return;
        }
        let Some(types) = self.by_type.get_mut(namespace) else { return };
        for topic in &flushed.topics {
            // What nobody asked about is read when somebody does.
            if let Some(listens) = types.get_mut(&topic.event_type) {
                *listens = true;
            }
        }
    }
}

impl Sagas {
    /// Whether some saga may wait for events of a type that an aggregate declares.
    pub(crate) fn listens(&mut self, reads: &mut Reads<'_>, namespace: &Namespace, event_type: &str) -> Result<bool, Unready> {
        let known = self.listeners.by_type.get(namespace).and_then(|types| types.get(event_type));
        if let Some(listens) = known {
            return Ok(*listens);
        }
        // Where the only row that was read is deleted by what is on its way, there may be others behind it.
        let page = reads.rows(&keys::waits_of_type(namespace, event_type, 1))?;
        let listens = !page.rows.is_empty() || page.end.is_some();
        self.listeners.by_type.entry(namespace.clone()).or_default().insert(event_type.to_owned(), listens);
        Ok(listens)
    }
}
