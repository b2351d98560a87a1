//! Aggregates. What their enums could break, as a name that is there twice, does not compile.

use std::rc::Rc;

use crate::aggregate::Untyped;

pub(super) fn check(aggregates: &[Rc<dyn Untyped>], problems: &mut Vec<String>) {
    for (index, aggregate) in aggregates.iter().enumerate() {
        let name = aggregate.name();
        let mut found = |problem: String| problems.push(format!("aggregate `{name}`: {problem}"));
        if let Err(bad) = super::name(name) {
            found(bad);
        }
        if aggregates[..index].iter().any(|earlier| earlier.name() == name) {
            found("another aggregate of the module has this name; give each its own".to_owned());
        }
        if let Some(other) = aggregate.events_of().filter(|other| *other != name) {
            found(format!("its events say `#[event(aggregate = {other:?})]`; give both the same name"));
        }
        if let Some(other) = aggregate.commands_of().filter(|other| *other != name) {
            found(format!("its commands say `#[command(aggregate = {other:?})]`; give both the same name"));
        }
        check_schemas(&**aggregate, &mut found);
    }
}

fn check_schemas(aggregate: &dyn Untyped, found: &mut impl FnMut(String)) {
    let (commands, schemas) = (aggregate.definition().commands, aggregate.schemas());
    for (index, command) in schemas.iter().enumerate() {
        if !commands.iter().any(|known| known.name == *command) {
            found(format!("there is a schema for `{command}`, which is none of its commands"));
        }
        if schemas[..index].contains(command) {
            found(format!("there are two schemas for `{command}`; leave one out"));
        }
    }
}
