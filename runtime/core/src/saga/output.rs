//! What goes from step to step: inputs, outputs, and the JSON in which several are one.

use std::ops::Range;

use bytes::Bytes;

use super::{
    definition::EachMode,
    run::{StepRun, Verdict},
    state::{Phase, Saga},
    tree::{EachRun, Shape},
};
use crate::{
    event::{Reason, RollbackCause},
    value::{Failure, Format, Payload},
};

impl Saga {
    /// The saga's output: of the step that the definition names, else of the last stage.
    pub fn output(&self) -> Option<Payload> {
        (self.phase == Phase::Completed).then(|| of_scope(self, 0))
    }

    pub(crate) fn output_of(&self, scope: usize, name: &str) -> Option<&Payload> {
        self.named_in(scope, name)?.output()
    }

    /// What a step is called with: the element, in a child what its parent gives it, else the saga's input.
    pub(crate) fn input_of(&self, run: &StepRun) -> Payload {
        match &run.element {
            Some(element) => element.element.value.clone(),
            None => self.input_of_scope(run.scope),
        }
    }

    /// A child is given what the step that it stands for would be called with. If that step has `needs`, it is an object of
    /// both: `{"input": …, "outputs": {"<step>": …}}`.
    pub(crate) fn input_of_scope(&self, scope: usize) -> Payload {
        let Some(owner) = self.scopes[scope].owner else { return self.started.input.clone() };
        let run = &self.steps[owner];
        let input = self.input_of(run);
        let needs = &self.step(run).needs;
        if needs.is_empty() {
            return input;
        }
        let outputs = needs.iter().map(|name| (name.as_str(), json(self.output_of(run.scope, name))));
        let outputs = object(outputs);
        Payload::json(object([("input", json(Some(&input))), ("outputs", &outputs)].into_iter()))
    }

    /// What an `each` pointer begins with, and the rest of the pointer: `/input/…` or `/outputs/<step>/…`.
    pub(crate) fn source(&self, scope: usize, pointer: &str) -> Option<(Payload, String)> {
        let (first, rest) = token(pointer)?;
        if first == "input" {
            return Some((self.input_of_scope(scope), rest.to_owned()));
        }
        let (step, rest) = token(rest).filter(|_| first == "outputs")?;
        Some((self.output_of(scope, step)?.clone(), rest.to_owned()))
    }
}

/// The first token of a JSON pointer, and the rest of it.
pub(crate) fn token(pointer: &str) -> Option<(&str, &str)> {
    let inner = pointer.strip_prefix('/')?;
    Some(inner.find('/').map_or((inner, ""), |at| inner.split_at(at)))
}

/// The output of a saga or of a child: of the step that the definition names, else of the last stage's single step, else an
/// object by step name.
pub(crate) fn of_scope(saga: &Saga, scope: usize) -> Payload {
    let it = &saga.scopes[scope];
    if let Some(name) = &it.definition.output {
        return saga.output_of(scope, name).cloned().unwrap_or_else(Payload::null);
    }
    let last: Vec<&StepRun> = it.stages.last().into_iter().flatten().map(|node| &saga.steps[*node]).collect();
    match last.as_slice() {
        [only] => only.output().cloned().unwrap_or_else(Payload::null),
        many => Payload::json(object(many.iter().map(|run| (saga.step(run).name.as_str(), json(run.output()))))),
    }
}

/// Why a step is undone, as commands read it. Each member is always there.
pub(crate) fn of_cause(cause: &RollbackCause) -> Payload {
    let plain = |code: &str, message: &str| (None, Failure::new(code, message));
    let (kind, (step, failure)) = match cause {
        RollbackCause::Saga(reason) => match &**reason {
            Reason::Refused(step, failure) => ("refused", (Some(step), failure.clone())),
            Reason::Exhausted(step, failure) => ("exhausted", (Some(step), failure.clone())),
            Reason::Unknown(step, failure) => ("unknown", (Some(step), failure.clone())),
            Reason::Cancelled => ("cancelled", plain("cancelled", "the saga was cancelled")),
            Reason::Deadline => ("deadline", plain("deadline", "the saga's deadline passed")),
        },
        RollbackCause::AlternateRefused(failure) => ("alternate_refused", (None, failure.clone())),
    };
    let text = |text: &str| Payload::json(string(text));
    of_members(&[
        ("kind", text(kind)),
        ("step", step.map_or_else(Payload::null, |step| text(step.as_str()))),
        ("code", text(&failure.code)),
        ("message", text(&failure.message)),
        ("data", failure.data.unwrap_or_else(Payload::null)),
    ])
}

/// How long [`of_members`] is: for each member its name, a colon, its value, and a comma or a brace.
pub(crate) fn members_len(members: &[(&str, Payload)]) -> usize {
    let members = members.iter().map(|(name, value)| string(name).len() + json(Some(value)).len() + 2);
    (1 + members.sum::<usize>()).max(2)
}

/// An object whose names may be of any characters.
pub(crate) fn of_members(members: &[(&str, Payload)]) -> Payload {
    let mut text = Vec::with_capacity(members_len(members));
    text.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend(string(name));
        text.push(b':');
        text.extend_from_slice(json(Some(value)));
    }
    text.push(b'}');
    Payload::json(text)
}

/// The output of a fan-out. `fail-fast`: the elements' outputs, in the list's order. `collect`: an object with `done`, a list of
/// `{"key", "output"}`, and `refused`, a list of `{"key", "failure": {"code", "message", "data"}}`.
///
/// The outputs of all elements may be as large as a journal, so that each is in memory once: it is moved, and from then on it is a
/// part of the fan-out's output.
pub(crate) fn of_each(saga: &mut Saga, node: usize) -> Payload {
    let Some(elements) = saga.steps[node].each().map(|each| each.elements.clone()) else { return Payload::null() };
    let run = &saga.steps[node];
    let collects = saga.step(run).each.as_ref().is_some_and(|each| each.mode == EachMode::Collect);
    let outputs: usize = elements.iter().map(|node| json(saga.steps[*node].output()).len()).sum();
    let mut text = Moved { text: Vec::with_capacity(outputs + elements.len() * AROUND_AN_OUTPUT), outputs: Vec::new() };
    if collects {
        let (done, refused): (Vec<usize>, Vec<usize>) = elements.iter().partition(|node| saga.steps[**node].is_done());
        text.put(b"{\"done\":");
        text.list(&done, |text, node| {
            let key = key(&saga.steps[node]);
            text.put(&[b"{\"key\":", &key[..], b",\"output\":"].concat());
            text.take(node, &mut saga.steps[node]);
            text.put(b"}");
        });
        text.put(b",\"refused\":");
        text.list(&refused, |text, node| {
            let run = &saga.steps[node];
            let failure = run.failure().map_or(b"null".to_vec(), failure);
            members(&mut text.text, [("key", &key(run)[..]), ("failure", &failure[..])]);
        });
        text.put(b"}");
    } else {
        text.list(&elements, |text, node| text.take(node, &mut saga.steps[node]));
    }
    text.settle(&mut saga.steps)
}

/// A text to which outputs of steps are moved.
struct Moved {
    text: Vec<u8>,
    /// Whose outputs, and where they are in it.
    outputs: Vec<(usize, Range<usize>)>,
}

impl Moved {
    fn put(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// A list of what is written for each node.
    fn list(&mut self, nodes: &[usize], mut write: impl FnMut(&mut Self, usize)) {
        self.put(b"[");
        for (number, node) in nodes.iter().enumerate() {
            if number > 0 {
                self.put(b",");
            }
            write(self, *node);
        }
        self.put(b"]");
    }

    /// Moves the output of a step here; until the text is whole, the step has an empty one.
    fn take(&mut self, node: usize, run: &mut StepRun) {
        let from = self.text.len();
        self.put(json(run.output()));
        if let Verdict::Done(Payload { format: Format::Json, bytes }) = &mut run.verdict {
            *bytes = Bytes::new();
            self.outputs.push((node, from..self.text.len()));
        }
    }

    /// The text, of which each step whose output was moved has its part.
    fn settle(self, steps: &mut [StepRun]) -> Payload {
        let text = Bytes::from(self.text);
        for (node, part) in self.outputs {
            if let Verdict::Done(output) = &mut steps[node].verdict {
                output.bytes = text.slice(part);
            }
        }
        Payload::json(text)
    }
}

fn key(run: &StepRun) -> Vec<u8> {
    run.element.as_ref().map_or(Vec::new(), |element| string(&element.element.key))
}

/// Names, keys and punctuation of an element's output, as they usually are.
const AROUND_AN_OUTPUT: usize = 64;

fn failure(failure: &Failure) -> Vec<u8> {
    let (code, message) = (string(&failure.code), string(&failure.message));
    object([("code", &code[..]), ("message", &message[..]), ("data", json(failure.data.as_ref()))].into_iter())
}

/// JSON as it is spelled; what is not JSON, or is not there, is `null`.
fn json(payload: Option<&Payload>) -> &[u8] {
    payload.filter(|payload| payload.format == Format::Json).map_or(b"null", |payload| &payload.bytes)
}

fn object<'a>(all: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let all: Vec<_> = all.collect();
    let mut text = Vec::with_capacity(2 + all.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>());
    members(&mut text, all);
    text
}

/// Names of members are step names or our own: they need no escaping.
fn members<'a>(text: &mut Vec<u8>, all: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
    let mut before = "{\"";
    for (name, value) in all {
        for part in [before.as_bytes(), name.as_bytes(), b"\":", value] {
            text.extend_from_slice(part);
        }
        before = ",\"";
    }
    text.extend_from_slice(if before == "{\"" { b"{}" } else { b"}" });
}

fn string(text: &str) -> Vec<u8> {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out.into_bytes()
}

impl StepRun {
    /// The fan-out that it is.
    pub(crate) fn each(&self) -> Option<&EachRun> {
        match &self.shape {
            Shape::Each(each) => Some(each),
            Shape::Leaf | Shape::Child(_) => None,
        }
    }
}
