//! What a cancel would do now: which compensations, in which order. Nothing is decided by asking.

use super::{
    definition::{Kind, Undo},
    run::{StepRun, UndoneBy},
    state::{Phase, Saga},
    tree::Shape,
    verbs::{self, Rejected},
};
use crate::{
    event::{Act, Code},
    id::Leg,
};

/// What a cancel would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelPreview {
    /// An attempt of the pivot is open: its outcome decides. If it is done, nothing is undone.
    pub pivot_decides: bool,
    /// A rollback is under way already, to the start; a cancel changes nothing.
    pub under_way: bool,
    /// What is undone, and in which order.
    pub undoing: Undoing,
    /// Steps that are done, or may be, and leave nothing to undo.
    pub left: Vec<Leg>,
    /// What the compensations run on.
    pub code: Code,
}

/// Compensations in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undoing {
    /// One compensation.
    Leg {
        /// Whose, by the alternate that is tried next.
        leg: Leg,
        /// Whether it runs.
        certainty: Certainty,
    },
    /// Each when the one before it has ended.
    InOrder(Vec<Undoing>),
    /// In any order, side by side; elements of a fan-out as many at once as it allows.
    SideBySide(Vec<Undoing>),
}

/// Whether a compensation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The step is done.
    Done,
    /// The step may have run: the compensation has to tolerate that it did not.
    MayHaveRun,
    /// An attempt is open, and it depends on its outcome.
    Open,
}

impl Saga {
    /// What a cancel would do now, or why it does not fit.
    pub fn cancel_preview(&self) -> Result<CancelPreview, Rejected> {
        let decided = verbs::cancel(self, Act::default())?;
        let mut left = Vec::new();
        let undoing = self.undoing_of_scope(0, &mut left);
        let pivot = |run: &StepRun| self.step(run).kind == Kind::Pivot && run.has_open_forward();
        Ok(CancelPreview {
            pivot_decides: self.current().any(pivot),
            under_way: decided.is_empty() && self.phase == Phase::Backward,
            undoing: undoing.unwrap_or(Undoing::InOrder(Vec::new())),
            left,
            code: self.code(),
        })
    }

    fn undoing_of_scope(&self, scope: usize, left: &mut Vec<Leg>) -> Option<Undoing> {
        let stages = self.scopes[scope].stages.iter().rev();
        let undoing =
            stages.filter_map(|nodes| several(nodes.iter().filter_map(|node| self.undoing_of(*node, left)), Undoing::SideBySide));
        several(undoing.collect::<Vec<_>>().into_iter(), Undoing::InOrder)
    }

    fn undoing_of(&self, node: usize, left: &mut Vec<Leg>) -> Option<Undoing> {
        let run = &self.steps[node];
        match &run.shape {
            Shape::Leaf => self.undoing_of_leaf(run, left),
            Shape::Child(scope) => self.undoing_of_scope(*scope, left),
            Shape::Each(each) => {
                let elements = each.elements.iter().rev().filter_map(|node| self.undoing_of(*node, left));
                several(elements, Undoing::SideBySide)
            }
        }
    }

    fn undoing_of_leaf(&self, run: &StepRun, left: &mut Vec<Leg>) -> Option<Undoing> {
        let open = run.forward.reaches_outside_now() || run.has_open_forward() && !run.may_stand();
        let certainty = match (run.is_done(), run.is_in_doubt()) {
            (true, _) => Certainty::Done,
            (false, true) => Certainty::MayHaveRun,
            (false, false) if open => Certainty::Open,
            (false, false) => return None,
        };
        let undone = matches!(run.undone, Some(UndoneBy::Code | UndoneBy::Hand | UndoneBy::Skip));
        let leg = run.name_leg(run.undo_direction());
        match &self.step(run).undo {
            _ if undone => None,
            Undo::Code(_) => Some(Undoing::Leg { leg, certainty }),
            Undo::None | Undo::Nothing => {
                left.push(run.name_leg(crate::id::Direction::Forward));
                None
            }
        }
    }
}

/// One stands for itself; none is nothing to be said of.
fn several(undoing: impl Iterator<Item = Undoing>, together: impl Fn(Vec<Undoing>) -> Undoing) -> Option<Undoing> {
    let mut all: Vec<Undoing> = undoing.collect();
    match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(together(all)),
    }
}
