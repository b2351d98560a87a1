//! The order of kinds: `compensatable* pivot? retriable*`.

use super::Found;
use crate::bindings::saga::exports::amends::module::saga::{Kind, Step};

pub(super) fn check(found: &mut Found<'_>) {
    let mut pivot: Option<&Step> = None;
    let mut retriable: Option<&Step> = None;
    for stage in &found.saga.stages {
        for step in &stage.steps {
            if let Some(problem) = misplaced(step.kind, pivot, retriable) {
                found.step(step, problem);
            }
            match step.kind {
                Kind::Compensatable => {}
                Kind::Pivot => pivot = pivot.or(Some(step)),
                Kind::Retriable => retriable = retriable.or(Some(step)),
            }
            if step.kind == Kind::Pivot && stage.steps.len() > 1 {
                found.step(step, "it is a pivot and shares its stage; give it a stage of its own");
            }
        }
        let of_kind = |kind| stage.steps.iter().find(|step| step.kind == kind);
        if let (Some(step), Some(Step { name, .. })) = (of_kind(Kind::Retriable), of_kind(Kind::Compensatable)) {
            let shares = "it is retriable and shares a stage with the compensatable step";
            found.step(step, format_args!("{shares} `{name}`; move it to a later stage"));
        }
    }
}

/// What is wrong with a step of this kind after this pivot or this retriable step.
fn misplaced(kind: Kind, pivot: Option<&Step>, retriable: Option<&Step>) -> Option<String> {
    match (kind, pivot, retriable) {
        (Kind::Compensatable, Some(Step { name, .. }), _) => {
            Some(format!("it is compensatable after the pivot `{name}`; put it before, or make it retriable"))
        }
        (Kind::Compensatable, None, Some(Step { name, .. })) => {
            let after = "it is compensatable after the retriable step";
            Some(format!("{after} `{name}`, from which there is no way back; put it before"))
        }
        (Kind::Pivot, Some(Step { name, .. }), _) => Some(format!("it is a second pivot after `{name}`; a saga has at most one")),
        (Kind::Pivot, None, Some(Step { name, .. })) => {
            Some(format!("it is a pivot after the retriable step `{name}`; put it before"))
        }
        (Kind::Compensatable | Kind::Pivot, None, None) | (Kind::Retriable, _, _) => None,
    }
}
