//! Moving a running saga to another version of its definition: what stands against it, and how the state goes over.
//!
//! What has begun must mean the same in both: then the side of the point of no return is the same too. What has not begun may
//! differ. Old records are not rewritten: the state is replayed on the old plan up to the `moved` record, and goes over there.

use std::{fmt, sync::Arc};

use super::{
    definition::{Body, Definition, EachMode, Step, Undo},
    handle::{Context, Turn},
    live::Live,
    plan::Plan,
    run::{LegState, StepRun},
    state::{Phase, ReplayError, Saga},
    tree::Shape,
    verbs::Rejected,
};
use crate::{
    event::{Act, Event, Moved},
    id::{Leg, StepPath},
    value::Instant,
};

/// Something that stands against a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The step that it is about, if it is about one.
    pub step: Option<StepPath>,
    /// What stands against it, and what to do.
    pub problem: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(f, "step `{step}`: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl Saga {
    /// What stands against moving to this plan now; none, and the saga can move. The plan keeps the rules of a definition.
    pub fn obstacles(&self, target: &Plan) -> Vec<Obstacle> {
        let mut found = Vec::new();
        if self.is_ended() {
            found.push(Obstacle { step: None, problem: "the saga has ended".into() });
            return found;
        }
        if target.definition().name != self.definition().name {
            let problem = format!("it is a `{}` and cannot become a `{}`", self.definition().name, target.definition().name);
            found.push(Obstacle { step: None, problem });
            return found;
        }
        for (intent, _) in self.open_intents() {
            let problem = format!("attempt {} is open; move when it has ended", intent.attempt.number);
            found.push(Obstacle { step: Some(intent.attempt.leg.path.clone()), problem });
        }
        if let Some(savepoint) = self.savepoint()
            && target.definition().stages.get(self.target - 1).and_then(|stage| stage.savepoint_after.as_ref()) != Some(savepoint)
        {
            let problem =
                format!("a rollback goes to the savepoint `{savepoint}`, which is not there; move when the round has begun");
            found.push(Obstacle { step: None, problem });
        }
        self.compare(0, target, target.definition(), &mut found);
        found
    }

    /// A scope with what its definition is in the target, and what is below it.
    fn compare(&self, scope: usize, target: &Plan, definition: &Definition, found: &mut Vec<Obstacle>) {
        let it = &self.scopes[scope];
        let nodes = it.stages.concat();
        let begun = |node: &&usize| self.has_begun(**node);
        for node in nodes.iter().filter(begun) {
            let run = &self.steps[*node];
            match definition.step(&self.step(run).name) {
                None => found.push(obstacle(run, "it has begun, and is not there; keep it".into())),
                Some((stage, _)) if stage != run.stage => {
                    let problem =
                        format!("it has begun in stage {}, and is in stage {}; keep its place", run.stage + 1, stage + 1);
                    found.push(obstacle(run, problem));
                }
                Some((_, step)) => {
                    found.extend(self.differences(run, step).into_iter().map(|problem| obstacle(run, problem)));
                    self.compare_below(*node, target, step, found);
                }
            }
        }
        let forward = (self.phase == Phase::Forward && self.has_its_locks()).then_some(it.stage);
        let begun = nodes.iter().filter(begun).map(|node| self.steps[*node].stage).chain(forward).max();
        for (stage, step) in definition.steps().filter(|(stage, _)| begun.is_some_and(|begun| *stage <= begun)) {
            let path = StepPath::new(&format!("{}{}", self.prefix_of(scope), step.name));
            // One that has begun elsewhere was named above.
            let comes = |node: &usize| self.steps[*node].stage != stage && !self.has_begun(*node);
            if self.paths.get(&path).is_none_or(comes) {
                let problem = format!("it is new in stage {}, which has begun; put it into a later stage", stage + 1);
                found.push(Obstacle { step: Some(path), problem });
            }
        }
    }

    fn compare_below(&self, node: usize, target: &Plan, step: &Step, found: &mut Vec<Obstacle>) {
        let Body::Child(name) = &step.body else { return };
        let Some(child) = target.child(name) else { return };
        match &self.steps[node].shape {
            Shape::Leaf => {}
            Shape::Child(scope) => self.compare(*scope, target, child, found),
            Shape::Each(each) => {
                for element in each.elements.iter().filter(|node| self.has_begun(**node)) {
                    self.compare_below(*element, target, step, found);
                }
            }
        }
    }

    /// Something of the step has happened, or was decided.
    fn has_begun(&self, node: usize) -> bool {
        let run = &self.steps[node];
        let listed = run.each().is_some_and(|each| each.listed);
        listed || run.has_begun() || run.is_done() || self.below(run).into_iter().any(|node| self.has_begun(node))
    }

    /// How a step that has begun differs from what it would be.
    fn differences(&self, run: &StepRun, step: &Step) -> Vec<String> {
        let own = self.step(run);
        let mut problems = Vec::new();
        let mut keep = |differs: bool, what: &str| {
            if differs {
                problems.push(format!("it has begun, and {what} differs; keep it"));
            }
        };
        keep(own.kind != step.kind, "its kind");
        keep(own.body != step.body, "what stands for it");
        keep(own.each != step.each, "its fan-out");
        keep(own.alternates != step.alternates, "the number of its alternates");
        match (&own.undo, &step.undo) {
            (Undo::Code(_), Undo::Code(policy)) => {
                let elements = run.each().into_iter().flat_map(|each| &each.elements);
                let in_hand = elements.map(|node| self.steps[*node].undo_alternate).fold(run.undo_alternate, u32::max);
                keep(in_hand > policy.alternates, "the alternate in hand of its compensation");
            }
            (Undo::Code(_), Undo::None | Undo::Nothing) => keep(true, "its compensation"),
            // Going forward it gets one that it lacked; a rollback has counted already what there is to undo.
            // So do refusals that a fan-out collects: they were results because there was nothing to undo.
            (Undo::None | Undo::Nothing, Undo::Code(_)) => {
                let collects = step.each.as_ref().is_some_and(|each| each.mode == EachMode::Collect);
                keep(self.phase != Phase::Forward || collects, "its compensation");
            }
            (Undo::None | Undo::Nothing, Undo::None | Undo::Nothing) => {}
        }
        problems
    }

    /// Moves to another version of the definition, and tries again at once what is stuck.
    pub fn move_to(&mut self, plan: Arc<Plan>, moved: Moved, context: Context) -> Result<Vec<Event>, Rejected> {
        if self.is_ended() {
            return Err(Rejected::Ended);
        }
        let obstacles = self.obstacles(&plan);
        if !obstacles.is_empty() {
            return Err(Rejected::DoesNotMove(obstacles));
        }
        let act: Act = moved.act.clone();
        self.fold_moved(plan, &moved, context.now);
        let stuck = self.legs().filter(|(_, _, state)| matches!(state, LegState::Stuck { .. }));
        let stuck: Vec<Leg> = stuck.map(|(run, direction, _)| run.name_leg(direction)).collect();
        let mut turn = Turn { saga: self, context, events: vec![Event::Moved(Box::new(moved))] };
        if !stuck.is_empty() {
            turn.emit(Event::Retried(stuck, act));
        }
        turn.advance();
        Ok(turn.events)
    }

    /// Folds a `moved` record; `plan` is what its digest has under the saga's name.
    ///
    /// The rules are looked at again, because the fold counts on them: they belong to the format. A release that adds one may ask
    /// it of new moves only.
    pub(crate) fn apply_moved(&mut self, plan: Arc<Plan>, moved: &Moved, at: Instant) -> Result<(), ReplayError> {
        if let Some(obstacle) = self.obstacles(&plan).first() {
            return Err(ReplayError { revision: self.revision + 1, problem: format!("it cannot move: {obstacle}") });
        }
        self.fold_moved(plan, moved, at);
        Ok(())
    }

    /// A fresh tree of the new plan, into which goes what is known of the old one's steps.
    fn fold_moved(&mut self, plan: Arc<Plan>, moved: &Moved, at: Instant) {
        let old = self.clone();
        self.revision += 1;
        self.plan = plan;
        self.code = moved.code;
        self.past_point_of_no_return = old.past_point_of_no_return;
        self.scopes.clear();
        self.steps.clear();
        self.paths.clear();
        self.live = Live::default();
        let definition = Arc::clone(self.definition());
        self.expand(&definition, None, String::new());
        self.steps.iter_mut().for_each(|run| run.round = old.round);
        self.transplant_scope(&old, 0, 0, at);
        self.keep_the_past(&old);
        self.reindex();
        self.touched.extend(0..self.steps.len());
        self.settle(at);
    }

    fn transplant_scope(&mut self, old: &Self, from: usize, to: usize, at: Instant) {
        let (stage, unwinds) = (old.scopes[from].stage, old.scopes[from].unwinds);
        (self.scopes[to].stage, self.scopes[to].unwinds) = (stage.min(self.scopes[to].stages.len()), unwinds);
        for node in old.scopes[from].stages.concat() {
            if let Some(to) = self.paths.get(&old.steps[node].path).copied() {
                self.transplant(old, node, to, at);
            }
        }
    }

    fn transplant(&mut self, old: &Self, from: usize, to: usize, at: Instant) {
        let run = &old.steps[from];
        if run.stage != self.steps[to].stage {
            // It has not begun, and its turn comes with its new stage.
            return;
        }
        let forward = self.phase == Phase::Forward;
        if std::mem::discriminant(&run.shape) != std::mem::discriminant(&self.steps[to].shape) {
            // It has not begun, and becomes something else: if its turn has come, it begins as that.
            if forward && old.is_in_turn(from) && was_reached(run) {
                self.begin_step(to, at);
            }
            return;
        }
        let shape = run.shape.clone();
        self.steps[to].take_state_of(run);
        match (shape, self.steps[to].shape.clone()) {
            (Shape::Child(below), Shape::Child(to)) => {
                self.transplant_scope(old, below, to, at);
                if forward && old.is_in_turn(from) && was_reached(run) && !old.has_begun(from) {
                    self.begin_what_came_first(to, at);
                }
            }
            (Shape::Each(each), Shape::Each(_)) if each.listed => {
                let elements = each.elements.iter().filter_map(|node| old.steps[*node].element.as_ref());
                let elements: Vec<_> = elements.map(|element| element.element.clone()).collect();
                self.list(to, &elements);
                for node in &each.elements {
                    if let Some(to) = self.paths.get(&old.steps[*node].path).copied() {
                        self.transplant(old, *node, to, at);
                    }
                }
                self.keep_progress(to, &each);
            }
            _ => {}
        }
    }

    /// Its stage is the one in hand, and so is that of each step that it is a part of.
    fn is_in_turn(&self, node: usize) -> bool {
        let run = &self.steps[node];
        self.scopes[run.scope].stage == run.stage && self.above(node).is_none_or(|above| self.is_in_turn(above))
    }

    /// The turn of a child came, and nothing in it has begun: what is in its first stage now, and was not before, begins.
    fn begin_what_came_first(&mut self, scope: usize, at: Instant) {
        for node in self.scopes[scope].stages.first().cloned().unwrap_or_default() {
            if !was_reached(&self.steps[node]) {
                self.begin_step(node, at);
            }
        }
    }

    /// Elements of rounds that are over stay in the books: what of them was skipped stands.
    fn keep_the_past(&mut self, old: &Self) {
        for (node, run) in old.steps.iter().enumerate().filter(|(_, run)| !run.past.is_empty()) {
            let above = std::iter::successors(Some(node), |node| old.above(*node));
            let known = above.filter_map(|node| self.paths.get(&old.steps[node].path).copied()).next();
            if let (None, Some(known)) = (self.paths.get(&run.path), known) {
                let StepRun { scope, stage, index, .. } = self.steps[known];
                let element = run.element.as_ref().map(|element| element.moved_to(known));
                let gone = StepRun { scope, stage, index, shape: Shape::Leaf, element, ..run.clone() };
                self.add(gone);
            }
        }
    }
}

/// Its stage was reached, in this round or in one before. A child has no leg that would say so.
fn was_reached(run: &StepRun) -> bool {
    match run.shape {
        Shape::Child(_) => run.forward.began_at.is_some(),
        Shape::Leaf | Shape::Each(_) => !matches!(run.forward.state, LegState::Idle),
    }
}

fn obstacle(run: &StepRun, problem: String) -> Obstacle {
    Obstacle { step: Some(run.path.clone()), problem }
}
