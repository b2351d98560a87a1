//! What follows from the state without a decision: the next alternate, the next stage, the end of a child, the order of undoing.
//!
//! Every change of a step is noted; settling takes the noted steps one by one and looks at what is above them, never at all steps.

use super::{
    definition::Kind,
    output,
    run::{LegState, StepRun},
    state::{Phase, Saga},
    tree::{Shape, place_of},
};
use crate::value::Instant;

impl Saga {
    pub(crate) fn settle(&mut self, at: Instant) {
        loop {
            while let Some(node) = self.touched.pop() {
                self.index(node);
                self.settle_step(node, at);
            }
            let begins_to_unwind = self.phase == Phase::Backward && !self.scopes[0].unwinds && self.live.counts().forward == 0;
            if !begins_to_unwind {
                return;
            }
            self.unwind_scope(0, at);
        }
    }

    /// Everything that is kept beside the steps, made anew from them.
    pub(crate) fn reindex(&mut self) {
        (0..self.steps.len()).for_each(|node| self.index(node));
        // What is below comes after what it is in.
        (0..self.steps.len()).rev().for_each(|node| self.tell(node));
    }

    /// Keeps the list of legs that are ready, open, at rest or stuck: all that is ever looked through.
    fn index(&mut self, node: usize) {
        for direction in self.steps[node].directions() {
            self.live.put((node, place_of(direction)), self.steps[node].leg(direction));
        }
    }

    fn settle_step(&mut self, node: usize, at: Instant) {
        let run = &self.steps[node];
        if run.is_leaf() && self.has_another_alternate(run) {
            self.turn(node, at);
        } else if run.is_leaf() && self.is_undone_before_its_result(run) {
            self.begin_undo(node, at);
        }
        self.note_point_of_no_return(node);
        let mut below = Some(node);
        while let Some(node) = below {
            self.tell(node);
            below = self.above(node);
            match (&self.steps[node].element, self.phase) {
                (Some(element), _) => self.settle_each(element.each, at),
                (None, Phase::Forward) => self.settle_scope(self.steps[node].scope, at),
                (None, Phase::Backward) if self.scopes[self.steps[node].scope].unwinds => {
                    self.unwind_scope(self.steps[node].scope, at);
                }
                (None, _) => {}
            }
        }
    }

    /// A refused alternate makes place for the next one, after its compensation if it may have run.
    fn turn(&mut self, node: usize, at: Instant) {
        if self.wants_undo(&self.steps[node]) {
            return self.begin_undo(node, at);
        }
        self.touch(node).take_next_alternate(at);
        self.index(node);
    }

    /// Asks the step to be undone, if nobody has asked.
    fn begin_undo(&mut self, node: usize, at: Instant) {
        if matches!(self.steps[node].undo.state, LegState::Idle) {
            let run = self.touch(node);
            (run.undo.state, run.undo.ready_at) = (LegState::Ready, at);
            self.index(node);
        }
    }

    fn note_point_of_no_return(&mut self, node: usize) {
        let run = &self.steps[node];
        self.past_point_of_no_return |= match self.step(run).kind {
            Kind::Pivot => run.is_done(),
            Kind::Retriable => run.has_begun() || run.is_done(),
            Kind::Compensatable => false,
        };
    }

    pub(crate) fn settle_each(&mut self, node: usize, at: Instant) {
        let Shape::Each(each) = &self.steps[node].shape else { return };
        if self.phase == Phase::Forward || self.phase == Phase::Backward && each.unwinds {
            self.fill(node, at);
        }
        let run = &self.steps[node];
        let Shape::Each(each) = &run.shape else { return };
        let done = self.phase == Phase::Forward && each.listed && each.sum.settled == each.elements.len() && !run.is_done();
        if done {
            let output = output::of_each(self, node);
            self.touch(node).end_above(output, at);
        }
    }

    /// The next stage begins when every step of this one is done; after the last one the child is.
    fn settle_scope(&mut self, scope: usize, at: Instant) {
        // After a move to a version without them, the stages that were left are none.
        if let Some(nodes) = self.scopes[scope].stages.get(self.scopes[scope].stage) {
            if !nodes.iter().all(|node| self.steps[*node].is_done()) {
                return;
            }
            self.scopes[scope].stage += 1;
            self.begin_stage(scope, at);
        }
        let over = self.scopes[scope].stage == self.scopes[scope].stages.len();
        if over
            && let Some(owner) = self.scopes[scope].owner
            && !self.steps[owner].is_done()
        {
            let output = output::of_scope(self, scope);
            self.touch(owner).end_above(output, at);
        }
    }

    pub(crate) fn begin_stage(&mut self, scope: usize, at: Instant) {
        let scope = &self.scopes[scope];
        for node in scope.stages.get(scope.stage).cloned().unwrap_or_default() {
            self.begin_step(node, at);
        }
    }

    pub(crate) fn begin_step(&mut self, node: usize, at: Instant) {
        if let Shape::Child(scope) = self.steps[node].shape {
            self.touch(node).forward.began_at.get_or_insert(at);
            return self.begin_stage(scope, at);
        }
        let run = self.touch(node);
        (run.forward.state, run.forward.ready_at) = (LegState::Ready, at);
        self.index(node);
    }

    /// Undoes a scope's stages, the last first: each begins when the one after it is undone.
    fn unwind_scope(&mut self, scope: usize, at: Instant) {
        let target = if scope == 0 { self.target } else { 0 };
        let last = self.scopes[scope].stages.len().saturating_sub(1);
        if !self.scopes[scope].unwinds {
            self.scopes[scope].unwinds = true;
            self.scopes[scope].stage = self.scopes[scope].stage.min(last);
        }
        loop {
            let Some(nodes) = self.scopes[scope].stages.get(self.scopes[scope].stage).cloned() else { return };
            for node in &nodes {
                self.unwind_step(*node, at);
            }
            let standing = nodes.iter().any(|node| self.summary(*node).standing);
            if standing || self.scopes[scope].stage <= target {
                return;
            }
            self.scopes[scope].stage -= 1;
        }
    }

    /// Asks a step to be undone, if anything of it stands and nobody has asked.
    pub(crate) fn unwind_step(&mut self, node: usize, at: Instant) {
        let run = &self.steps[node];
        match &run.shape {
            Shape::Leaf if self.wants_undo(run) => self.begin_undo(node, at),
            Shape::Leaf => {}
            Shape::Child(scope) if self.scopes[*scope].unwinds => {}
            Shape::Child(scope) => self.unwind_scope(*scope, at),
            Shape::Each(_) => {
                if let Shape::Each(each) = &mut self.steps[node].shape {
                    each.unwinds = true;
                }
                self.fill(node, at);
            }
        }
    }

    /// Everything of a step, and of what it consists of, begins afresh.
    pub(crate) fn begin_afresh(&mut self, node: usize, round: u32) {
        let mut children = Vec::new();
        let mut fresh = |run: &mut StepRun| {
            run.begin_round(round);
            children.extend(if let Shape::Child(scope) = run.shape { Some(scope) } else { None });
        };
        self.for_all_below(node, &mut fresh);
        for scope in children {
            (self.scopes[scope].stage, self.scopes[scope].unwinds) = (0, false);
        }
        self.forget_lists(node);
    }

    fn forget_lists(&mut self, node: usize) {
        match &self.steps[node].shape {
            Shape::Leaf => {}
            Shape::Child(scope) => {
                for node in self.scopes[*scope].stages.concat() {
                    self.forget_lists(node);
                }
            }
            Shape::Each(each) => {
                for node in each.elements.clone() {
                    self.forget_lists(node);
                    self.index(node);
                    // The fan-out begins afresh and knows nothing of it any more.
                    if let Some(element) = &mut self.steps[node].element {
                        *element = element.moved_to(element.each);
                    }
                }
                self.steps[node].shape = Shape::Each(Box::default());
            }
        }
        self.index(node);
    }
}
