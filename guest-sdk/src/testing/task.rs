//! One step of a stage: its code or its child, once, or for each element of a list.

use std::rc::Rc;

use serde_json::Value;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::saga::exports::amends::module::saga::{Each, EachMode, Failure as WitFailure, Kind};
use crate::step::Erased;
use crate::stop::Failure;
use crate::testing::branch::Branch;
use crate::testing::course::{Course, Failed, Why};
use crate::testing::fan;
use crate::testing::leg::{Leg, Place};
use crate::{Collected, Done, Refused, payload};

/// One step of a stage that has begun.
pub(super) struct Task {
    step: Rc<Erased>,
    path: String,
    /// One, or one for each element.
    parts: Vec<Part>,
    /// How many parts were begun, from the first, and how many a rollback has reached, from the last.
    begun: usize,
    unwound: usize,
    list: List,
}

/// The list of a fan-out.
enum List {
    /// Read; or the step is no fan-out.
    Read,
    Unread,
    /// Unread, and it has no elements that could be told apart.
    Unusable(WitFailure),
    /// The step is stuck for it.
    Stuck(WitFailure),
    /// A rollback has begun before it was read.
    Closed,
}

/// The step, or one element of it.
struct Part {
    key: String,
    work: Work,
}

/// What does it.
pub(super) enum Work {
    Leg(Box<Leg>),
    Branch(Branch),
}

impl Task {
    pub(super) fn single(step: &Rc<Erased>, place: Place, course: &Course) -> Task {
        let path = place.path.clone();
        let parts = vec![Part { key: String::new(), work: Work::new(step, place, course) }];
        Task { step: step.clone(), path, parts, begun: 0, unwound: 0, list: List::Read }
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
            Part { key, work: Work::new(step, place, course) }
        };
        let (parts, list) = match fan::elements(each, found) {
            Ok(elements) => (elements.into_iter().map(part).collect(), List::Unread),
            Err(failure) => (Vec::new(), List::Unusable(failure.into())),
        };
        Task { step: step.clone(), path: path.to_owned(), parts, begun: 0, unwound: 0, list }
    }

    pub(super) fn name(&self) -> &str {
        &self.step.spec.name
    }

    /// How many parts may have begun and not ended.
    fn concurrency(&self) -> usize {
        self.step.spec.each.as_ref().map_or(1, |each| usize::try_from(each.concurrency).unwrap_or(usize::MAX))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.list, List::Read) && self.parts.iter().all(Part::has_ended)
    }

    /// Lets those parts begin whose turn has come.
    pub(super) fn go_on(&mut self, course: &Course) {
        if !matches!(self.list, List::Read) {
            return;
        }
        self.parts[..self.begun].iter_mut().for_each(|part| part.work.go_on(course));
        while self.begun < self.parts.len() && self.has_place() {
            self.begun += 1;
            self.parts[self.begun - 1].work.begin(course);
        }
    }

    /// Opens the attempts that are due, and reads a list whose turn has come; whether there were any. A list that cannot be used
    /// fails the step before it begins.
    pub(super) fn open(&mut self, course: &mut Course) -> Result<bool, Failed> {
        match &self.list {
            List::Read => {}
            List::Unread => {
                self.list = List::Read;
                course.past_point_of_no_return |= self.step.spec.kind == Kind::Retriable && self.is_done();
                return Ok(true);
            }
            List::Unusable(failure) => return self.refuse(failure.clone(), course).map(|()| true),
            List::Stuck(_) | List::Closed => return Ok(false),
        }
        let mut opened = false;
        for part in &mut self.parts {
            opened |= match &mut part.work {
                Work::Leg(leg) => leg.open(course),
                Work::Branch(branch) => branch.open(course)?,
            };
        }
        Ok(opened)
    }

    fn refuse(&mut self, failure: WitFailure, course: &mut Course) -> Result<(), Failed> {
        course.trace.push(format!("{} refused {}", self.path, failure.code));
        if course.past_point_of_no_return || self.step.spec.kind == Kind::Retriable {
            course.trace.push(format!("stuck at {}: {}", self.path, failure.code));
            self.list = List::Stuck(failure);
            return Ok(());
        }
        Err(Failed { path: self.path.clone(), failure, why: Why::Refused })
    }

    fn has_place(&self) -> bool {
        self.step.spec.each.is_none() || self.parts.iter().filter(|part| part.work.is_busy()).count() < self.concurrency()
    }

    /// Asks everything that stands to be undone, the last element first, as many at once as may run.
    pub(super) fn unwind(&mut self, course: &Course) {
        let reached = self.parts.len() - self.unwound;
        self.parts[reached..].iter_mut().rev().for_each(|part| part.work.unwind(course));
        while self.unwound < self.parts.len() && self.has_place() {
            self.unwound += 1;
            let next = self.parts.len() - self.unwound;
            self.parts[next].work.unwind(course);
        }
    }

    /// Something of it is to be undone.
    pub(super) fn stands(&self) -> bool {
        self.parts.iter().any(|part| part.work.stands())
    }

    /// Something of it moves, or its list is to be read.
    pub(super) fn is_busy(&self) -> bool {
        match &self.list {
            List::Read => self.parts.iter().any(|part| part.work.is_busy()),
            List::Unread | List::Unusable(_) => true,
            List::Stuck(_) | List::Closed => false,
        }
    }

    /// What it is stuck for before it has begun.
    pub(super) fn stuck(&self) -> Option<&WitFailure> {
        match &self.list {
            List::Stuck(failure) => Some(failure),
            List::Read | List::Unread | List::Unusable(_) | List::Closed => None,
        }
    }

    /// A rollback begins: a list that was not read does not matter any more.
    pub(super) fn close(&mut self) {
        if !matches!(self.list, List::Read) {
            self.list = List::Closed;
        }
    }

    pub(super) fn works(&self) -> impl Iterator<Item = &Work> {
        self.parts.iter().map(|part| &part.work)
    }

    pub(super) fn works_mut(&mut self) -> impl Iterator<Item = &mut Work> {
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
                let refused = |part: &Part| Some(Refused { key: part.key.clone(), failure: Failure::from(part.work.refusal()?) });
                let done = |part: &Part| Some(Done { key: part.key.clone(), output: value(part)? });
                let (done, refused) = (self.parts.iter().filter_map(done), self.parts.iter().filter_map(refused));
                payload::encode(&Collected { done: done.collect(), refused: refused.collect() }).ok()
            }
        }
    }
}

impl Part {
    fn has_ended(&self) -> bool {
        self.work.is_done() || self.work.refusal().is_some()
    }
}

impl Work {
    fn new(step: &Rc<Erased>, place: Place, course: &Course) -> Work {
        match &step.child {
            None => Work::Leg(Box::new(Leg::new(step.clone(), place, course))),
            Some(child) => Work::Branch(Branch::child(child.clone(), place)),
        }
    }

    fn begin(&mut self, course: &Course) {
        match self {
            Work::Leg(leg) => leg.begin(course.now()),
            Work::Branch(branch) => branch.go_on(course),
        }
    }

    fn go_on(&mut self, course: &Course) {
        match self {
            Work::Leg(_) => {}
            Work::Branch(branch) => branch.go_on(course),
        }
    }

    fn unwind(&mut self, course: &Course) {
        match self {
            Work::Leg(leg) => leg.unwind(course),
            Work::Branch(branch) => branch.unwind(0, course),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Work::Leg(leg) => leg.output().is_some(),
            Work::Branch(branch) => branch.is_done(),
        }
    }

    fn refusal(&self) -> Option<&WitFailure> {
        match self {
            Work::Leg(leg) => leg.refusal(),
            Work::Branch(_) => None,
        }
    }

    fn is_busy(&self) -> bool {
        match self {
            Work::Leg(leg) => leg.tries().into_iter().any(|tries| tries.is_busy()),
            Work::Branch(branch) => branch.is_busy(),
        }
    }

    fn stands(&self) -> bool {
        match self {
            Work::Leg(leg) => leg.stands(),
            Work::Branch(branch) => branch.stands(),
        }
    }

    fn output(&self) -> Option<Payload> {
        match self {
            Work::Leg(leg) => leg.output().cloned(),
            Work::Branch(branch) => branch.output(),
        }
    }
}
