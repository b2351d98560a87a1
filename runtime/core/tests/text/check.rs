//! The one helper: plays a script against a definition and compares the history.

use std::fmt::Write as _;

use amends_core::{
    Saga,
    command::StepCommand,
    effects::Call,
    event::{RollbackCause, Woken},
    id::StepPath,
    validate::{Limits, problems},
    verbs::Rejected,
    view::{BodyView, LegView, View},
};
use expect_test::Expect;

use crate::{
    play::Play,
    script::{Given, Move, event_text, json, moment, moves, reason_text, wait_text, why_text},
};

/// The data of a command.
const COMMAND_BYTES_MAX: usize = 160;

/// Plays `script` against a new saga of `definition`: each move with the events that it brought, then where the saga stands.
#[track_caller]
pub(crate) fn check(definition: &str, script: &str, expect: Expect) {
    let given = Given::new(definition);
    for it in std::iter::once(&given.definition).chain(&given.module) {
        assert_eq!(problems(it, &given.module, &Limits::default()), [], "a test's definition keeps the rules");
    }
    let mut play = Play::start(&given);
    let mut text = String::from("> start\n");
    for (_, event) in &play.history {
        writeln!(text, "  {}", event_text(event)).unwrap();
    }
    for step in moves(script) {
        writeln!(text, "> {step}").unwrap();
        match play.play(&step) {
            Ok(events) => events.iter().for_each(|event| writeln!(text, "  {}", event_text(event)).unwrap()),
            Err(rejected) => writeln!(text, "  {}", rejected_text(&rejected)).unwrap(),
        }
        match &step {
            Move::Show => text.push_str(&view_text(&play.saga.view())),
            Move::Unwanted => {
                let unwanted: Vec<String> =
                    play.saga.unwanted().iter().map(|attempt| format!("{} #{}", attempt.leg, attempt.number)).collect();
                writeln!(text, "  {}", if unwanted.is_empty() { "none".to_owned() } else { unwanted.join(", ") }).unwrap();
            }
            Move::Call(leg) => {
                let open = play.saga.effects().run;
                let intent = open.iter().find(|intent| intent.attempt.leg == *leg);
                let call = intent.and_then(|intent| play.saga.call(intent));
                text.push_str(&call.map_or("  no such attempt is open\n".into(), |call| call_text(&call)));
                match intent.and_then(|intent| play.saga.command(intent, COMMAND_BYTES_MAX)) {
                    None => {}
                    Some(Ok(StepCommand { aggregate, id, name, data })) => {
                        writeln!(text, "  sends {name} to {aggregate} {id}: {}", json(&data)).unwrap();
                    }
                    Some(Err(failure)) => writeln!(text, "  sends nothing: {} {}", failure.code, failure.message).unwrap(),
                }
            }
            _ => {}
        }
    }
    text.push_str(&standing(&play.saga));
    expect.assert_eq(&text);
}

fn standing(saga: &Saga) -> String {
    let view = saga.view();
    let effects = saga.effects();
    let paths = |paths: &[StepPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("= {}", view.status.as_str());
    if view.cancel_pending {
        text.push_str(", cancel pending");
    }
    if !effects.run.is_empty() {
        let open: Vec<String> = effects.run.iter().map(|intent| intent.attempt.leg.to_string()).collect();
        write!(text, ", runs {}", open.join(", ")).unwrap();
    }
    if !effects.topics.is_empty() {
        let topics: Vec<String> = effects.topics.iter().map(|topic| format!("{}/{}", topic.event_type, topic.key)).collect();
        write!(text, ", waits for {}", topics.join(", ")).unwrap();
    }
    if let Some((since, behind)) = view.locks.and_then(|locks| locks.waits) {
        write!(text, ", waits for lock {} since {}", behind.join(" "), moment(since)).unwrap();
    }
    if let Some(at) = effects.wake_at {
        write!(text, ", wakes at {}", moment(at)).unwrap();
    }
    for stuck in &view.stuck {
        write!(text, ", stuck {}: {}", stuck.leg, why_text(&stuck.why)).unwrap();
    }
    if !view.outstanding.is_empty() {
        write!(text, ", outstanding {}", paths(&view.outstanding)).unwrap();
    }
    if view.manual > 0 {
        write!(text, ", manual {}", view.manual).unwrap();
    }
    text.push('\n');
    text
}

fn rejected_text(rejected: &Rejected) -> String {
    match rejected {
        Rejected::DoesNotFit { fits, .. } => format!("409 {rejected}; fits: {}", fits.join(", ")),
        Rejected::Ended | Rejected::DoesNotMove(_) | Rejected::PastPointOfNoReturn | Rejected::NoSuchStep(_) => {
            format!("409 {rejected}")
        }
    }
}

fn view_text(view: &View) -> String {
    let mut text = format!("  {} revision {}", view.status.as_str(), view.revision);
    if let Some(reason) = &view.rollback {
        write!(text, ", rolls back: {}", reason_text(reason)).unwrap();
    }
    if let Some(savepoint) = &view.savepoint {
        write!(text, ", to {savepoint}").unwrap();
    }
    if view.round > 0 {
        write!(text, ", round {}", view.round).unwrap();
    }
    if view.past_point_of_no_return {
        text.push_str(", past the point of no return");
    }
    if let Some(output) = &view.output {
        write!(text, ", output {}", json(output)).unwrap();
    }
    text.push('\n');
    for step in &view.steps {
        write!(text, "  {} {}", step.path, step.status.as_str()).unwrap();
        if let BodyView::Each { elements, settled, refused, moving } = step.body {
            write!(text, ", {elements} elements, {settled} settled, {refused} refused, {moving} moving").unwrap();
        }
        for past in &step.past {
            let failure = past.failure.as_ref().map_or(String::new(), |failure| format!(" {}", failure.code));
            write!(text, ", alternate {} of round {} {}{failure}", past.alternate, past.round, past.status.as_str()).unwrap();
        }
        if step.may_have_run {
            text.push_str(", may have run");
        }
        if step.manual {
            text.push_str(", by hand");
        }
        text.push_str(&leg_text(&step.forward));
        if let Some(undo) = &step.undo {
            write!(text, "; undo{}", leg_text(undo)).unwrap();
        }
        text.push('\n');
    }
    text
}

fn leg_text(leg: &LegView) -> String {
    let mut text = String::new();
    if leg.attempts > 0 {
        write!(text, ", {} attempts", leg.attempts).unwrap();
    }
    if let Some(at) = leg.began_at {
        write!(text, " from {}", moment(at)).unwrap();
    }
    if let Some(at) = leg.ended_at {
        write!(text, " to {}", moment(at)).unwrap();
    }
    for (code, times) in &leg.failures {
        write!(text, ", {code} ×{times}").unwrap();
    }
    if let Some(at) = leg.retry_at {
        write!(text, ", again at {}", moment(at)).unwrap();
    }
    if let Some(wait) = &leg.waits_for {
        write!(text, ", waits for {}", wait_text(wait)).unwrap();
    }
    text
}

fn call_text(call: &Call) -> String {
    let mut text = format!("  now {}, began {}, until {}", moment(call.now), moment(call.started_at), moment(call.deadline_at));
    if let Some(element) = &call.element {
        write!(text, ", element {element}").unwrap();
    }
    if json(&call.input) != "{}" {
        write!(text, ", input {}", json(&call.input)).unwrap();
    }
    for (name, output) in &call.outputs {
        write!(text, ", {name} = {}", json(output)).unwrap();
    }
    if let Some(output) = &call.own_output {
        write!(text, ", own output {}", json(output)).unwrap();
    }
    if let Some(failure) = &call.last_failure {
        write!(text, ", after {}", failure.code).unwrap();
    }
    match &call.rollback_cause {
        None => {}
        Some(RollbackCause::Saga(reason)) => write!(text, ", because {}", reason_text(reason)).unwrap(),
        Some(RollbackCause::AlternateRefused(failure)) => write!(text, ", because refused {}", failure.code).unwrap(),
    }
    if call.may_have_run {
        text.push_str(", may have run");
    }
    match &call.arrived {
        None => {}
        Some(Woken::Timer) => text.push_str(", timer"),
        Some(Woken::Event(arrival)) => write!(text, ", arrived {}", arrival.id).unwrap(),
        Some(Woken::Answer(answered)) => write!(text, ", answer to command {}", answered.number).unwrap(),
    }
    text.push('\n');
    text
}
