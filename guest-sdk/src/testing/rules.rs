//! The rules that the host checks at deploy, so that a unit test meets them first.

use crate::bindings::saga::exports::amends::module::saga::Kind;
use crate::saga::Definition;

pub(super) fn check(definition: &Definition) -> Result<(), String> {
    name(&definition.name)?;
    if definition.stages.iter().all(Vec::is_empty) {
        return Err("it has no step".to_owned());
    }
    let mut earlier: Vec<&str> = Vec::new();
    let mut returned = false;
    for stage in &definition.stages {
        if stage.is_empty() || stage.len() > 64 {
            return Err(format!("a stage has 1 to 64 steps, not {}", stage.len()));
        }
        let before = earlier.clone();
        for step in stage.iter().map(|step| &step.spec) {
            name(&step.name)?;
            if earlier.contains(&step.name.as_str()) {
                return Err(format!("two steps are named {}", step.name));
            }
            if let Some(missing) = step.needs.iter().find(|needed| !before.contains(&needed.as_str())) {
                return Err(format!("step {} needs {missing}, which is no step of an earlier stage", step.name));
            }
            match step.kind {
                Kind::Compensatable | Kind::Pivot if returned => {
                    return Err(format!("step {} comes after the point of no return; only retriable steps may", step.name));
                }
                Kind::Pivot if stage.len() > 1 => return Err(format!("pivot {} is not alone in its stage", step.name)),
                Kind::Compensatable | Kind::Pivot | Kind::Retriable => {}
            }
            earlier.push(&step.name);
        }
        let kinds = |kind| stage.iter().any(|step| step.spec.kind == kind);
        if kinds(Kind::Compensatable) && kinds(Kind::Retriable) {
            return Err("a stage mixes compensatable and retriable steps".to_owned());
        }
        returned |= kinds(Kind::Pivot) || kinds(Kind::Retriable);
    }
    match definition.output() {
        Some(output) if !earlier.contains(&output) => Err(format!("its output is that of {output}, which is no step of it")),
        _ => Ok(()),
    }
}

fn name(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters) && name.len() <= 63;
    if fits { Ok(()) } else { Err(format!("the name {name:?} is not of the form [a-z][a-z0-9-]{{0,62}}")) }
}
