//! Modules with projections that do what events and questions say, also what no SDK would: a core module in WAT for the module contract.
//!
//! The layout follows the canonical ABI, as in [`probe`](super::probe). The projections read the events of the
//! [`ledger`](super::ledger), whose data is a JSON string. An event's data says what `project` does, if a colon is behind its first
//! letter:
//!
//! | letter | does |
//! |---|---|
//! | any other | writes the data under the event's id, with the module's digit before its first character; long data as `long` |
//! | `T` `L` `M` `F` | traps, loops, allocates without end, fails |
//! | `W` `D` | writes one row over and over, deletes one over and over |
//! | `V` `K` `E` | writes a value of 65,537 bytes, under a key of 1,025 bytes, under an empty key |
//! | `S` `H` | sleeps for a day, calls out over HTTP |
//! | `C` | scans over and over |
//!
//! The first letter of a query's name says what that does: `list` gives the values of all rows as a list, `echo` its parameters,
//! and the others do as the events: `t…` traps, `o…` goes on and on, `f…` fails, `w…` writes, `c…` scans over and over, `s…` scans more
//! than a scan may, `g…` answers what is no JSON, `h…` calls out, `n…` sleeps, `m…` allocates.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{
    guests::repository,
    ledger::{ASK, HTTP, IMPORTS, SAGA},
    probe::{BASE, DONE, Memory, Probe, Value, optional_text, record, text},
};

/// A module of projections with the same queries.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) module: String,
    /// Their names.
    pub(crate) views: Vec<String>,
    /// What they read, and in which forms.
    pub(crate) reads: Vec<(String, Vec<u32>)>,
    /// The names and schemas of their queries.
    pub(crate) queries: Vec<(String, Option<String>)>,
    pub(crate) rows_version: Option<u32>,
    /// Before each value.
    pub(crate) digit: u8,
    /// It takes every event.
    pub(crate) is_tame: bool,
    /// It calls out over HTTP where it is told to, which a saga of it may.
    pub(crate) reaches: bool,
}

impl Default for Viewer {
    fn default() -> Self {
        Self {
            module: "viewer".to_owned(),
            views: vec!["notes".to_owned()],
            reads: vec![("ledger.noted".to_owned(), vec![1])],
            queries: vec![("list".to_owned(), None)],
            rows_version: None,
            digit: 1,
            is_tame: false,
            reaches: false,
        }
    }
}

impl Viewer {
    /// Another version of it.
    pub(crate) fn digit(self, digit: u8) -> Self {
        Self { digit, ..self }
    }

    /// One that takes every event.
    pub(crate) fn tame(self) -> Self {
        Self { is_tame: true, ..self }
    }

    /// One with these queries.
    pub(crate) fn queries(self, queries: &[(&str, Option<&str>)]) -> Self {
        Self { queries: queries.iter().map(|(name, schema)| ((*name).to_owned(), schema.map(str::to_owned))).collect(), ..self }
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.wat()).unwrap_or_else(|error| panic!("{error}"));
        let contract =
            std::fs::read_to_string(repository().join("wit/amends.wit")).unwrap_or_else(|error| panic!("wit: {error}"));
        let mut resolve = Resolve::default();
        let mut push = |name: &str, text: &str| resolve.push_source(name, text).unwrap_or_else(|error| panic!("{error}"));
        let package = push("amends.wit", &contract);
        push("http.wit", HTTP);
        push("io.wit", IO);
        push("clocks.wit", CLOCKS);
        let worlds = push("worlds.wit", WORLDS);
        let world = if self.reaches { "test:viewer/reaching" } else { "test:viewer/plain" };
        let world = resolve.select_world(&[package, worlds], Some(world)).unwrap_or_else(|error| panic!("{error}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap_or_else(|error| panic!("{error}"));
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn description(&self) -> Value {
        let definition = |view: &String| {
            let reads = self.reads.iter().map(|(event, versions)| {
                let versions = versions.iter().copied().map(Value::U32).collect();
                record([text(event), Value::List(versions)])
            });
            let queries = self.queries.iter().map(|(name, schema)| record([text(name), optional_text(schema.as_ref())]));
            let rows_version = match self.rows_version {
                Some(version) => Value::Some(Box::new(Value::U32(version))),
                None => Value::None(Box::new(Value::U32(0))),
            };
            record([text(view), Value::List(reads.collect()), Value::List(queries.collect()), rows_version])
        };
        record([text(&self.module), Value::List(self.views.iter().map(definition).collect())])
    }

    fn wat(&self) -> String {
        let mut memory = Memory::default();
        let description = memory.put(&self.description());
        let (http, ask, saga) = match self.reaches {
            false => ("", "(func $ask)", String::new()),
            true => {
                let probe = Probe { module: self.module.clone(), ..Probe::execute(DONE) };
                (IMPORTS, ASK, SAGA.replace("DESCRIPTION", &memory.put(&probe.description()).to_string()))
            }
        };
        let (data, end) = (memory.data(), memory.end().next_multiple_of(16));
        let letters = if self.is_tame { String::new() } else { letters() };
        let digit = 48 + u32::from(self.digit);
        format!(
            r#"(module
                {http}
                (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
                (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
                (import "amends:module/view@0.1.0" "put" (func $put (param i32 i32 i32 i32)))
                (import "amends:module/view@0.1.0" "delete" (func $delete (param i32 i32)))
                (import "amends:module/view@0.1.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32)))
                (memory (export "memory") 4)
                (data (i32.const 32) "nullno")
                (data (i32.const 40) "probe/")
                (data (i32.const 48) "\22?long\22{{")
                (data (i32.const {BASE}) "{data}")
                (global $free (mut i32) (i32.const {end}))
                (func $room (param $size i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.set $free (i32.add (local.get $at) (local.get $size)))
                    (block $fits
                        (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
                        (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
                    (local.get $at))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $room (local.get 3)))
                {ask}
                (func $sleep (call $block (call $timer (i64.const 86400000000000))))
                (func $loop (loop $for_ever (br $for_ever)))
                (func $grow (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))
                (func $write (loop $more (call $put (i32.const 40) (i32.const 5) (i32.const 32) (i32.const 4)) (br $more)))
                (func $clear (loop $more (call $delete (i32.const 40) (i32.const 5)) (br $more)))
                (func $scans (param $limit i32)
                    (local $heap i32)
                    (local.set $heap (global.get $free))
                    (loop $more
                        (global.set $free (local.get $heap))
                        (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                            (local.get $limit) (i32.const 0) (i32.const 64))
                        (br $more)))
                ;; A result with a failure `no`.
                (func $failed (result i32)
                    (i32.store8 (i32.const 256) (i32.const 1))
                    (i32.store (i32.const 260) (i32.const 36)) (i32.store (i32.const 264) (i32.const 2))
                    (i32.store (i32.const 268) (i32.const 36)) (i32.store (i32.const 272) (i32.const 2))
                    (i32.store8 (i32.const 276) (i32.const 0))
                    (i32.const 256))
                ;; A result with a payload.
                (func $answered (param $text i32) (param $long i32) (result i32)
                    (i32.store8 (i32.const 256) (i32.const 0))
                    (i32.store (i32.const 260) (i32.const 0))
                    (i32.store (i32.const 264) (local.get $text))
                    (i32.store (i32.const 268) (local.get $long))
                    (i32.const 256))
                (func (export "amends:module/projection@0.1.0#describe") (result i32) (i32.const {description}))
                (func (export "amends:module/projection@0.1.0#project")
                    (param i32 i32) (param $event i32) (param $count i32) (result i32)
                    (local $data i32) (local $long i32) (local $letter i32) (local $value i32)
                    (block $done (loop $next
                        (br_if $done (i32.eqz (local.get $count)))
                        (local.set $data (i32.load offset=80 (local.get $event)))
                        (local.set $long (i32.load offset=84 (local.get $event)))
                        (local.set $letter (i32.const 0))
                        (if (i32.and (i32.ge_u (local.get $long) (i32.const 4)) (i32.eq (i32.load8_u offset=2 (local.get $data)) (i32.const 58)))
                            (then (local.set $letter (i32.load8_u offset=1 (local.get $data)))))
                        {letters}
                        (if (i32.gt_u (local.get $long) (i32.const 1000))
                            (then (local.set $value (i32.const 48)) (local.set $long (i32.const 6)) (i32.store8 (i32.const 49) (i32.const {digit})))
                            (else
                                (local.set $value (call $room (i32.add (local.get $long) (i32.const 1))))
                                (i32.store8 (local.get $value) (i32.const 34))
                                (i32.store8 offset=1 (local.get $value) (i32.const {digit}))
                                (memory.copy (i32.add (local.get $value) (i32.const 2)) (i32.add (local.get $data) (i32.const 1))
                                    (i32.sub (local.get $long) (i32.const 1)))))
                        (call $put (i32.load (local.get $event)) (i32.load offset=4 (local.get $event))
                            (local.get $value) (i32.add (local.get $long) (i32.const 1)))
                        (local.set $event (i32.add (local.get $event) (i32.const 88)))
                        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                        (br $next)))
                    (i32.store8 (i32.const 256) (i32.const 0))
                    (i32.const 256))
                (func $list (result i32)
                    (local $text i32) (local $at i32) (local $row i32) (local $rows i32) (local $long i32)
                    (local $some i32) (local $key i32) (local $key_long i32)
                    (local.set $text (call $room (i32.const 1048576)))
                    (i32.store8 (local.get $text) (i32.const 91))
                    (local.set $at (i32.add (local.get $text) (i32.const 1)))
                    (block $all (loop $page
                        (call $scan (i32.const 0) (i32.const 0) (local.get $some) (local.get $key) (local.get $key_long)
                            (i32.const 1000) (i32.const 0) (i32.const 64))
                        (local.set $row (i32.load (i32.const 64)))
                        (local.set $rows (i32.load (i32.const 68)))
                        (br_if $all (i32.eqz (local.get $rows)))
                        (loop $next
                            (if (i32.ne (local.get $at) (i32.add (local.get $text) (i32.const 1)))
                                (then
                                    (i32.store8 (local.get $at) (i32.const 44))
                                    (local.set $at (i32.add (local.get $at) (i32.const 1)))))
                            (local.set $long (i32.load offset=12 (local.get $row)))
                            (memory.copy (local.get $at) (i32.load offset=8 (local.get $row)) (local.get $long))
                            (local.set $at (i32.add (local.get $at) (local.get $long)))
                            (local.set $some (i32.const 1))
                            (local.set $key (i32.load (local.get $row)))
                            (local.set $key_long (i32.load offset=4 (local.get $row)))
                            (local.set $row (i32.add (local.get $row) (i32.const 16)))
                            (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
                            (br_if $next (local.get $rows)))
                        (br $page)))
                    (i32.store8 (local.get $at) (i32.const 93))
                    (call $answered (local.get $text) (i32.add (i32.sub (local.get $at) (local.get $text)) (i32.const 1))))
                (func (export "amends:module/projection@0.1.0#query")
                    (param i32 i32) (param $name i32) (param i32) (param i32) (param $data i32) (param $long i32) (result i32)
                    (local $letter i32)
                    (local.set $letter (i32.load8_u (local.get $name)))
                    {questions}
                    (call $list))
                {saga}
            )"#,
            questions = questions(),
        )
    }
}

/// What each letter of an event does.
fn letters() -> String {
    does(&[
        ('T', "unreachable"),
        ('L', "(call $loop)"),
        ('M', "(call $grow)"),
        ('F', "(return (call $failed))"),
        ('W', "(call $write)"),
        ('D', "(call $clear)"),
        ('V', "(call $put (i32.const 40) (i32.const 5) (i32.const 0) (i32.const 65537))"),
        ('K', "(call $put (i32.const 0) (i32.const 1025) (i32.const 32) (i32.const 4))"),
        ('E', "(call $put (i32.const 40) (i32.const 0) (i32.const 32) (i32.const 4))"),
        ('S', "(call $sleep)"),
        ('H', "(call $ask)"),
        ('C', "(call $scans (i32.const 1000))"),
    ])
}

/// What each letter of a query does.
fn questions() -> String {
    does(&[
        ('e', "(return (call $answered (local.get $data) (local.get $long)))"),
        ('t', "unreachable"),
        ('o', "(call $loop)"),
        ('m', "(call $grow)"),
        ('f', "(return (call $failed))"),
        ('w', "(call $write)"),
        ('c', "(call $scans (i32.const 1000))"),
        ('s', "(call $scans (i32.const 1001))"),
        ('g', "(return (call $answered (i32.const 55) (i32.const 1)))"),
        ('h', "(call $ask)"),
        ('n', "(call $sleep)"),
    ])
}

fn does(does: &[(char, &str)]) -> String {
    let one =
        |(letter, does): &(char, &str)| format!("(if (i32.eq (local.get $letter) (i32.const {})) (then {does}))", *letter as u32);
    does.iter().map(one).collect()
}

const WORLDS: &str = "
package test:viewer;
world plain {
  include amends:module/imports@0.1.0;
  include amends:module/projections-module@0.1.0;
  import wasi:clocks/monotonic-clock@0.2.0;
}
world reaching { include plain; import wasi:http/outgoing-handler@0.2.0; include amends:module/saga-module@0.1.0; }";

const IO: &str = "
package wasi:io@0.2.0;
interface poll { resource pollable { block: func(); } }";

const CLOCKS: &str = "
package wasi:clocks@0.2.0;
interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; subscribe-duration: func(when: u64) -> own<pollable>; }";
