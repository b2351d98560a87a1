//! The order of kinds: `compensatable* pivot? retriable*`.

use super::Found;
use crate::bindings::saga::exports::amends::module::saga::{Kind, Step};

pub(super) fn check(found: &mut Found<'_>) {
    let mut pivot: Option<&Step> = None;
    let mut retriable: Option<&Step> = None;
    for stage in &found.saga.stages {
        for step in &stage.steps {
            match (step.kind, pivot, retriable) {
                (Kind::Compensatable, Some(pivot), _) => {
                    let pivot = &pivot.name;
                    found.step(
                        step,
                        format_args!("it is compensatable after the pivot `{pivot}`; put it before, or make it retriable"),
                    );
                }
                (Kind::Compensatable, None, Some(retriable)) => found.step(
                    step,
                    format_args!(
                        "it is compensatable after the retriable step `{}`, from which there is no way back; put it before",
                        retriable.name
                    ),
                ),
                (Kind::Pivot, Some(first), _) => {
                    found.step(step, format_args!("it is a second pivot after `{}`; a saga has at most one", first.name))
                }
                (Kind::Pivot, None, Some(retriable)) => {
                    found.step(step, format_args!("it is a pivot after the retriable step `{}`; put it before", retriable.name))
                }
                (Kind::Compensatable | Kind::Pivot, None, None) | (Kind::Retriable, _, _) => {}
            }
            match step.kind {
                Kind::Compensatable => {}
                Kind::Pivot => {
                    if stage.steps.len() > 1 {
                        found.step(step, "it is a pivot and shares its stage; give it a stage of its own");
                    }
                    pivot = pivot.or(Some(step));
                }
                Kind::Retriable => retriable = retriable.or(Some(step)),
            }
        }
        let of_kind = |kind| stage.steps.iter().find(|step| step.kind == kind);
        if let (Some(step), Some(other)) = (of_kind(Kind::Retriable), of_kind(Kind::Compensatable)) {
            let other = &other.name;
            found.step(
                step,
                format_args!(
                    "it is retriable and shares a stage with the compensatable step `{other}`; move it to a later stage"
                ),
            );
        }
    }
}
