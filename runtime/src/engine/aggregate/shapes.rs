//! Which forms of events there are in the journal: code that cannot read one of them is not activated.

use std::collections::{BTreeMap, HashMap};

use amends_core::{
    aggregate::{Definition, Shape},
    id::Namespace,
};

use super::resident::AggregateKey;
use crate::{
    engine::{
        kernel::{commit::Commit, row},
        module::Modules,
        refusal::{Refusal, RefusalCode},
    },
    journal::keys,
    store::{Position, Table},
};

/// The forms that have a row.
#[derive(Debug, Default)]
pub(crate) struct Shapes(BTreeMap<Namespace, HashMap<String, Vec<u32>>>);

impl Shapes {
    /// An event is recorded: the first one of its form has a row.
    pub(super) fn record(&mut self, commit: &mut Commit<'_>, key: &AggregateKey, event_type: &str, version: u32, at: Position) {
        let known = self.0.get(&key.namespace).and_then(|types| types.get(event_type));
        if known.is_some_and(|versions| versions.contains(&version)) {
            return;
        }
        self.insert(&key.namespace, event_type, version);
        commit.put(Table::Shapes, keys::shape(&key.namespace, event_type, version), row::encode(&at));
    }

    /// Those of a namespace.
    fn of(&self, namespace: &Namespace) -> Vec<Shape> {
        let types = self.0.get(namespace).into_iter().flatten();
        types.flat_map(|(event_type, versions)| versions.iter().map(|version| Shape::new(event_type.clone(), *version))).collect()
    }

    /// Refuses that versions become active, or a new one of these aggregates, if they give up another form than those that were accepted:
    /// commands may have recorded one since it was looked at.
    pub(crate) fn refuse_lost(
        &self,
        modules: &Modules,
        namespace: &Namespace,
        asked: &[(String, u32)],
        new: Option<(&str, &[Definition])>,
        accepted: &[Shape],
    ) -> Result<(), Refusal> {
        let lost = lost(modules, namespace, self.of(namespace), asked, new);
        match lost.into_iter().find(|shape| !accepted.contains(shape)) {
            Some(Shape { event_type, version, .. }) => {
                let said = format!("events of `{event_type}` in form {version} could not be read any more");
                Err(Refusal::new(RefusalCode::ShapesUnreadable, said).hint("they are new: look again what would be given up"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, namespace: &Namespace, event_type: &str, version: u32) {
        self.0.entry(namespace.clone()).or_default().entry(event_type.to_owned()).or_default().push(version);
    }
}

/// Of the recorded forms those that can be read now and not afterwards, where the aggregates' modules change; and those that nobody has
/// now and that a module takes without reading them.
pub(crate) fn lost(
    modules: &Modules,
    namespace: &Namespace,
    shapes: Vec<Shape>,
    asked: &[(String, u32)],
    new: Option<(&str, &[Definition])>,
) -> Vec<Shape> {
    let mut after: BTreeMap<&str, &Definition> = BTreeMap::new();
    for (module, version) in asked {
        let facts = modules.get(namespace, module).and_then(|module| module.versions.get(version));
        let aggregates = facts.into_iter().flat_map(|facts| &facts.aggregates);
        after.extend(aggregates.map(|known| (known.definition.name.as_str(), known.definition.as_ref())));
    }
    after.extend(new.iter().flat_map(|(_, aggregates)| *aggregates).map(|known| (known.name.as_str(), known)));
    let changes = |owner: &str| asked.iter().any(|(module, _)| module == owner) || new.is_some_and(|(module, _)| module == owner);
    let is_lost = |shape: &Shape| {
        let is_read_then = after.get(shape.aggregate.as_str()).map(|definition| definition.reads(shape));
        match modules.aggregate(namespace, &shape.aggregate) {
            // What cannot be read now is not lost by the change.
            Some(active) if changes(active.module) => active.aggregate.definition.reads(shape) && is_read_then != Some(true),
            Some(_) => false,
            // Nobody has it now: who takes it must be able to read it.
            None => is_read_then == Some(false),
        }
    };
    shapes.into_iter().filter(is_lost).collect()
}
