//! Projections.

use std::rc::Rc;

use crate::projection::Untyped;
use crate::testing::plain::is_event_type;

const TYPES_MAX: usize = 256;
const QUERIES_MAX: usize = 64;

pub(super) fn check(projections: &[Rc<dyn Untyped>], problems: &mut Vec<String>) {
    for (index, projection) in projections.iter().enumerate() {
        let name = projection.name();
        let mut found = |problem: String| problems.push(format!("projection `{name}`: {problem}"));
        if let Err(bad) = super::name(name) {
            found(bad);
        }
        if projections[..index].iter().any(|earlier| earlier.name() == name) {
            found("another projection of the module has this name; give each its own".to_owned());
        }
        check_types(&**projection, &mut found);
        check_queries(&**projection, &mut found);
    }
}

fn check_types(projection: &dyn Untyped, found: &mut impl FnMut(String)) {
    match projection.definition().reads.len() {
        0 => found("it reads no events; add `on` or `on_published`".to_owned()),
        types if types > TYPES_MAX => found(format!("it reads events of {types} types; at most {TYPES_MAX}")),
        _ => {}
    }
    let types = projection.types();
    for (index, of) in types.iter().enumerate() {
        let event = of.name.escape_debug();
        if !is_event_type(&of.name) {
            found(format!("nobody can publish an event `{event}`; a type has 1 to 255 printable bytes"));
        }
        // One of the two would stop at an event that the other reads.
        if types[..index].iter().any(|earlier| earlier.name == of.name && earlier.versions != of.versions) {
            found(format!("two enums read different versions of `{event}`; read it with the same one"));
        }
    }
}

fn check_queries(projection: &dyn Untyped, found: &mut impl FnMut(String)) {
    let queries = projection.definition().queries;
    match queries.len() {
        0 => found("nobody can ask it anything; add a `query`".to_owned()),
        count if count > QUERIES_MAX => found(format!("it has {count} queries; at most {QUERIES_MAX}")),
        _ => {}
    }
    for (index, query) in queries.iter().enumerate() {
        if let Err(bad) = super::name(&query.name) {
            found(format!("a query: {bad}"));
        }
        if queries[..index].iter().any(|earlier| earlier.name == query.name) {
            found(format!("another query is named `{}` too; give each its own name", query.name));
        }
    }
    let schemas = projection.schemas();
    for (index, query) in schemas.iter().enumerate() {
        if !queries.iter().any(|known| known.name == *query) {
            found(format!("there is a schema for `{query}`, which is none of its queries"));
        }
        if schemas[..index].contains(query) {
            found(format!("there are two schemas for `{query}`; leave one out"));
        }
    }
}
