//! One step of a stage: its code or its child, once, or for each element of a list.

use std::rc::Rc;

use serde_json::Value;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{Each, EachMode, Failure as WitFailure};
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::branch::Branch;
use crate::testing::course::{Course, Moved, Undone, Why};
use crate::testing::fan;
use crate::testing::leg::{Leg, Place};
use crate::{Collected, Done, Moment, Refused, payload};

/// One step of a stage that has begun.
pub(super) struct Task {
    step: Rc<Erased>,
    path: String,
    /// One, or one for each element.
    parts: Vec<Part>,
    /// Why its list has no elements that could be told apart: the step is refused before it begins.
    unfit: Option<WitFailure>,
}

/// The step, or one element of it.
struct Part {
    key: String,
    work: Work,
    /// A result like any other, where refusals are collected.
    refused: Option<WitFailure>,
}

/// What does it.
pub(super) enum Work {
    Leg(Box<Leg>),
    Branch(Branch),
}

impl Task {
    pub(super) fn single(step: &Rc<Erased>, place: Place, course: &Course) -> Task {
        let path = place.path.clone();
        let parts = vec![Part { key: String::new(), work: Work::new(step, place, course), refused: None }];
        Task { step: step.clone(), path, parts, unfit: None }
    }

    pub(super) fn for_each(
        step: &Rc<Erased>,
        each: &Each,
        path: &str,
        found: &Value,
        place: impl Fn(String, Option<String>, Payload) -> Place,
        course: &Course,
    ) -> Task {
        let part = |(key, element): (String, Value)| {
            let place = place(format!("{path}[{}]", fan::in_path(&key)), Some(key.clone()), payload::json(element.to_string()));
            Part { key, work: Work::new(step, place, course), refused: None }
        };
        let (parts, unfit) = match fan::elements(each, found) {
            Ok(elements) => (elements.into_iter().map(part).collect(), None),
            Err(failure) => (Vec::new(), Some(failure.into())),
        };
        Task { step: step.clone(), path: path.to_owned(), parts, unfit }
    }

    pub(super) fn name(&self) -> &str {
        &self.step.spec.name
    }

    fn collects(&self) -> bool {
        self.step.spec.each.as_ref().is_some_and(|each| each.mode == EachMode::Collect)
    }

    /// How many parts may have begun and not ended.
    fn concurrency(&self) -> usize {
        self.step.spec.each.as_ref().map_or(1, |each| usize::try_from(each.concurrency).unwrap_or(usize::MAX))
    }

    pub(super) fn is_done(&self) -> bool {
        self.unfit.is_none() && self.parts.iter().all(Part::has_ended)
    }

    /// One attempt of every part that is due; only of those that have not begun yet, if the stage is `turning` back.
    pub(super) fn forward(&mut self, turning: bool, course: &mut Course) -> Moved {
        if let Some(failure) = self.unfit.clone() {
            course.trace.push(format!("{} refused {}", self.path, failure.code));
            return Moved::Failed { path: self.path.clone(), failure, why: Why::Refused };
        }
        let (collects, concurrency, now) = (self.collects(), self.concurrency(), course.world.clock());
        let mut failed = None;
        for part in self.parts.iter_mut().filter(|part| !part.has_ended()).take(concurrency) {
            let is_late = (turning || failed.is_some()) && part.work.has_begun();
            if is_late || part.work.due_at().is_none_or(|due| due > now) {
                continue;
            }
            match part.forward(collects, course) {
                Moved::On => {}
                stuck @ Moved::Stuck { .. } if failed.is_none() => return stuck,
                moved => failed = failed.or(Some(moved)),
            }
        }
        failed.unwrap_or(Moved::On)
    }

    pub(super) fn back(&mut self, course: &mut Course) -> Undone {
        self.parts.iter_mut().rev().fold(Undone::Yes, |undone, part| undone.and(part.work.back(course)))
    }

    pub(super) fn due_at(&self) -> Option<Moment> {
        if self.unfit.is_some() {
            return Some(Moment::default());
        }
        self.parts.iter().filter(|part| !part.has_ended()).take(self.concurrency()).filter_map(|part| part.work.due_at()).min()
    }

    pub(super) fn works(&mut self) -> impl Iterator<Item = &mut Work> {
        self.parts.iter_mut().map(|part| &mut part.work)
    }

    /// The output if the step is done: its own, or what its elements came to.
    pub(super) fn output(&self) -> Option<Payload> {
        if !self.is_done() {
            return None;
        }
        let value = |part: &Part| payload::decode::<Value>(&part.work.output()?).ok();
        match self.step.spec.each.as_ref().map(|each| each.mode) {
            None => self.parts.first()?.work.output(),
            Some(EachMode::FailFast) => payload::encode(&self.parts.iter().map(value).collect::<Option<Vec<_>>>()?).ok(),
            Some(EachMode::Collect) => {
                let refused = |part: &Part| {
                    part.refused.as_ref().map(|failure| Refused { key: part.key.clone(), failure: Failure::from(failure) })
                };
                let done = |part: &Part| Some(Done { key: part.key.clone(), output: value(part)? });
                let (done, refused) = (self.parts.iter().filter_map(done), self.parts.iter().filter_map(refused));
                payload::encode(&Collected { done: done.collect(), refused: refused.collect() }).ok()
            }
        }
    }
}

impl Part {
    fn has_ended(&self) -> bool {
        self.refused.is_some() || self.work.is_done()
    }

    fn forward(&mut self, collects: bool, course: &mut Course) -> Moved {
        match self.work.forward(course) {
            Moved::Failed { failure, why: Why::Refused, .. } if collects => {
                self.refused = Some(failure);
                Moved::On
            }
            moved => moved,
        }
    }
}

impl Work {
    fn new(step: &Rc<Erased>, place: Place, course: &Course) -> Work {
        match &step.child {
            None => Work::Leg(Box::new(Leg::new(step.clone(), place, course))),
            Some(child) => Work::Branch(Branch::child(child.clone(), place)),
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Work::Leg(leg) => leg.has_begun(),
            Work::Branch(branch) => branch.has_begun(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Work::Leg(leg) => leg.output().is_some(),
            Work::Branch(branch) => branch.is_done(),
        }
    }

    fn output(&self) -> Option<Payload> {
        match self {
            Work::Leg(leg) => leg.output().cloned(),
            Work::Branch(branch) => branch.output(),
        }
    }

    fn due_at(&self) -> Option<Moment> {
        match self {
            Work::Leg(leg) => leg.due_at(),
            Work::Branch(branch) => branch.due_at(),
        }
    }

    fn forward(&mut self, course: &mut Course) -> Moved {
        match self {
            Work::Leg(leg) => leg.forward(course),
            Work::Branch(branch) => branch.forward(course),
        }
    }

    fn back(&mut self, course: &mut Course) -> Undone {
        match self {
            Work::Leg(leg) => leg.back(course),
            Work::Branch(branch) => branch.back(0, course),
        }
    }
}
