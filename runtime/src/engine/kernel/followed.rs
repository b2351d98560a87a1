//! Types of events that somebody follows, and those of which one was recorded: who follows them reads on then.

use std::collections::{HashMap, HashSet};

use amends_core::id::Namespace;

/// What is followed, and what is new.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    types: HashMap<Namespace, HashSet<String>>,
    news: Vec<(Namespace, String)>,
}

impl Followed {
    /// In this namespace these types are followed from now on, and no others.
    pub(crate) fn set(&mut self, namespace: &Namespace, types: HashSet<String>) {
        match types.is_empty() {
            true => drop(self.types.remove(namespace)),
            false => drop(self.types.insert(namespace.clone(), types)),
        }
    }

    /// An event of this type was recorded.
    pub(super) fn recorded(&mut self, namespace: &Namespace, event_type: &str) {
        let is_followed = self.types.get(namespace).is_some_and(|types| types.contains(event_type));
        let is_new = |(at, known): &(Namespace, String)| at != namespace || known != event_type;
        if is_followed && self.news.iter().all(is_new) {
            self.news.push((namespace.clone(), event_type.to_owned()));
        }
    }

    /// The types of which one was recorded since this was asked last, each once.
    pub(crate) fn take_news(&mut self) -> Vec<(Namespace, String)> {
        std::mem::take(&mut self.news)
    }
}
