//! Modules that the SDK cannot make: core modules in WAT for the module contract, whose description is laid out in memory by
//! hand.
//!
//! The layout follows the component model's canonical ABI: the parts of a value follow each other, each aligned to its size.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::guests::repository;

/// Refuses.
pub(crate) const REFUSED: &str = "(call $failed (i32.const 1))";

/// Returns done, with `null`.
pub(crate) const DONE: &str = "(call $done (i32.const 32) (i32.const 4))";

/// Returns done, with this digit.
pub(crate) fn says(digit: u8) -> String {
    format!("(call $done (i32.const {}) (i32.const 1))", 48 + u32::from(digit))
}

/// Waits for a signal `probe` to the saga.
pub(crate) const WAITS: &str = "(call $waits (i32.load (local.get $call)) (i32.load offset=4 (local.get $call)))";

/// Does one thing in the step whose name begins with this letter, and another in all others.
pub(crate) fn in_step(letter: char, then: &str, otherwise: &str) -> String {
    let is_it = format!("(i32.eq (i32.load8_u (i32.load offset=16 (local.get $call))) (i32.const {}))", letter as u32);
    format!("(if (result i32) {is_it} (then {then}) (else {otherwise}))")
}

/// Does one thing in the sagas whose id begins with this letter, and another in all others.
pub(crate) fn in_saga(letter: char, then: &str, otherwise: &str) -> String {
    let is_it = format!("(i32.eq (i32.load8_u (i32.load (local.get $call))) (i32.const {}))", letter as u32);
    format!("(if (result i32) {is_it} (then {then}) (else {otherwise}))")
}

/// Does one thing in this round, and another in all others.
pub(crate) fn in_round(round: u32, then: &str, otherwise: &str) -> String {
    let is_it = format!("(i32.eq (i32.load offset=56 (local.get $call)) (i32.const {round}))");
    format!("(if (result i32) {is_it} (then {then}) (else {otherwise}))")
}

/// Does one thing in a leg's first attempt, and another in all others.
pub(crate) fn at_first(then: &str, otherwise: &str) -> String {
    let is_it = "(i32.eq (i32.load offset=60 (local.get $call)) (i32.const 1))";
    format!("(if (result i32) {is_it} (then {then}) (else {otherwise}))")
}

/// The world of a module whose sagas events start.
const TRIGGERING: &str = "package test:triggering;
    world triggering { include amends:module/saga-module@0.1.0; include amends:module/triggers-module@0.1.0; }";

/// One step of a probe's saga, and its kind.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) undo: Undo,
    /// A savepoint of this name after it.
    pub(crate) savepoint: Option<String>,
    /// It is done for each element at this pointer, whose keys are at `/id`.
    pub(crate) each: Option<String>,
    /// This child does it, and not code.
    pub(crate) child: Option<String>,
    /// It is this command, and not code.
    pub(crate) command: Option<String>,
    /// It is in the stage of the step before it.
    pub(crate) beside: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Compensatable,
    Pivot,
    Retriable,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Undo {
    None,
    Nothing,
    Code,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OnLocked {
    Queue,
    Refuse,
}

impl Step {
    pub(crate) fn new(name: &str, kind: Kind, undo: Undo) -> Self {
        Self { name: name.to_owned(), kind, undo, savepoint: None, each: None, child: None, command: None, beside: false }
    }

    /// A compensatable step that is the saga of this name.
    pub(crate) fn child(name: &str) -> Self {
        Self { child: Some(name.to_owned()), ..Self::new(name, Kind::Compensatable, Undo::None) }
    }

    /// A step that is a command of this name.
    pub(crate) fn command(name: &str, command: &str) -> Self {
        Self { command: Some(command.to_owned()), ..Self::new(name, Kind::Compensatable, Undo::Nothing) }
    }

    pub(crate) fn beside(self) -> Self {
        Self { beside: true, ..self }
    }

    pub(crate) fn savepoint(self, name: &str) -> Self {
        Self { savepoint: Some(name.to_owned()), ..self }
    }

    pub(crate) fn each(self, items: &str) -> Self {
        Self { each: Some(items.to_owned()), ..self }
    }
}

/// A module of one saga with effect-free steps that are tried twice, a millisecond apart.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) module: String,
    pub(crate) saga: String,
    pub(crate) steps: Vec<Step>,
    /// Further sagas of the module; of them nothing counts but the definition.
    pub(crate) children: Vec<Probe>,
    /// The names and pointers of its lock keys.
    pub(crate) locks: Vec<(&'static str, &'static str)>,
    pub(crate) on_locked: OnLocked,
    /// From the saga's start.
    pub(crate) deadline_ms: Option<u64>,
    /// How many rounds may follow the first.
    pub(crate) rounds: u32,
    /// The schema of the saga's input.
    pub(crate) schema: Option<String>,
    /// Types of events, and the sagas that they start. Without any, it is as modules were before there was this.
    pub(crate) triggers: Vec<(&'static str, &'static str)>,
    /// Further imports.
    pub(crate) imports: String,
    /// Further items of the module.
    pub(crate) items: String,
    /// The body of `execute`: `$call` points to the call's record; it gives a pointer to the outcome.
    pub(crate) execute: String,
    /// The body of `compensate`.
    pub(crate) compensate: String,
    /// The body of `describe`, if it is not to be the description.
    pub(crate) describe: Option<String>,
}

impl Probe {
    /// One compensatable step with nothing to undo, whose code this is.
    pub(crate) fn execute(body: impl Into<String>) -> Self {
        Self {
            module: "probe".to_owned(),
            saga: "probe".to_owned(),
            steps: vec![Step::new("poke", Kind::Compensatable, Undo::Nothing)],
            children: Vec::new(),
            locks: Vec::new(),
            on_locked: OnLocked::Queue,
            deadline_ms: None,
            rounds: 0,
            schema: None,
            triggers: Vec::new(),
            imports: String::new(),
            items: String::new(),
            execute: body.into(),
            // The variant `done` of an undo-outcome is all zeroes.
            compensate: "(i32.const 64)".to_owned(),
            describe: None,
        }
    }

    /// A module in this order of steps, whose code does nothing.
    pub(crate) fn steps(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::execute(DONE) }
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.wat()).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let contract =
            std::fs::read_to_string(repository().join("wit/amends.wit")).unwrap_or_else(|error| panic!("wit: {error}"));
        let package = resolve.push_source("amends.wit", &contract).unwrap_or_else(|error| panic!("{error}"));
        let triggering = resolve.push_source("triggering.wit", TRIGGERING).unwrap_or_else(|error| panic!("{error}"));
        let world = if self.triggers.is_empty() { "amends:module/saga-module" } else { "test:triggering/triggering" };
        let world = resolve.select_world(&[package, triggering], Some(world)).unwrap_or_else(|error| panic!("{error}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap_or_else(|error| panic!("{error}"));
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn wat(&self) -> String {
        let Self { imports, items, execute, compensate, .. } = self;
        let mut memory = Memory::default();
        let description = memory.put(&self.description());
        let describe = self.describe.clone().unwrap_or_else(|| format!("(i32.const {description})"));
        let triggers = self.triggers(&mut memory);
        let data = memory.data();
        format!(
            r#"(module
                {imports}
                (memory (export "memory") 3)
                (data (i32.const 32) "null")
                (data (i32.const 40) "probe")
                (data (i32.const 48) "0123456789")
                (data (i32.const {BASE}) "{data}")
                (global $free (mut i32) (i32.const 4096))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.set $free (i32.add (local.get $at) (local.get 3)))
                    (block $fits
                        (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
                        (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
                    (local.get $at))
                ;; An outcome `done` with a JSON payload of these bytes.
                (func $done (param $text i32) (param $len i32) (result i32)
                    (i32.store (i32.const 256) (i32.const 0))
                    (i32.store (i32.const 264) (i32.const 0))
                    (i32.store (i32.const 268) (local.get $text))
                    (i32.store (i32.const 272) (local.get $len))
                    (i32.const 256))
                ;; An outcome with a failure of the code `probe`: 1 refused, 2 transient, 3 unknown.
                (func $failed (param $which i32) (result i32)
                    (i32.store (i32.const 256) (local.get $which))
                    (i32.store (i32.const 264) (i32.const 40))
                    (i32.store (i32.const 268) (i32.const 5))
                    (i32.store (i32.const 272) (i32.const 0))
                    (i32.store (i32.const 276) (i32.const 0))
                    (i32.store (i32.const 280) (i32.const 0))
                    (i32.const 256))
                ;; An outcome `wait` for an event `probe` with this key, however late it comes.
                (func $waits (param $key i32) (param $len i32) (result i32)
                    (i32.store (i32.const 256) (i32.const 4))
                    (i32.store (i32.const 264) (i32.const 1))
                    (i32.store (i32.const 268) (i32.const 40))
                    (i32.store (i32.const 272) (i32.const 5))
                    (i32.store (i32.const 276) (local.get $key))
                    (i32.store (i32.const 280) (local.get $len))
                    (i32.store (i32.const 288) (i32.const 0))
                    (i32.store (i32.const 304) (i32.const 0))
                    (i32.const 256))
                {items}
                (func (export "amends:module/saga@0.1.0#describe") (result i32) {describe})
                (func (export "amends:module/saga@0.1.0#execute") (param $call i32) (result i32) {execute})
                (func (export "amends:module/saga@0.1.0#compensate") (param $call i32) (result i32) {compensate})
                (func (export "amends:module/saga@0.1.0#check") (param $call i32) (result i32)
                    (i32.store (i32.const 320) (i32.const 1)) (i32.const 320))
                {triggers}
            )"#
        )
    }

    /// The function that gives its triggers, if it has some.
    fn triggers(&self, memory: &mut Memory) -> String {
        let triggers: Vec<Value> = self.triggers.iter().map(|(event, saga)| record([text(saga), text(event)])).collect();
        if triggers.is_empty() {
            return String::new();
        }
        let place = memory.put(&Value::List(triggers));
        format!(r#"(func (export "amends:module/triggers@0.1.0#triggers") (result i32) (i32.const {place}))"#)
    }

    pub(super) fn description(&self) -> Value {
        let sagas = std::iter::once(self).chain(&self.children).map(Self::definition);
        record([text(&self.module), Value::List(sagas.collect())])
    }

    fn definition(&self) -> Value {
        record([
            text(&self.saga),
            Value::U32(1),
            stages(&self.steps),
            Value::None(Box::new(text(""))),
            match self.deadline_ms {
                Some(ms) => Value::Some(Box::new(Value::U64(ms))),
                None => Value::None(Box::new(Value::U64(0))),
            },
            Value::List(self.locks.iter().map(|(name, pointer)| record([text(name), text(pointer)])).collect()),
            Value::U8(self.on_locked as u8),
            Value::U32(self.rounds),
            optional_text(self.schema.as_ref()),
        ])
    }
}

fn stages(steps: &[Step]) -> Value {
    let stage = |steps: &[Step]| {
        let savepoint = steps.iter().find_map(|step| step.savepoint.as_ref());
        record([Value::List(steps.iter().map(Step::value).collect()), optional_text(savepoint)])
    };
    Value::List(steps.chunk_by(|_, next| next.beside).map(stage).collect())
}

impl Step {
    fn value(&self) -> Value {
        let retry = || {
            record([
                Value::Some(Box::new(Value::U32(2))),
                Value::U64(1),
                Value::U32(100),
                Value::U64(1),
                Value::U8(0),
                Value::None(Box::new(Value::U64(0))),
            ])
        };
        let policy = || record([retry(), Value::U64(30_000), Value::U32(0), Value::U8(1)]);
        let undo = match self.undo {
            Undo::None => Value::Case(0, None, Box::new(policy())),
            Undo::Nothing => Value::Case(1, None, Box::new(policy())),
            Undo::Code => Value::Case(2, Some(Box::new(policy())), Box::new(policy())),
        };
        let each = |items| record([text(items), optional_text(Some(&"/id".to_owned())), Value::U8(0), Value::U32(4)]);
        record([
            text(&self.name),
            Value::U8(self.kind as u8),
            match (&self.child, &self.command) {
                (Some(child), _) => Value::Case(1, Some(Box::new(text(child))), Box::new(command(""))),
                (None, Some(name)) => Value::Case(2, Some(Box::new(command(name))), Box::new(command(""))),
                (None, None) => Value::Case(0, None, Box::new(command(""))),
            },
            Value::U8(1),
            Value::List(Vec::new()),
            retry(),
            Value::U64(30_000),
            Value::U8(0),
            Value::U8(u8::from(!matches!(self.kind, Kind::Compensatable))),
            Value::U32(0),
            undo,
            match &self.each {
                Some(items) => Value::Some(Box::new(each(items))),
                None => Value::None(Box::new(each(""))),
            },
        ])
    }
}

/// A command of this name to the aggregate `order`.
fn command(name: &str) -> Value {
    let data = |pointer| Value::Case(0, Some(Box::new(text(pointer))), Box::new(text("")));
    let undo = record([text(""), Value::None(Box::new(data("")))]);
    record([text("order"), text("/input/id"), text(name), data("/input"), Value::None(Box::new(undo))])
}

/// A value of the component model. What is absent is still given a value of its type, for its size.
#[derive(Clone, Debug)]
pub(super) enum Value {
    U8(u8),
    U32(u32),
    U64(u64),
    Text(String),
    List(Vec<Value>),
    Record(Vec<Value>),
    Some(Box<Value>),
    None(Box<Value>),
    /// A variant's case, its payload, and the largest payload of any case.
    Case(u8, Option<Box<Value>>, Box<Value>),
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn optional_text(value: Option<&String>) -> Value {
    match value {
        Some(value) => Value::Some(Box::new(text(value))),
        None => Value::None(Box::new(text(""))),
    }
}

pub(super) fn record<const N: usize>(values: [Value; N]) -> Value {
    Value::Record(values.into())
}

impl Value {
    fn align(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U32(_) | Self::Text(_) | Self::List(_) => 4,
            Self::U64(_) => 8,
            Self::Record(parts) => parts.iter().map(Self::align).max().unwrap_or(1),
            Self::Some(inside) | Self::None(inside) | Self::Case(_, _, inside) => inside.align(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U32(_) => 4,
            Self::U64(_) | Self::Text(_) | Self::List(_) => 8,
            Self::Record(parts) => {
                let end = parts.iter().fold(0, |at: usize, part| at.next_multiple_of(part.align()) + part.size());
                end.next_multiple_of(self.align())
            }
            Self::Some(inside) | Self::None(inside) | Self::Case(_, _, inside) => {
                (1usize.next_multiple_of(inside.align()) + inside.size()).next_multiple_of(inside.align())
            }
        }
    }
}

/// Where the description lies in the probe's memory: above the heap that `cabi_realloc` needs for small calls.
pub(super) const BASE: usize = 131_072;

#[derive(Default)]
pub(super) struct Memory(Vec<u8>);

impl Memory {
    /// Lays a value out, and gives its address.
    pub(super) fn put(&mut self, value: &Value) -> usize {
        let at = self.room(value.size(), value.align());
        self.store(at, value);
        BASE + at
    }

    fn room(&mut self, size: usize, align: usize) -> usize {
        let at = self.0.len().next_multiple_of(align);
        self.0.resize(at + size, 0);
        at
    }

    fn store(&mut self, at: usize, value: &Value) {
        match value {
            Value::U8(number) => self.bytes(at, &[*number]),
            Value::U32(number) => self.bytes(at, &number.to_le_bytes()),
            Value::U64(number) => self.bytes(at, &number.to_le_bytes()),
            Value::Text(text) => {
                let place = self.room(text.len(), 1);
                self.bytes(place, text.as_bytes());
                self.span(at, place, text.len());
            }
            Value::List(items) => {
                // An empty list too lies where an item could.
                let (size, align) = items.first().map_or((0, 8), |item| (item.size(), item.align()));
                let place = self.room(size * items.len(), align);
                for (index, item) in items.iter().enumerate() {
                    self.store(place + index * size, item);
                }
                self.span(at, place, items.len());
            }
            Value::Record(parts) => {
                let mut offset = 0usize;
                for part in parts {
                    offset = offset.next_multiple_of(part.align());
                    self.store(at + offset, part);
                    offset += part.size();
                }
            }
            Value::None(_) => {}
            Value::Some(inside) => {
                self.bytes(at, &[1]);
                self.store(at + 1usize.next_multiple_of(inside.align()), inside);
            }
            Value::Case(case, payload, largest) => {
                self.bytes(at, &[*case]);
                if let Some(payload) = payload {
                    self.store(at + 1usize.next_multiple_of(largest.align()), payload);
                }
            }
        }
    }

    fn span(&mut self, at: usize, place: usize, length: usize) {
        self.bytes(at, &u32::try_from(BASE + place).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes(at + 4, &u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The first address behind what was laid out.
    pub(super) fn end(&self) -> usize {
        BASE + self.0.len()
    }

    pub(super) fn data(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "\\{byte:02x}");
            text
        })
    }
}
