//! The kinds of steps, as types: they decide what may be declared about a step.

/// Can be undone, but nobody said how yet.
#[derive(Debug)]
pub enum WithoutUndo {}
/// Can be undone, and is, if a later step fails.
#[derive(Debug)]
pub enum Compensatable {}
/// Can be undone by doing nothing.
#[derive(Debug)]
pub enum NothingToUndo {}
/// The point of no return: once it is done, the saga goes forward to its end.
#[derive(Debug)]
pub enum Pivot {}
/// A pivot that is undone if nobody can tell whether it happened.
#[derive(Debug)]
pub enum PivotWithUndo {}
/// After the point of no return: tried until it is done.
#[derive(Debug)]
pub enum Retriable {}

/// A saga of the module in place of a function.
#[derive(Debug)]
pub enum Child {}
/// A step for each element of a list.
#[derive(Debug)]
pub enum FannedOut {}

/// A kind that one function of the module runs: policies can be declared about it.
#[diagnostic::on_unimplemented(
    message = "this cannot be declared for a child, nor after `.each(…)`",
    note = "declare it for the step before `.each(…)`; the steps of a child have their own declarations"
)]
pub trait RunsCode {}
impl RunsCode for WithoutUndo {}
impl RunsCode for Compensatable {}
impl RunsCode for NothingToUndo {}
impl RunsCode for Pivot {}
impl RunsCode for PivotWithUndo {}
impl RunsCode for Retriable {}

/// A kind that can run once for each element of a list.
#[diagnostic::on_unimplemented(
    message = "this step cannot run for each element of a list",
    note = "a compensatable step needs `.undo(function)` or `.undo_nothing()` before, and a pivot is one decision: make it a retriable step"
)]
pub trait FansOut {}
impl FansOut for Compensatable {}
impl FansOut for NothingToUndo {}
impl FansOut for Retriable {}
impl FansOut for Child {}

/// A kind that a rollback can pass.
#[diagnostic::on_unimplemented(
    message = "a rollback cannot pass this step",
    note = "a retriable step has no way back, and a pivot has one only with an undo: use `.once_then_stop()`, or give the pivot one before"
)]
pub trait RollsBack {}
impl RollsBack for WithoutUndo {}
impl RollsBack for Compensatable {}
impl RollsBack for NothingToUndo {}
impl RollsBack for PivotWithUndo {}

/// A kind that an undo can be added to, and the kind it becomes.
#[diagnostic::on_unimplemented(
    message = "this step takes no undo",
    note = "a retriable step is never undone, and a step has one undo at most"
)]
pub trait TakesUndo {
    /// The kind with its undo.
    type Undoable;
}
impl TakesUndo for WithoutUndo {
    type Undoable = Compensatable;
}
impl TakesUndo for Pivot {
    type Undoable = PivotWithUndo;
}

/// A kind with an undo of its own code.
#[diagnostic::on_unimplemented(message = "this step has no undo to say this of", note = "add `.undo(function)` before")]
pub trait HasUndo {}
impl HasUndo for Compensatable {}
impl HasUndo for PivotWithUndo {}

/// A kind that a saga takes.
#[diagnostic::on_unimplemented(
    message = "this compensatable step does not say how it is undone",
    label = "a step without an undo",
    note = "add `.undo(function)`, or `.undo_nothing()` if it leaves nothing behind"
)]
pub trait Complete {}
impl Complete for Compensatable {}
impl Complete for NothingToUndo {}
impl Complete for Pivot {}
impl Complete for PivotWithUndo {}
impl Complete for Retriable {}
impl Complete for Child {}
impl Complete for FannedOut {}
