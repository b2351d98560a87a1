//! A saga, or a child inside one, on its way: the stages that have begun, and everything in them.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::bindings::imports::amends::module::types::{Named, Payload};
use crate::bindings::saga::exports::amends::module::saga::{Body, CommandData, Failure as WitFailure};
use crate::saga::Definition;
use crate::step::Erased;
use crate::testing::course::{Course, Failed};
use crate::testing::leg::{Leg, Place};
use crate::testing::task::{Task, Work};
use crate::{FromParent, payload};

/// A saga or a child on its way. Stages that are undone are taken off, so that a new round begins with fresh ones.
pub(super) struct Branch {
    pub(super) definition: Rc<Definition>,
    /// The name of the saga that it is, or is a part of.
    root: Rc<str>,
    /// Of the step that it is the child of, with a slash; empty for the saga itself.
    prefix: String,
    /// The key of the element that it is, or is a part of.
    element: Option<String>,
    input: Payload,
    stages: Vec<Vec<Task>>,
}

impl Branch {
    /// The saga itself.
    pub(super) fn new(definition: Rc<Definition>, input: Payload) -> Branch {
        let root = definition.name.as_ref().into();
        Branch { definition, root, prefix: String::new(), element: None, input, stages: Vec::new() }
    }

    /// The child that stands for the step at this place.
    pub(super) fn child(definition: Rc<Definition>, place: Place) -> Branch {
        let input = given(&place);
        let Place { definition: root, path, element, .. } = place;
        Branch { definition, root, prefix: format!("{path}/"), element, input, stages: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stages.len() == self.definition.stages.len() && self.stage_is_done()
    }

    fn stage_is_done(&self) -> bool {
        self.stages.last().is_some_and(|stage| stage.iter().all(Task::is_done))
    }

    /// Lets begin whose turn has come: the next stage when the one before it is done, elements as they find places.
    pub(super) fn go_on(&mut self, course: &Course) {
        if self.stages.is_empty() {
            self.begin_stage(course);
        }
        loop {
            self.stages.last_mut().into_iter().flatten().for_each(|task| task.go_on(course));
            if self.is_done() || !self.stage_is_done() {
                return;
            }
            self.begin_stage(course);
        }
    }

    /// Opens the attempts that are due, in the order of declaration, and reads lists; whether there were any.
    pub(super) fn open(&mut self, course: &mut Course) -> Result<bool, Failed> {
        let mut opened = false;
        for task in self.stages.iter_mut().flatten() {
            opened |= task.open(course)?;
        }
        Ok(opened)
    }

    fn begin_stage(&mut self, course: &Course) {
        let definition = self.definition.clone();
        let Some(stage) = definition.stages.get(self.stages.len()) else { return };
        let tasks = stage.steps.iter().map(|step| self.task(step, course)).collect();
        self.stages.push(tasks);
    }

    fn task(&self, step: &Rc<Erased>, course: &Course) -> Task {
        let path = format!("{}{}", self.prefix, step.spec.name);
        let needed = |name: &String| Some(Named { name: name.clone(), payload: self.output_of(name)? });
        let outputs: Rc<[Named]> = step.spec.needs.iter().filter_map(needed).collect();
        let sources = Rc::new(self.outputs_for(&step.spec.body));
        let place = |path: String, element: Option<String>, input: Payload| {
            let (definition, outputs, sources) = (self.root.clone(), outputs.clone(), sources.clone());
            Place { definition, path, element, input, outputs, sources }
        };
        match &step.spec.each {
            None => Task::single(step, place(path, self.element.clone(), self.input.clone()), course),
            Some(each) => Task::for_each(step, each, &path, &self.sources(&each.items), place, course),
        }
    }

    /// The outputs to which the pointers of a command lead.
    fn outputs_for(&self, body: &Body) -> Map<String, Value> {
        let Body::Command(command) = body else { return Map::new() };
        let undo = command.undo.as_ref().and_then(|undo| undo.data.as_ref());
        let said = [Some(&command.data), undo].into_iter().flatten().flat_map(|data| match data {
            CommandData::At(at) => vec![at],
            CommandData::Object(members) => members.iter().map(|member| &member.at).collect(),
        });
        let names = said.chain([&command.id]).filter_map(|pointer| pointer.strip_prefix("/outputs/"));
        let names = names.filter_map(|rest| rest.split('/').next());
        let output = |name: &str| payload::decode(&self.output_of(name)?).ok();
        names.filter_map(|name| Some((name.to_owned(), output(name)?))).collect()
    }

    /// What `/input` or `/outputs` hold of what the pointer leads to.
    fn sources(&self, pointer: &str) -> Value {
        let value = |payload: Payload| payload::decode::<Value>(&payload).unwrap_or_default();
        match pointer.strip_prefix("/outputs/") {
            None => json!({"input": value(self.input.clone())}),
            Some(rest) => {
                let step = rest.split('/').next().unwrap_or_default();
                json!({"outputs": {step: self.output_of(step).map(value)}})
            }
        }
    }

    /// Asks everything that stands to be undone, stage by stage backwards, until this many stages are left. A stage is taken off
    /// when nothing of it stands.
    pub(super) fn unwind(&mut self, floor: usize, course: &Course) {
        while self.stages.len() > floor {
            for task in self.stages.last_mut().into_iter().flatten() {
                task.unwind(course);
            }
            if self.stages.last().is_some_and(|stage| stage.iter().any(Task::stands)) {
                return;
            }
            self.stages.pop();
        }
    }

    /// Something of it is to be undone.
    pub(super) fn stands(&self) -> bool {
        self.stages.iter().flatten().any(Task::stands)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.stages.iter().flatten().any(Task::is_busy)
    }

    /// A rollback has come to its end, or to a savepoint after so many stages.
    pub(super) fn is_back_at(&self, floor: usize) -> bool {
        self.stages.len() <= floor
    }

    /// How many stages a rollback to the latest savepoint leaves; none without a savepoint.
    pub(super) fn latest_savepoint(&self) -> usize {
        let begun = self.stages.len();
        (1..begun).rev().find(|stages| self.savepoint_after(*stages).is_some()).unwrap_or(0)
    }

    /// The savepoint after so many stages.
    pub(super) fn savepoint_after(&self, stages: usize) -> Option<&str> {
        self.definition.stages.get(stages.checked_sub(1)?)?.savepoint_after.as_deref()
    }

    /// A rollback begins: what waits going forward waits no longer.
    pub(super) fn close(&mut self) {
        for task in self.stages.iter_mut().flatten() {
            task.close();
            task.works_mut().for_each(|work| match work {
                Work::Leg(leg) => leg.close(),
                Work::Branch(branch) => branch.close(),
            });
        }
    }

    /// Every step of code that has begun, in the order of declaration.
    pub(super) fn legs(&self) -> Vec<&Leg> {
        let works = self.stages.iter().flatten().flat_map(Task::works);
        works
            .flat_map(|work| match work {
                Work::Leg(leg) => vec![&**leg],
                Work::Branch(branch) => branch.legs(),
            })
            .collect()
    }

    /// Every step of code that has begun, in the order of declaration.
    pub(super) fn legs_mut(&mut self) -> Vec<&mut Leg> {
        let works = self.stages.iter_mut().flatten().flat_map(Task::works_mut);
        works
            .flat_map(|work| match work {
                Work::Leg(leg) => vec![&mut **leg],
                Work::Branch(branch) => branch.legs_mut(),
            })
            .collect()
    }

    /// What fan-outs are stuck for whose lists cannot be used.
    pub(super) fn stuck_lists(&self) -> Vec<&WitFailure> {
        let mut found = Vec::new();
        for task in self.stages.iter().flatten() {
            found.extend(task.stuck());
            for work in task.works() {
                match work {
                    Work::Leg(_) => {}
                    Work::Branch(branch) => found.extend(branch.stuck_lists()),
                }
            }
        }
        found
    }

    /// The output of a step that is done.
    fn output_of(&self, name: &str) -> Option<Payload> {
        self.stages.iter().flatten().find(|task| task.name() == name)?.output()
    }

    /// The output of the step that is named, or of the only one of the last stage, or an object of those by name.
    pub(super) fn output(&self) -> Option<Payload> {
        if !self.is_done() {
            return None;
        }
        match (&self.definition.output, self.stages.last()?.as_slice()) {
            (Some(named), _) => self.output_of(named),
            (None, [only]) => only.output(),
            (None, several) => {
                let output = |task: &Task| task.output().and_then(|output| payload::decode::<Value>(&output).ok());
                let outputs = several.iter().map(|task| (task.name().to_owned(), output(task).unwrap_or_default()));
                payload::encode(&outputs.collect::<Map<_, _>>()).ok()
            }
        }
    }
}

/// A child's input: that of its step, and what the step needs.
fn given(place: &Place) -> Payload {
    if place.outputs.is_empty() {
        return place.input.clone();
    }
    let value = |payload: &Payload| payload::decode::<Value>(payload).unwrap_or_default();
    let outputs: Map<String, Value> = place.outputs.iter().map(|named| (named.name.clone(), value(&named.payload))).collect();
    let given = FromParent { input: value(&place.input), outputs };
    payload::encode(&given).unwrap_or_else(|_| place.input.clone())
}
