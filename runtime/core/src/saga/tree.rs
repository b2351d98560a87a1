//! The tree of a saga's steps: scopes for the saga and its children, fan-outs with their elements, and who is in whom.
//!
//! Steps live in one list and are never removed; paths find them. What settles further up (a stage, a child, a fan-out) asks
//! each step below for its [`Summary`]. A fan-out does not ask all its elements: each tells it what has changed.

use std::sync::Arc;

use super::{
    definition::{Body, Definition, EachMode, Step, Undo},
    elements::{Element, in_path},
    plan::Plan,
    run::{LegState, StepRun, Verdict},
    state::{Phase, Saga},
};
use crate::{
    id::{Direction, StepPath},
    value::Instant,
};

/// The saga itself, or a child that is expanded in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) definition: Arc<Definition>,
    /// The step that it stands for; none for the saga itself.
    pub(crate) owner: Option<usize>,
    /// What the paths of its steps begin with.
    prefix: String,
    /// Its steps, stage by stage.
    pub(crate) stages: Vec<Vec<usize>>,
    /// The stage that moves: forward the first with a step not done, backward the last with a step not undone.
    pub(crate) stage: usize,
    /// Its compensations have begun, last stage first.
    pub(crate) unwinds: bool,
}

/// What a step consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Code: it has attempts of its own.
    Leaf,
    /// A child's scope.
    Child(usize),
    /// A fan-out over elements.
    Each(Box<EachRun>),
}

/// A fan-out's part of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EachRun {
    /// The list is known.
    pub(crate) listed: bool,
    pub(crate) elements: Vec<usize>,
    /// How many elements were begun, and how many were reached by a rollback, from the last one on.
    begun: usize,
    unwound: usize,
    /// A rollback has reached it.
    pub(crate) unwinds: bool,
    /// Of all elements together.
    pub(crate) sum: Sum,
}

/// What the elements of a fan-out say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) settled: usize,
    pub(crate) refused: usize,
    busy: usize,
    pub(crate) moving: usize,
    standing: usize,
}

/// An element's place in its fan-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ElementOf {
    pub(crate) each: usize,
    pub(crate) element: Element,
    /// What the fan-out was told last.
    told: Summary,
}

/// What those above want to know of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// It is done, or refused where that is a result.
    pub(crate) settled: bool,
    refused: bool,
    /// Something of it moves, or is to begin.
    pub(crate) busy: bool,
    /// Something of it moves: an attempt is open, waits or backs off.
    pub(crate) moving: bool,
    /// Something of it is to be undone in a rollback.
    pub(crate) standing: bool,
}

impl Saga {
    /// Makes a scope with its steps and their children, none of them begun.
    pub(crate) fn expand(&mut self, definition: &Arc<Definition>, owner: Option<usize>, prefix: String) -> usize {
        let scope = self.scopes.len();
        let stages = Vec::with_capacity(definition.stages.len());
        let definition = Arc::clone(definition);
        self.scopes.push(Scope { definition: Arc::clone(&definition), owner, prefix, stages, stage: 0, unwinds: false });
        for (stage, steps) in definition.stages.iter().enumerate() {
            let nodes = (0..steps.steps.len()).map(|index| self.plant(scope, stage, index)).collect();
            self.scopes[scope].stages.push(nodes);
        }
        scope
    }

    fn plant(&mut self, scope: usize, stage: usize, index: usize) -> usize {
        let Scope { definition, prefix, .. } = &self.scopes[scope];
        let step = &definition.stages[stage].steps[index];
        let path = StepPath::new(&format!("{prefix}{}", step.name));
        if step.each.is_some() {
            return self.add(StepRun::new(path, (scope, stage, index), Shape::Each(Box::default())));
        }
        let body = step.body.clone();
        let node = self.add(StepRun::new(path, (scope, stage, index), Shape::Leaf));
        self.give_body(node, &body);
        node
    }

    pub(crate) fn prefix_of(&self, scope: usize) -> &str {
        &self.scopes[scope].prefix
    }

    pub(crate) fn add(&mut self, run: StepRun) -> usize {
        let node = self.steps.len();
        self.paths.insert(run.path.clone(), node);
        self.steps.push(run);
        node
    }

    fn give_body(&mut self, node: usize, body: &Body) {
        let Body::Child(name) = body else { return };
        let plan: Arc<Plan> = Arc::clone(&self.plan);
        if let Some(child) = plan.child(name) {
            let prefix = format!("{}/", self.steps[node].path);
            self.steps[node].shape = Shape::Child(self.expand(child, Some(node), prefix));
        }
    }

    /// Makes the elements of a fan-out. One that an earlier round had is the same step, with its past.
    pub(crate) fn list(&mut self, each: usize, elements: &[Element]) {
        self.steps.reserve_exact(elements.len());
        self.paths.reserve(elements.len());
        let run = &self.steps[each];
        let (place, round, path) = ((run.scope, run.stage, run.index), run.round, run.path.clone());
        let body = self.step(run).body.clone();
        let mut nodes = Vec::with_capacity(elements.len());
        for element in elements {
            let path = StepPath::new(&format!("{path}[{}]", in_path(&element.key)));
            let known = self.paths.get(&path).copied();
            let node = known.unwrap_or_else(|| self.add(StepRun::new(path, place, Shape::Leaf)));
            if known.is_none() {
                self.give_body(node, &body);
            }
            self.steps[node].element = Some(ElementOf { each, element: element.clone(), told: Summary::default() });
            self.for_all_below(node, &mut |run| run.round = round);
            nodes.push(node);
        }
        self.steps[each].shape = Shape::Each(Box::new(EachRun { listed: true, elements: nodes, ..EachRun::default() }));
    }

    /// How far a fan-out has come, when its elements go over into another tree.
    pub(crate) fn keep_progress(&mut self, node: usize, before: &EachRun) {
        if let Shape::Each(each) = &mut self.steps[node].shape {
            (each.begun, each.unwound, each.unwinds) = (before.begun, before.unwound, before.unwinds);
        }
    }

    /// A step and everything below it.
    pub(crate) fn for_all_below(&mut self, node: usize, change: &mut impl FnMut(&mut StepRun)) {
        change(&mut self.steps[node]);
        for below in self.below(&self.steps[node]) {
            self.for_all_below(below, change);
        }
    }

    /// Every step, what it consists of right after it; at the end what belongs to no list any more.
    pub(crate) fn in_order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.steps.len());
        let mut ahead: Vec<usize> = self.scopes[0].stages.concat().into_iter().rev().collect();
        let mut seen = vec![false; self.steps.len()];
        while let Some(node) = ahead.pop() {
            seen[node] = true;
            order.push(node);
            ahead.extend(self.below(&self.steps[node]).into_iter().rev());
        }
        order.extend((0..self.steps.len()).filter(|node| !seen[*node]));
        order
    }

    /// The steps that a step consists of.
    pub(crate) fn below(&self, run: &StepRun) -> Vec<usize> {
        match &run.shape {
            Shape::Leaf => Vec::new(),
            Shape::Child(scope) => self.scopes[*scope].stages.concat(),
            Shape::Each(each) => each.elements.clone(),
        }
    }

    pub(crate) fn step(&self, run: &StepRun) -> &Step {
        &self.scopes[run.scope].definition.stages[run.stage].steps[run.index]
    }

    /// The step of this name in a scope.
    pub(crate) fn named_in(&self, scope: usize, name: &str) -> Option<&StepRun> {
        let path = StepPath::new(&format!("{}{name}", self.scopes[scope].prefix));
        self.run(&path)
    }

    /// The step that a step is part of: its fan-out, or what its scope stands for.
    pub(crate) fn above(&self, node: usize) -> Option<usize> {
        let run = &self.steps[node];
        run.element.as_ref().map(|element| element.each).or(self.scopes[run.scope].owner)
    }

    /// An element of a fan-out that collects was refused, and has no alternate left.
    pub(crate) fn is_refused_element(&self, run: &StepRun) -> bool {
        let over = matches!(run.forward.state, LegState::Closed) && matches!(run.check.state, LegState::Idle | LegState::Closed);
        run.verdict == Verdict::Refused && over && self.collects(run) && !self.has_another_alternate(run)
    }

    /// It is an element of a fan-out in which a refusal is a result.
    pub(crate) fn collects(&self, run: &StepRun) -> bool {
        run.element.is_some() && self.step(run).each.as_ref().is_some_and(|each| each.mode == EachMode::Collect)
    }

    /// A refused element whose refusal is a result like any other. It says that nothing happened, so an element that may have run
    /// is undone first; one that has no compensation is stuck.
    pub(crate) fn is_result(&self, run: &StepRun) -> bool {
        let stands = run.is_in_doubt() && run.undone.is_none() && self.step(run).undo != Undo::Nothing;
        self.is_refused_element(run) && !stands
    }

    /// What the steps above want to know of this one.
    pub(crate) fn summary(&self, node: usize) -> Summary {
        let run = &self.steps[node];
        let done = run.is_done();
        match &run.shape {
            Shape::Leaf => self.summary_of_leaf(run),
            Shape::Child(scope) => {
                let below = self.scopes[*scope].stages.iter().flatten().map(|node| self.summary(*node));
                below.fold(Summary { settled: done, ..Summary::default() }, |all, one| Summary {
                    busy: all.busy || one.busy,
                    moving: all.moving || one.moving,
                    standing: all.standing || one.standing,
                    ..all
                })
            }
            Shape::Each(each) => Summary {
                settled: done,
                refused: false,
                busy: each.sum.busy > 0 || matches!(run.forward.state, LegState::Ready),
                moving: each.sum.moving > 0,
                standing: each.sum.standing > 0,
            },
        }
    }

    fn summary_of_leaf(&self, run: &StepRun) -> Summary {
        let legs = [&run.forward.state, &run.check.state, &run.undo.state];
        let moves =
            |state: &&LegState| matches!(state, LegState::Open { .. } | LegState::BackingOff { .. } | LegState::Waiting { .. });
        let moving = legs.iter().any(moves);
        let refused = self.is_result(run);
        let (settled, standing) = (run.is_done() || refused, self.wants_undo(run));
        let live = moving || legs.iter().any(|state| matches!(state, LegState::Ready));
        // Between the record of a failure and that of its backoff no leg is live. The element keeps its place all the same: given
        // away for that moment, it would be taken by an element that is then ready and has none.
        let under_way = match self.phase {
            Phase::Backward => standing && !matches!(run.undo.state, LegState::Idle),
            Phase::Forward | Phase::Completed | Phase::Compensated | Phase::Abandoned => {
                !settled && !matches!(run.forward.state, LegState::Idle)
            }
        };
        let stuck = legs.iter().any(|state| matches!(state, LegState::Stuck { .. }));
        Summary { settled, refused, busy: live || (under_way && !stuck), moving, standing }
    }

    /// Tells a fan-out what has changed of an element.
    pub(crate) fn tell(&mut self, node: usize) {
        let now = self.summary(node);
        let Some(element) = &mut self.steps[node].element else { return };
        let before = std::mem::replace(&mut element.told, now);
        let each = element.each;
        if let Shape::Each(each) = &mut self.steps[each].shape {
            each.sum.change(before, now);
        }
    }

    /// Begins as many elements as may run at once, and asks as many to be undone in a rollback.
    pub(crate) fn fill(&mut self, node: usize, at: Instant) {
        let run = &self.steps[node];
        let concurrency = self.step(run).each.as_ref().map_or(1, |each| each.concurrency.max(1)) as usize;
        let backward = self.phase == Phase::Backward;
        loop {
            let Shape::Each(each) = &mut self.steps[node].shape else { return };
            let reached = if backward { &mut each.unwound } else { &mut each.begun };
            if each.sum.busy >= concurrency || *reached >= each.elements.len() {
                return;
            }
            *reached += 1;
            let index = if backward { each.elements.len() - *reached } else { *reached - 1 };
            let element = each.elements[index];
            if backward {
                self.unwind_step(element, at);
            } else {
                self.begin_step(element, at);
            }
            self.tell(element);
        }
    }

    /// The leg of this step may begin: each fan-out that it is in has a place for it.
    pub(crate) fn has_place(&self, path: &StepPath) -> bool {
        let mut below = self.paths.get(path).copied();
        while let Some(node) = below {
            if let Some(element) = &self.steps[node].element
                && !element.told.moving
                && let each = &self.steps[element.each]
                && let Shape::Each(run) = &each.shape
                && run.sum.moving >= self.step(each).each.as_ref().map_or(1, |each| each.concurrency.max(1)) as usize
            {
                return false;
            }
            below = self.above(node);
        }
        true
    }

    /// The step's own effect is done or may have happened, and has a compensation that was not done (law 7).
    pub(crate) fn wants_undo(&self, run: &StepRun) -> bool {
        run.is_leaf() && run.undone.is_none() && matches!(self.step(run).undo, Undo::Code(_)) && run.may_stand()
    }
}

impl ElementOf {
    /// The same element of a fan-out that was told nothing of it: in another tree, or in another round.
    pub(crate) fn moved_to(&self, each: usize) -> Self {
        Self { each, element: self.element.clone(), told: Summary::default() }
    }
}

impl Sum {
    fn change(&mut self, before: Summary, now: Summary) {
        let change = |count: &mut usize, before: bool, now: bool| {
            *count = *count + usize::from(now) - usize::from(before);
        };
        change(&mut self.settled, before.settled, now.settled);
        change(&mut self.refused, before.refused, now.refused);
        change(&mut self.busy, before.busy, now.busy);
        change(&mut self.moving, before.moving, now.moving);
        change(&mut self.standing, before.standing, now.standing);
    }
}

/// Where a direction stands among a step's legs.
pub(crate) fn place_of(direction: Direction) -> u8 {
    match direction {
        Direction::Forward => 0,
        Direction::Check => 1,
        Direction::Undo(_) => 2,
    }
}
