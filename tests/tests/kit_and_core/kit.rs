//! Runs a case on the test kit of the SDK.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use amends_core::definition::{self, Body, Definition, EachMode, Kind, OnExhausted, OnUnknown, Undo};
use amends_sdk::{
    Answered, Arrival, At, Call, CommandData, Each, FromParent, Moment, Result, Retry, RollbackCause, Saga, Stage, Step, Stop,
    Wait, context, kind, refused,
    testing::{Run, Sent, Status, given},
    transient, unknown,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::case::{Answer, Asked, Attempt, Case, Move, Played, START_MS};

/// The result as text. A panic of the kit is a text as well.
pub(crate) fn played(case: &Case) -> String {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let play = || play(case, &calls);
    match catch_unwind(AssertUnwindSafe(play)) {
        Ok(run) => text(&run, calls.take()),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            format!("the kit panicked: {}", message.unwrap_or("no message"))
        }
    }
}

fn play(case: &Case, calls: &Calls) -> Run {
    let author = Author { case: Rc::new(case.clone()), calls: calls.clone() };
    let (asked, mut number) = (author.clone(), 0);
    let other = move |command: &Sent| {
        asked.calls.borrow_mut().push(format!("{} {} {}", command.name(), command.id(), command.data()));
        number += 1;
        match asked.case.answer_to_command(number) {
            Answer::Done(data) => Ok(data),
            Answer::Refused(code) => Err(refused(code, "")),
            Answer::Transient(code) => Err(transient(code, "")),
            answer @ (Answer::NotDone | Answer::Unknown(_) | Answer::Wait { .. }) => panic!("no aggregate says {answer:?}"),
        }
    };
    let mut run = given(author.saga::<Value>(&case.definition)).commands("other", other).when(&case.input);
    for step in &case.moves {
        run = match step {
            Move::Event(path) => run.event("go", path, path),
            Move::Pass(ms) => run.advance(Duration::from_millis(*ms)),
            Move::Cancel => run.cancel(),
        };
    }
    run
}

fn text(run: &Run, calls: Vec<String>) -> String {
    let failure = run.failure().map_or("no failure".to_owned(), |failure| failure.code);
    let output = if run.status() == Status::Completed { run.output::<Value>().to_string() } else { String::new() };
    let end = format!("{:?}, {failure}, +{}ms, {output}", run.status(), run.now().as_millis() - START_MS);
    let trace = run.to_string().lines().map(str::to_owned).collect();
    Played { trace, calls, end, ..Played::default() }.to_string()
}

type Calls = Rc<RefCell<Vec<String>>>;

/// Writes the modules: makes the SDK's sagas of definitions.
#[derive(Clone)]
struct Author {
    case: Rc<Case>,
    calls: Calls,
}

/// A step of some kind.
enum Any<I> {
    Undone(Step<kind::Compensatable, I, Value>),
    Left(Step<kind::NothingToUndo, I, Value>),
    Pivot(Step<kind::Pivot, I, Value>),
    PivotUndone(Step<kind::PivotWithUndo, I, Value>),
    Retriable(Step<kind::Retriable, I, Value>),
    Child(Step<kind::Child, I, Value>),
    FannedOut(Step<kind::FannedOut, I, Value>),
    Command(AnyCommand<I>),
    FannedOutCommand(Step<kind::FannedOut, I, Answered>),
}

/// A command of some kind.
enum AnyCommand<I> {
    Undone(Step<kind::Compensatable, I, Answered>),
    Left(Step<kind::NothingToUndo, I, Answered>),
    Pivot(Step<kind::Pivot, I, Answered>),
    Retriable(Step<kind::Retriable, I, Answered>),
}

/// Steps of several kinds, as one stage.
struct Mixed<I>(Vec<Any<I>>);

impl<I> Stage<I> for Mixed<I> {
    fn steps(self) -> amends_sdk::Steps {
        let steps = self.0.into_iter().map(|step| match step {
            Any::Undone(step) => [step].steps(),
            Any::Left(step) => [step].steps(),
            Any::Pivot(step) => [step].steps(),
            Any::PivotUndone(step) => [step].steps(),
            Any::Retriable(step) => [step].steps(),
            Any::Child(step) => [step].steps(),
            Any::FannedOut(step) => [step].steps(),
            Any::Command(AnyCommand::Undone(step)) => [step].steps(),
            Any::Command(AnyCommand::Left(step)) => [step].steps(),
            Any::Command(AnyCommand::Pivot(step)) => [step].steps(),
            Any::Command(AnyCommand::Retriable(step)) => [step].steps(),
            Any::FannedOutCommand(step) => [step].steps(),
        });
        steps.collect()
    }
}

/// What steps get: a saga's input, or in a child also outputs of its parent.
trait Input: Serialize + DeserializeOwned + Sized + 'static {
    /// A child that gets outputs of its parent's steps.
    fn child_with_outputs(author: &Author, step: &definition::Step, child: &Definition) -> Step<kind::Child, Self, Value>;
}

impl Input for Value {
    fn child_with_outputs(author: &Author, step: &definition::Step, child: &Definition) -> Step<kind::Child, Value, Value> {
        let child: Saga<FromParent<Value, Value>> = author.saga(child);
        Step::child(step.name.clone(), child).with_outputs_of(step.needs.clone())
    }
}

impl Input for FromParent<Value, Value> {
    fn child_with_outputs(_: &Author, step: &definition::Step, _: &Definition) -> Step<kind::Child, Self, Value> {
        panic!("{} is in a child that gets outputs of its parent, and is one itself", step.name)
    }
}

impl Author {
    fn saga<I: Input>(&self, definition: &Definition) -> Saga<I> {
        let mut saga = Saga::new(definition.name.clone()).rounds(definition.rounds);
        if let Some(ms) = definition.deadline_ms {
            saga = saga.deadline(Duration::from_millis(ms));
        }
        for stage in &definition.stages {
            saga = saga.parallel(Mixed(stage.steps.iter().map(|step| self.step(step)).collect()));
            if let Some(savepoint) = &stage.savepoint_after {
                saga = saga.savepoint(savepoint.clone());
            }
        }
        saga
    }

    fn step<I: Input>(&self, step: &definition::Step) -> Any<I> {
        let Some(each) = &step.each else { return self.single(step) };
        let fan = each_of(each);
        match self.single::<Value>(step) {
            Any::Undone(step) => Any::FannedOut(step.each(fan)),
            Any::Left(step) => Any::FannedOut(step.each(fan)),
            Any::Retriable(step) => Any::FannedOut(step.each(fan)),
            Any::Child(step) => Any::FannedOut(step.each(fan)),
            Any::Command(AnyCommand::Undone(step)) => Any::FannedOutCommand(step.each(fan)),
            Any::Command(AnyCommand::Left(step)) => Any::FannedOutCommand(step.each(fan)),
            Any::Command(AnyCommand::Retriable(step)) => Any::FannedOutCommand(step.each(fan)),
            Any::Command(AnyCommand::Pivot(_))
            | Any::Pivot(_)
            | Any::PivotUndone(_)
            | Any::FannedOut(_)
            | Any::FannedOutCommand(_) => panic!("{} does not fan out", step.name),
        }
    }

    fn single<I: Input>(&self, step: &definition::Step) -> Any<I> {
        if let Body::Child(name) = &step.body {
            let child = self.case.child(name);
            return Any::Child(match step.kind {
                _ if !step.needs.is_empty() => I::child_with_outputs(self, step, child),
                Kind::Retriable => Step::retriable_child(step.name.clone(), self.saga(child)),
                Kind::Compensatable | Kind::Pivot => Step::child(step.name.clone(), self.saga(child)),
            });
        }
        if let Body::Command(command) = &step.body {
            return Any::Command(command_of(step, command));
        }
        let name = step.name.clone();
        match (step.kind, &step.undo) {
            (Kind::Compensatable, Undo::Code(policy)) => {
                let code = self.rolls_back(self.policies(Step::compensatable(name, self.execute()), step), step);
                Any::Undone(self.undo_policies(code.undo(self.compensate()), policy))
            }
            (Kind::Compensatable, _) => {
                Any::Left(self.rolls_back(self.policies(Step::compensatable(name, self.execute()), step), step).undo_nothing())
            }
            (Kind::Pivot, Undo::Code(policy)) => {
                let code = self.policies(Step::pivot(name, self.execute()), step).undo(self.compensate());
                Any::PivotUndone(self.undo_policies(self.rolls_back(code, step), policy))
            }
            (Kind::Pivot, _) => Any::Pivot(self.policies(Step::pivot(name, self.execute()), step)),
            (Kind::Retriable, _) => Any::Retriable(self.policies(Step::retriable(name, self.execute()), step)),
        }
    }

    fn policies<K: kind::RunsCode, I: Input>(&self, code: Step<K, I, Value>, step: &definition::Step) -> Step<K, I, Value> {
        let mut code = code.retry(retry_of(&step.retry)).needs(step.needs.clone());
        if step.effect_free {
            code = code.effect_free();
        }
        if step.on_exhausted == OnExhausted::Stuck && step.kind != Kind::Retriable {
            code = code.stuck_when_exhausted();
        }
        for _ in 0..step.alternates {
            code = code.alternate(self.execute());
        }
        match step.on_unknown {
            OnUnknown::Check => code.check(self.check()),
            OnUnknown::OnceThenStop => code.once_then_stop(),
            OnUnknown::Retry | OnUnknown::OnceThenRollback => code,
        }
    }

    fn rolls_back<K, I: Input>(&self, code: Step<K, I, Value>, step: &definition::Step) -> Step<K, I, Value>
    where
        K: kind::RollsBack,
    {
        if step.on_unknown == OnUnknown::OnceThenRollback { code.once_then_rollback() } else { code }
    }

    fn undo_policies<K, I: Input>(&self, code: Step<K, I, Value>, policy: &definition::UndoPolicy) -> Step<K, I, Value>
    where
        K: kind::HasUndo,
    {
        let undoes = (0..policy.alternates).fold(code, |code, _| code.undo_alternate(self.compensate()));
        let undoes = undoes.undo_retry(retry_of(&policy.retry));
        if policy.effect_free { undoes.undo_effect_free() } else { undoes }
    }

    fn execute<I: Input>(&self) -> impl Fn(I, &Call) -> Result<Value> + 'static {
        let author = self.clone();
        move |input, call| match author.answer(Asked::Forward, &input, None, call) {
            Answer::Done(output) => Ok(output),
            other => Err(stop(other, call)),
        }
    }

    fn compensate<I: Input>(&self) -> impl Fn(I, Option<Value>, &Call) -> Result + 'static {
        let author = self.clone();
        move |input, output, call| match author.answer(Asked::Undo, &input, output, call) {
            Answer::Done(_) => Ok(()),
            other => Err(stop(other, call)),
        }
    }

    fn check<I: Input>(&self) -> impl Fn(I, &Call) -> Result<Option<Value>> + 'static {
        let author = self.clone();
        move |input, call| match author.answer(Asked::Check, &input, None, call) {
            Answer::Done(output) => Ok(Some(output)),
            Answer::NotDone => Ok(None),
            other => Err(stop(other, call)),
        }
    }

    /// Records the arguments of the call, and answers it.
    fn answer<I: Serialize>(&self, asked: Asked, input: &I, own_output: Option<Value>, call: &Call) -> Answer {
        let (alternate, undo_alternate, round) = (call.alternate(), call.undo_alternate(), call.round());
        let attempt = Attempt { asked, path: call.path(), alternate, undo_alternate, round, number: call.attempt() };
        let arrived = match call.arrived() {
            None => "nothing".to_owned(),
            Some(Arrival::Timer) => "timer".to_owned(),
            Some(Arrival::Answer(_)) => "answer".to_owned(),
            Some(Arrival::Event(event)) => format!("{}/{}", event.event_type, event.key),
        };
        let cause = call.rollback_cause().map(|cause| match cause {
            RollbackCause::Refused { step, failure } => format!("{step} refused {}", failure.code),
            RollbackCause::Exhausted { step, failure } => format!("{step} exhausted {}", failure.code),
            RollbackCause::Unknown { step, failure } => format!("{step} unknown {}", failure.code),
            RollbackCause::Cancelled => "cancelled".to_owned(),
            RollbackCause::Deadline => "deadline".to_owned(),
            RollbackCause::AlternateRefused { failure } => format!("alternate refused {}", failure.code),
        });
        let needs = self.needs(call).into_iter().map(|name| {
            let output: Value = call.output(&name).unwrap_or(Value::Null);
            format!("{name}={output}")
        });
        let since_start = |moment: Moment| moment.as_millis() - START_MS;
        self.calls.borrow_mut().push(format!(
            "{attempt:?} may have run {}, after {:?}, for {cause:?}, element {:?}, arrived {arrived}, own {own_output:?}, needs {:?}, input {}, now {}, began {}, until {}",
            call.may_have_run(),
            call.last_failure().map(|failure| failure.code),
            call.element(),
            needs.collect::<Vec<_>>(),
            serde_json::to_value(input).unwrap(),
            since_start(context::now()),
            since_start(context::attempt_started_at()),
            since_start(call.deadline()),
        ));
        self.case.answer(&attempt)
    }

    /// What the step of this call says it needs, wherever in the case it is declared.
    fn needs(&self, call: &Call) -> Vec<String> {
        let own = !call.path().contains('/');
        let step = self.case.definition.step(call.step()).filter(|_| own);
        step.map_or(Vec::new(), |(_, step)| step.needs.clone())
    }
}

fn command_of<I: Input>(step: &definition::Step, command: &definition::CommandStep) -> AnyCommand<I> {
    let (name, sent, data) = (step.name.clone(), command.command.clone(), said(&command.data));
    let at = At::new(command.aggregate.clone(), command.id.clone());
    match (step.kind, &step.undo, &command.undo) {
        (Kind::Compensatable, Undo::Code(policy), Some(undo)) => {
            let sends = Step::command(name, at, sent).data(data);
            let undone = match &undo.data {
                None => sends.undo(undo.command.clone()),
                Some(data) => sends.undo_with(undo.command.clone(), said(data)),
            };
            AnyCommand::Undone(undone.undo_retry(retry_of(&policy.retry)))
        }
        (Kind::Compensatable, _, _) => AnyCommand::Left(Step::command(name, at, sent).data(data).undo_nothing()),
        (Kind::Pivot, _, _) => AnyCommand::Pivot(Step::pivot_command(name, at, sent).data(data)),
        (Kind::Retriable, _, _) => AnyCommand::Retriable(Step::retriable_command(name, at, sent).data(data)),
    }
}

fn said(data: &definition::CommandData) -> CommandData {
    match data {
        definition::CommandData::At(pointer) => pointer.clone().into(),
        definition::CommandData::Object(members) => {
            members.iter().map(|member| (member.name.clone(), member.at.clone())).collect::<Vec<_>>().into()
        }
    }
}

fn stop(answer: Answer, call: &Call) -> Stop {
    match answer {
        Answer::Refused(code) => refused(code, ""),
        Answer::Transient(code) => transient(code, ""),
        Answer::Unknown(code) => unknown(code, ""),
        Answer::Wait { event, for_ms } => {
            let until = for_ms.map(|ms| context::attempt_started_at() + Duration::from_millis(ms));
            let wait = match (event, until) {
                (true, None) => Wait::event("go", call.path()),
                (true, Some(until)) => Wait::event("go", call.path()).or_until(until),
                (false, until) => Wait::until(until.unwrap_or_default()),
            };
            wait.into()
        }
        Answer::Done(_) | Answer::NotDone => panic!("{answer:?} is no stop"),
    }
}

fn each_of(each: &definition::Each) -> Each {
    let rest = each.items.strip_prefix("/input");
    let fan = match (rest, each.items.strip_prefix("/outputs/")) {
        (Some(pointer), _) => Each::in_input(pointer),
        (None, Some(step)) => Each::in_output(step, ""),
        (None, None) => panic!("{} is no list", each.items),
    };
    let fan = fan.concurrency(each.concurrency);
    let fan = if each.mode == EachMode::Collect { fan.collect() } else { fan.fail_fast() };
    match &each.key {
        Some(key) => fan.key(key.clone()),
        None => fan,
    }
}

fn retry_of(retry: &definition::Retry) -> Retry {
    let time_box = retry.time_box_ms.map(Duration::from_millis);
    let budget = match (retry.attempts_max, time_box) {
        (Some(attempts), None) => Retry::attempts(attempts),
        (Some(attempts), Some(time_box)) => Retry::attempts(attempts).time_box(time_box),
        (None, Some(time_box)) => Retry::within(time_box),
        (None, None) => panic!("the SDK has no retry without an end"),
    };
    budget
        .first(Duration::from_millis(retry.first_ms))
        .factor_percent(retry.factor_percent)
        .cap(Duration::from_millis(retry.cap_ms))
        .jitter_percent(retry.jitter_percent)
}
