//! A projection without its types: what the exports and the test kit call. Payloads in and out.

use super::reading::{Taken, Type};
use super::{Projection, View};
use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::projections::exports::amends::module::projection as wit;
use crate::recorded::{self, Erased, Raw, Recorded};
use crate::stop::Failure;
use crate::{host, payload};

/// A projection without its types.
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "the rules of the test kit ask for more"))]
pub(crate) trait Untyped {
    fn name(&self) -> &str;
    fn definition(&self) -> wit::Definition;
    fn project(&self, events: &[Raw]) -> Result<(), Failure>;
    fn query(&self, question: &wit::Question) -> Result<Payload, Failure>;
    /// The types that it reads, as often as it reads them.
    fn types(&self) -> Vec<&Type>;
    /// The queries that have a schema.
    fn schemas(&self) -> Vec<&str>;
}

impl<V: View> Untyped for Projection<V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn definition(&self) -> wit::Definition {
        let mut reads: Vec<wit::Reading> = Vec::new();
        for Type { name, versions } in self.types() {
            if !reads.iter().any(|known| known.event_type == *name) {
                reads.push(wit::Reading { event_type: name.clone(), versions: versions.clone() });
            }
        }
        let schema = |name: &str| self.schemas.iter().find(|(of, _)| of == name).map(|(_, schema)| schema.clone());
        let query = |name: &String| wit::QueryDefinition { name: name.clone(), schema: schema(name) };
        let queries = self.queries.iter().map(|(name, _)| query(name)).collect();
        wit::Definition { name: self.name.to_string(), reads, queries, rows_version: self.rows_version }
    }

    fn project(&self, events: &[Raw]) -> Result<(), Failure> {
        let mut batch = V::begin(&self.name);
        for event in events {
            host::projecting(event.into(), || self.take(&mut batch, event))?;
        }
        V::end(batch)
    }

    fn query(&self, question: &wit::Question) -> Result<Payload, Failure> {
        let wit::Question { name, parameters, .. } = question;
        let (_, query) = self
            .queries
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Failure::new("no_such_query", format_args!("{} has no query {name}", self.name)))?;
        let about = |failure: Failure| match failure.code.as_str() {
            "bad_parameters" => Failure { message: format!("{name} of {}: {}", self.name, failure.message), ..failure },
            _ => failure,
        };
        let answer = query.ask(&V::of(&self.name), parameters).map_err(about)?;
        if answer == "null" {
            let asked = payload::text(parameters).unwrap_or_default();
            return Err(Failure::new("not_found", format_args!("{} has nothing for {name} {asked}", self.name)));
        }
        Ok(payload::json(answer))
    }

    fn types(&self) -> Vec<&Type> {
        self.readings.iter().flat_map(|reading| &reading.types).collect()
    }

    fn schemas(&self) -> Vec<&str> {
        self.schemas.iter().map(|(query, _)| query.as_str()).collect()
    }
}

impl<V: View> Projection<V> {
    /// Takes an event in all ways that it is read.
    fn take(&self, batch: &mut V::Batch, event: &Raw) -> Result<(), Failure> {
        let (mut is_read, mut is_erased) = (false, false);
        for reading in self.readings.iter().filter(|reading| reading.types.iter().any(|known| known.name == event.event_type)) {
            is_read = true;
            is_erased |= matches!((reading.take)(batch, event)?, Taken::Erased);
        }
        match &self.on_erased {
            _ if !is_read => Err(recorded::unreadable(event, &format!("{} does not read its type", self.name))),
            Some(take) if is_erased => take(batch, Recorded::new(event, Erased)),
            _ => Ok(()),
        }
    }
}
