//! The laws of a move to another version: when it fits, and what the saga is then.

use std::{collections::BTreeSet, sync::Arc};

use amends_core::{
    Definition, Event,
    definition::{Body, EachMode, Step, Undo},
    id::Leg,
};

use crate::{
    model::{At, Law, Model, Place, StepModel, law, planted, planted_elements, savepoints},
    script::Given,
};

impl Model {
    /// A move was accepted, and this came of it.
    pub(crate) fn moved(&mut self, target: &Given, events: &[Event]) -> Law {
        if let Some(obstacle) = self.obstacle(target) {
            return Err(format!("it moves, although {obstacle}"));
        }
        law!(matches!(events.first(), Some(Event::Moved(_))), "a move begins with another record");
        self.goes_over(target);
        self.moves = true;
        let stuck: BTreeSet<Leg> = self.legs().filter(|(_, at)| matches!(at, At::Stuck(_))).map(|(leg, _)| leg).collect();
        let retried = match events.get(1) {
            Some(Event::Retried(legs, _)) => legs.iter().cloned().collect(),
            _ => BTreeSet::new(),
        };
        law!(retried == stuck, "what was stuck is not what is tried again");
        Ok(())
    }

    /// What stands against a move: something is open, what has begun would mean something else, or something would be new where
    /// the saga has been or is.
    pub(crate) fn obstacle(&self, target: &Given) -> Option<String> {
        if self.legs().any(|(_, at)| matches!(at, At::Open(_))) {
            return Some("an attempt is open".into());
        }
        let stops = self.savepoints.iter().find(|(at, _)| self.rolls_back && *at == self.back_to);
        if stops.is_some_and(|savepoint| !savepoints(&target.definition).contains(savepoint)) {
            return Some("its rollback goes to a savepoint that is not there".into());
        }
        self.differs(&self.definition, &target.definition, &target.module, "")
    }

    fn differs(&self, old: &Definition, new: &Definition, module: &[Arc<Definition>], prefix: &str) -> Option<String> {
        let mut reached = None;
        for (stage, step) in old.steps() {
            let path = format!("{prefix}{}", step.name);
            if !self.has_begun(&path) {
                continue;
            }
            reached = reached.max(Some(stage));
            let Some((there, other)) = new.step(&step.name) else { return Some(format!("{path} has begun and is gone")) };
            let same = step.kind == other.kind && step.body == other.body && step.each == other.each;
            if there != stage || !same || step.alternates != other.alternates || !self.can_be_undone_by(&path, step, other) {
                return Some(format!("{path} has begun and is another"));
            }
            let Body::Child(name) = &step.body else { continue };
            let (Some(child), Some(next)) = (child(&self.module, name), child(module, name)) else { continue };
            for body in self.bodies(&path, step) {
                if let Some(problem) = self.differs(child, next, module, &format!("{body}/")) {
                    return Some(problem);
                }
            }
        }
        let is = |stage: usize| self.has_come_to(old, stage, prefix) || reached.is_some_and(|reached| stage <= reached);
        let mut new_ones = new.steps().filter(|(stage, _)| is(*stage));
        let brought = new_ones.find(|(stage, step)| old.step(&step.name).is_none_or(|(before, _)| before != *stage));
        brought.map(|(_, step)| format!("{prefix}{} comes where the saga has been", step.name))
    }

    /// A step, or the elements of a fan-out of which something has begun.
    fn bodies(&self, path: &str, step: &Step) -> Vec<String> {
        if step.each.is_none() {
            return vec![path.to_owned()];
        }
        let each = self.steps.iter().find(|each| each.path.as_str() == path);
        let elements = each.into_iter().flat_map(|each| &each.elements).map(|key| format!("{path}[{key}]"));
        elements.filter(|element| self.has_begun(element)).collect()
    }

    /// Something of it happened, or was decided.
    fn has_begun(&self, path: &str) -> bool {
        self.below(path).any(|step| !step.gone && (step.begun || step.done || step.listed))
    }

    /// The saga goes forward and is at this stage or behind it, or all of the definition is over and stays so.
    fn has_come_to(&self, definition: &Definition, stage: usize, prefix: &str) -> bool {
        let is_over = |name: &str| self.below(&format!("{prefix}{name}")).all(|step| self.is_settled(step));
        let open = definition.steps().filter(|(_, step)| !is_over(&step.name)).map(|(stage, _)| stage).min();
        match open {
            None => !self.rolls_back || self.below(prefix.trim_end_matches('/')).any(|step| step.place.stage() < self.back_to),
            Some(open) => !self.rolls_back && !self.waits_for_locks && stage <= open,
        }
    }

    /// What was begun with a compensation keeps one, with the way of it that is in hand. What was begun without gets none in a
    /// rollback, which has passed it by.
    fn can_be_undone_by(&self, path: &str, step: &Step, other: &Step) -> bool {
        match (&step.undo, &other.undo) {
            (Undo::Code(_), Undo::Code(policy)) => self.below(path).all(|step| step.undo_alternate <= policy.alternates),
            (Undo::Code(_), Undo::None | Undo::Nothing) => false,
            (Undo::None | Undo::Nothing, Undo::Code(_)) => {
                let collects = step.each.as_ref().is_some_and(|each| each.mode == EachMode::Collect);
                !self.rolls_back && !collects
            }
            (Undo::None | Undo::Nothing, Undo::None | Undo::Nothing) => true,
        }
    }

    /// The step of this path and what it consists of.
    fn below(&self, path: &str) -> impl Iterator<Item = &StepModel> {
        self.steps.iter().filter(move |step| {
            let rest = step.path.as_str().strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
        })
    }

    /// The steps are those of the other version; what is known of them stays.
    fn goes_over(&mut self, target: &Given) {
        let old = std::mem::take(&mut self.steps);
        (self.definition, self.module) = (Arc::clone(&target.definition), target.module.clone());
        self.savepoints = savepoints(&target.definition);
        // The round after a rollback to a savepoint was decided with the rollback.
        let decided = if self.rolls_back && self.back_to > 0 { self.round + 1 } else { 0 };
        self.rounds = target.definition.rounds.max(decided);
        let mut fresh = planted(&self.definition, &self.module, "", &Place::default());
        fresh.reverse();
        while let Some(mut step) = fresh.pop() {
            step.round = self.round;
            let same =
                |known: &&StepModel| known.path == step.path && known.fans_out == step.fans_out && known.place == step.place;
            let known = old.iter().find(same);
            if let Some(known) = known {
                step.take_state_of(known);
            }
            if step.listed {
                fresh.extend(planted_elements(&step, &self.module));
            }
            self.steps.push(step);
        }
        let new: BTreeSet<_> = self.steps.iter().map(|step| step.path.clone()).collect();
        self.steps.extend(old.into_iter().filter(|step| step.gone && step.begun && !new.contains(&step.path)));
    }
}

fn child<'a>(module: &'a [Arc<Definition>], name: &str) -> Option<&'a Definition> {
    module.iter().find(|child| child.name == name).map(AsRef::as_ref)
}
