//! One call of one step, with everything that it may know.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Leg;
use crate::bindings::imports::amends::module::types::{Named, Payload};
use crate::bindings::saga::exports::amends::module::saga::{Call as WitCall, Direction, Undo};
use crate::step::Erased;
use crate::testing::course::Course;
use crate::testing::tries::Tries;
use crate::{Call, host};

/// Which step of which saga this is, and what it gets.
pub(in crate::testing) struct Place {
    /// The saga's definition, in a child too.
    pub(in crate::testing) definition: Rc<str>,
    pub(in crate::testing) path: String,
    pub(in crate::testing) element: Option<String>,
    pub(in crate::testing) input: Payload,
    /// What the step needs of earlier ones.
    pub(in crate::testing) outputs: Rc<[Named]>,
    /// The outputs, by their steps, in which a command finds its id and its data.
    pub(in crate::testing) sources: Rc<Map<String, Value>>,
}

impl Leg {
    /// Runs the open attempt of this direction.
    pub(super) fn inside<T>(&self, direction: Direction, course: &Course, run: fn(&Erased, &Call) -> T) -> T {
        let (call, tries) = (self.call(direction, course), self.in_direction(direction));
        course.world.begin(&call, tries.ready, self.is_effect_free(direction), tries.commands);
        host::inside(course.world.clone(), || run(&self.step, &call))
    }

    /// What the step, or its compensation, declares.
    fn is_effect_free(&self, direction: Direction) -> bool {
        match (direction, &self.step.spec.undo) {
            (Direction::Undo, Undo::Code(policy)) => policy.effect_free,
            (Direction::Undo, Undo::None | Undo::Nothing) => false,
            (Direction::Forward | Direction::Check, _) => self.step.spec.effect_free,
        }
    }

    fn in_direction(&self, direction: Direction) -> &Tries {
        match direction {
            Direction::Forward => &self.way.forward,
            Direction::Undo => &self.way.undo,
            Direction::Check => &self.way.check,
        }
    }

    pub(super) fn in_direction_mut(&mut self, direction: Direction) -> &mut Tries {
        match direction {
            Direction::Forward => &mut self.way.forward,
            Direction::Undo => &mut self.way.undo,
            Direction::Check => &mut self.way.check,
        }
    }

    pub(super) fn call(&self, direction: Direction, course: &Course) -> Call {
        let (spec, way, place) = (&self.step.spec, &self.way, &self.place);
        let alternate = part("alternate", way.alternate);
        let forward_key = format!("{}/{}{alternate}{}", course.id, place.path, part("round", self.round));
        let tries = self.in_direction(direction);
        let (key, deadline_ms) = match (direction, &spec.undo) {
            (Direction::Undo, Undo::Code(policy)) => {
                (format!("{forward_key}/undo{}", part("alternate", way.undo_alternate)), policy.deadline_ms)
            }
            (Direction::Undo, Undo::None | Undo::Nothing) => (format!("{forward_key}/undo"), 0),
            (Direction::Forward, _) => (forward_key.clone(), spec.deadline_ms),
            (Direction::Check, _) => (format!("{forward_key}/check"), spec.deadline_ms),
        };
        // What began a round is told in that round only: the host keeps no older one.
        let cause = way.cause.as_ref().filter(|_| way.alternate > 0 || self.round == course.round);
        let failures = [tries.last_failure.as_ref(), way.forward.last_failure.as_ref(), cause];
        Call::new(WitCall {
            saga: course.id.clone(),
            definition: place.definition.to_string(),
            step: spec.name.clone(),
            path: place.path.clone(),
            element: place.element.clone(),
            direction,
            alternate: way.alternate,
            undo_alternate: if direction == Direction::Undo { way.undo_alternate } else { 0 },
            round: self.round,
            attempt: tries.attempt,
            key,
            forward_key,
            deadline_at: (course.now() + Duration::from_millis(deadline_ms)).as_millis(),
            input: place.input.clone(),
            outputs: place.outputs.to_vec(),
            own_output: if direction == Direction::Undo { self.output().cloned() } else { None },
            last_failure: failures.into_iter().flatten().next().cloned(),
            rollback_cause: way.undone_for.clone().filter(|_| direction == Direction::Undo),
            may_have_run: direction == Direction::Check || tries.may_have_run,
            arrived: tries.arrived.clone(),
        })
    }
}

/// A part of a step's key, empty for the first.
fn part(what: &str, number: u32) -> String {
    match number {
        0 => String::new(),
        _ => format!("/{what}-{number}"),
    }
}
