//! What a module declares of a projection, and the rules of that: a view is made of events, by code that the core does not know.

use serde::{Deserialize, Serialize};

use crate::{id::Name, plain::shown, trigger::is_event_type};

/// What a module declares of a projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name, which no other module of the namespace has.
    pub name: String,
    /// The events that it takes.
    pub reads: Vec<Reading>,
    /// What it can be asked.
    pub queries: Vec<QueryDefinition>,
    /// Rows serve all components that have the same number here; none: only the one that built them.
    pub rows_version: Option<u32>,
}

/// Events of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// `customer.opened`, or the type of a published event.
    pub event_type: String,
    /// The forms of its data that can be read.
    pub versions: Vec<u32>,
}

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryDefinition {
    /// Its name.
    pub name: String,
    /// A JSON Schema of its parameters.
    pub schema: Option<String>,
}

/// The most projections of a module.
const PROJECTIONS_MAX: usize = 64;

/// The most types of events that a projection reads.
const READS_MAX: usize = 256;

/// The most forms of an event that it reads.
const VERSIONS_MAX: usize = 256;

/// The most queries of a projection.
const QUERIES_MAX: usize = 64;

impl Definition {
    /// The query of this name.
    pub fn query(&self, name: &str) -> Option<&QueryDefinition> {
        self.queries.iter().find(|query| query.name == name)
    }

    /// Whether it can read events of this type in this form.
    pub fn can_read(&self, event_type: &str, version: u32) -> bool {
        self.reads.iter().any(|reading| reading.event_type == event_type && reading.versions.contains(&version))
    }
}

/// Every rule that a module's projections break, each as a sentence that names the projection.
pub fn problems(projections: &[Definition]) -> Vec<String> {
    let mut found = Vec::new();
    if projections.len() > PROJECTIONS_MAX {
        found.push(format!("the module has {} projections; at most {PROJECTIONS_MAX}", projections.len()));
    }
    for (index, projection) in projections.iter().take(PROJECTIONS_MAX).enumerate() {
        let name = shown(&projection.name);
        let mut problem = |said: String| found.push(format!("projection `{name}`: {said}"));
        if let Err(bad) = Name::new(&projection.name) {
            problem(bad.to_string());
        }
        if projections[..index].iter().any(|other| other.name == projection.name) {
            problem("it is defined twice".to_owned());
        }
        of_reads(&projection.reads, &mut problem);
        of_queries(&projection.queries, &mut problem);
    }
    found
}

fn of_reads(reads: &[Reading], problem: &mut impl FnMut(String)) {
    if !(1..=READS_MAX).contains(&reads.len()) {
        problem(format!("it reads {} types of events; a projection reads 1 to {READS_MAX}", reads.len()));
    }
    for (index, Reading { event_type, versions }) in reads.iter().take(READS_MAX).enumerate() {
        let shown = shown(event_type);
        if !is_event_type(event_type) {
            problem(format!("event `{shown}`: a type has 1 to 255 printable bytes"));
        }
        if reads[..index].iter().any(|other| other.event_type == *event_type) {
            problem(format!("event `{shown}` is read twice"));
        }
        if !(1..=VERSIONS_MAX).contains(&versions.len()) || versions.contains(&0) {
            problem(format!("event `{shown}`: name 1 to {VERSIONS_MAX} versions that it can read, which count from 1"));
        }
    }
}

fn of_queries(queries: &[QueryDefinition], problem: &mut impl FnMut(String)) {
    if !(1..=QUERIES_MAX).contains(&queries.len()) {
        problem(format!("it has {} queries; a projection has 1 to {QUERIES_MAX}", queries.len()));
    }
    for (index, query) in queries.iter().take(QUERIES_MAX).enumerate() {
        if let Err(bad) = Name::new(&query.name) {
            problem(format!("query `{}`: {bad}", shown(&query.name)));
        }
        if queries[..index].iter().any(|other| other.name == query.name) {
            problem(format!("query `{}` is defined twice", shown(&query.name)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    fn orders() -> Definition {
        let reading = |event_type: &str, versions: &[u32]| Reading { event_type: event_type.into(), versions: versions.to_vec() };
        Definition {
            name: "order-history".into(),
            reads: vec![reading("order.created", &[1, 2]), reading("payment", &[1])],
            queries: vec![QueryDefinition { name: "by-customer".into(), schema: None }],
            rows_version: None,
        }
    }

    #[test]
    fn a_definition_that_keeps_the_rules_has_no_problem() {
        assert_eq!(problems(&[orders()]), Vec::<String>::new());
        assert!(orders().can_read("order.created", 2) && !orders().can_read("order.created", 3));
    }

    #[test]
    fn every_rule_that_is_broken_is_named_with_its_projection() {
        let mut broken = orders();
        broken.reads[1] = Reading { event_type: "order.created".into(), versions: vec![0] };
        broken.reads.push(Reading { event_type: "a\u{1b}".into(), versions: Vec::new() });
        broken.queries.push(QueryDefinition { name: "by-customer".into(), schema: None });
        broken.queries.push(QueryDefinition { name: "By".into(), schema: None });
        let empty = Definition { name: "Orders".into(), reads: Vec::new(), queries: Vec::new(), ..orders() };
        let told = problems(&[broken, empty, orders()]).join("\n");
        let expected = "\
projection `order-history`: event `order.created` is read twice
projection `order-history`: event `order.created`: name 1 to 256 versions that it can read, which count from 1
projection `order-history`: event `a\u{1b}`: a type has 1 to 255 printable bytes
projection `order-history`: event `a\u{1b}`: name 1 to 256 versions that it can read, which count from 1
projection `order-history`: query `by-customer` is defined twice
projection `order-history`: query `By`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
projection `Orders`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
projection `Orders`: it reads 0 types of events; a projection reads 1 to 256
projection `Orders`: it has 0 queries; a projection has 1 to 64
projection `order-history`: it is defined twice";
        assert_eq!(told, expected);
    }
}
