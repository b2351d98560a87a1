//! Modules with an aggregate that does what its commands say, also what no SDK would: a core module in WAT for the module contract.
//!
//! The layout follows the canonical ABI, as in [`probe`](super::probe). A command's data, a JSON string, says what
//! `decide` does, if a colon is behind its first letter:
//!
//! | letter | does |
//! |---|---|
//! | any other | records one event with the command's data, and answers with that |
//! | `-` | nothing |
//! | `r` | refuses |
//! | `k` `e` | records 1,000 or 1,001 events |
//! | `B` `b` | records an event of 200 or 300 KiB |
//! | `a` | records 1,000 events of 250 KiB, whose data lies at one place |
//! | `p` | records an event that cannot be folded |
//! | `c` `g` | takes or gives back the key behind the colon |
//! | `u` `v` `n` | records an event of a type, version or name that it does not have |
//! | `j` | records an event that is no JSON |
//! | `s` | gives a state of 2 MiB |
//! | `w` `z` | gives one decision more, or a pointer to nowhere |
//! | `t` `l` `m` `h` | traps, loops, allocates without end, calls out over HTTP |
//!
//! The state is a JSON string with the version of each event that is in it, in their order.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{
    guests::repository,
    probe::{BASE, DONE, Memory, Probe, Value, optional_text, record, text},
};

/// A module of one aggregate, `ledger`, with the commands `open`, `note` and `change`.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) module: String,
    pub(crate) aggregate: String,
    /// Their names, and whether there must be an aggregate: 0 does not matter, 1 must not, 2 must.
    pub(crate) commands: Vec<(String, u8)>,
    /// Their types, the version in which each is recorded, and the older ones that are read.
    pub(crate) events: Vec<(String, u32, Vec<u32>)>,
    /// A state is kept after so many events.
    pub(crate) keep_every: u32,
    /// It calls out over HTTP where it is told to.
    pub(crate) reaching: Reaching,
    /// What `decide` does where it is told to trap.
    pub(crate) trap: &'static str,
    /// The digit that an event adds to the state; `$event` points to it.
    pub(crate) evolve: String,
}

/// Whether a module imports outgoing HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaching {
    No,
    /// And it has nothing that may use it.
    Alone,
    /// And it has a saga, which may use it.
    BesideASaga,
}

/// The digit of an event's version.
const VERSION: &str = "(i32.add (i32.const 48) (i32.load offset=8 (local.get $event)))";

/// Traps on an event whose data begins with `"p:`.
const POISONED: &str =
    "(if (i32.and (i32.load8_u offset=32 (local.get $event)) (i32.ge_u (i32.load offset=44 (local.get $event)) (i32.const 4)))
    (then (if (i32.eq (i32.load16_u offset=1 (i32.load offset=40 (local.get $event))) (i32.const 0x3a70)) (then unreachable))))";

impl Default for Ledger {
    fn default() -> Self {
        Self {
            module: "ledger".to_owned(),
            aggregate: "ledger".to_owned(),
            commands: vec![("open".to_owned(), 1), ("note".to_owned(), 0), ("change".to_owned(), 2)],
            events: vec![("ledger.noted".to_owned(), 1, Vec::new())],
            keep_every: 0,
            reaching: Reaching::No,
            trap: "unreachable",
            evolve: format!("{POISONED} {VERSION}"),
        }
    }
}

impl Ledger {
    /// One that folds every event, and records a version 2 of its event; a version 1 reads as `u`, for upcast.
    pub(crate) fn second(self) -> Self {
        let reads = |(event, _, _): &(String, u32, Vec<u32>)| (event.clone(), 2, vec![1]);
        let first = "(i32.eq (i32.load offset=8 (local.get $event)) (i32.const 1))";
        let evolve = format!("(if (result i32) {first} (then (i32.const 117)) (else {VERSION}))");
        Self { events: self.events.iter().map(reads).collect(), evolve, ..self }
    }

    /// One that does something else than the first with an event whose data begins with `f`: what this expression says, which gives a
    /// digit or traps.
    pub(crate) fn with_f(self, does: &str) -> Self {
        let is_f = "(i32.eq (i32.load8_u offset=1 (i32.load offset=40 (local.get $event))) (i32.const 102))";
        Self { evolve: format!("(if (result i32) {is_f} (then {does}) (else {VERSION}))"), ..self }
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
        let worlds = push("worlds.wit", WORLDS);
        let world = match self.reaching {
            Reaching::No => "test:ledger/plain",
            Reaching::Alone => "test:ledger/reaching",
            Reaching::BesideASaga => "test:ledger/reaching-beside-a-saga",
        };
        let world = resolve.select_world(&[package, worlds], Some(world)).unwrap_or_else(|error| panic!("{error}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap_or_else(|error| panic!("{error}"));
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn description(&self) -> Value {
        let commands = self.commands.iter().map(|(name, on)| record([text(name), Value::U8(*on), optional_text(None)]));
        let events = self.events.iter().map(|(event, version, reads)| {
            let reads = reads.iter().copied().map(Value::U32).collect();
            record([text(event), Value::U32(*version), Value::List(reads)])
        });
        let definition = record([
            text(&self.aggregate),
            Value::List(commands.collect()),
            Value::List(events.collect()),
            Value::U32(self.keep_every),
            Value::None(Box::new(Value::U32(0))),
        ]);
        record([text(&self.module), Value::List(vec![definition])])
    }

    fn wat(&self) -> String {
        let mut memory = Memory::default();
        let description = memory.put(&self.description());
        let (event, version) = self.events.first().map_or(("", 1), |(event, version, _)| (event, *version));
        let (event_at, event_len) = (memory.put(&text(event)), event.len());
        let (imports, ask) = match self.reaching {
            Reaching::No => ("", "(func $ask)".to_owned()),
            Reaching::Alone | Reaching::BesideASaga => (IMPORTS, ASK.to_owned()),
        };
        let saga = match self.reaching {
            Reaching::No | Reaching::Alone => String::new(),
            Reaching::BesideASaga => {
                let probe = Probe { module: self.module.clone(), ..Probe::execute(DONE) };
                SAGA.replace("DESCRIPTION", &memory.put(&probe.description()).to_string())
            }
        };
        let (data, end) = (memory.data(), memory.end().next_multiple_of(16));
        let Self { trap, evolve, .. } = self;
        format!(
            r#"(module
                {imports}
                (memory (export "memory") 4)
                (data (i32.const 32) "nullno")
                (data (i32.const 40) "probe/")
                (data (i32.const 48) "ledger.unheardledger.no\1b[2Jted{{")
                (data (i32.const {BASE}) "{data}")
                (global $free (mut i32) (i32.const {end}))
                (global $state (mut i32) (i32.const 0))
                (global $length (mut i32) (i32.const 0))
                (global $more (mut i32) (i32.const 0))
                (global $huge (mut i32) (i32.const 0))
                (global $nowhere (mut i32) (i32.const 0))
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
                (func $evolve (param $event i32) (result i32) {evolve})
                (func $adds (param $digit i32)
                    (i32.store8 (i32.add (global.get $state) (global.get $length)) (local.get $digit))
                    (global.set $length (i32.add (global.get $length) (i32.const 1))))
                (func $fold (param $some i32) (param $base i32) (param $length i32) (param $events i32) (param $count i32)
                    (global.set $state (call $room (i32.add (i32.const 131072) (i32.add (local.get $length) (local.get $count)))))
                    (global.set $length (i32.const 0))
                    (if (local.get $some)
                        (then
                            (memory.copy (global.get $state) (local.get $base) (local.get $length))
                            (global.set $length (i32.sub (local.get $length) (i32.const 1))))
                        (else (call $adds (i32.const 34))))
                    (block $folded (loop $next
                        (br_if $folded (i32.eqz (local.get $count)))
                        (call $adds (call $evolve (local.get $events)))
                        (local.set $events (i32.add (local.get $events) (i32.const 48)))
                        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                        (br $next))))
                ;; Events with this data; gives their address.
                (func $events (param $count i32) (param $type i32) (param $long i32) (param $version i32) (param $data i32) (param $length i32)
                    (result i32)
                    (local $at i32) (local $first i32)
                    (local.set $at (call $room (i32.mul (local.get $count) (i32.const 32))))
                    (local.set $first (local.get $at))
                    (loop $next
                        (i32.store (local.get $at) (local.get $type))
                        (i32.store offset=4 (local.get $at) (local.get $long))
                        (i32.store offset=8 (local.get $at) (local.get $version))
                        (i32.store offset=16 (local.get $at) (local.get $data))
                        (i32.store offset=20 (local.get $at) (local.get $length))
                        (call $adds (i32.add (i32.const 48) (local.get $version)))
                        (local.set $at (i32.add (local.get $at) (i32.const 32)))
                        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                        (br_if $next (local.get $count)))
                    (local.get $first))
                ;; A JSON string of so many bytes between its quotes.
                (func $string (param $bytes i32) (result i32)
                    (local $at i32)
                    (local.set $at (call $room (i32.add (local.get $bytes) (i32.const 2))))
                    (memory.fill (local.get $at) (i32.const 120) (i32.add (local.get $bytes) (i32.const 2)))
                    (i32.store8 (local.get $at) (i32.const 34))
                    (i32.store8 (i32.add (local.get $at) (i32.add (local.get $bytes) (i32.const 1))) (i32.const 34))
                    (local.get $at))
                (func $decide (param $command i32) (param $decision i32)
                    (local $data i32) (local $long i32) (local $letter i32)
                    (local $count i32) (local $type i32) (local $type_long i32) (local $version i32) (local $claim i32)
                    (local.set $data (i32.load offset=20 (local.get $command)))
                    (local.set $long (i32.load offset=24 (local.get $command)))
                    (local.set $count (i32.const 1))
                    (local.set $type (i32.load (i32.const {event_at})))
                    (local.set $type_long (i32.const {event_len}))
                    (local.set $version (i32.const {version}))
                    (if (i32.and (i32.ge_u (local.get $long) (i32.const 4)) (i32.eq (i32.load8_u offset=2 (local.get $data)) (i32.const 58)))
                        (then (local.set $letter (i32.load8_u offset=1 (local.get $data)))))
                    ;; The answer is the command's data.
                    (i32.store8 offset=20 (local.get $decision) (i32.const 1))
                    (i32.store offset=28 (local.get $decision) (local.get $data))
                    (i32.store offset=32 (local.get $decision) (local.get $long))
                    {letters}
                    (if (local.get $count) (then
                        (i32.store offset=4 (local.get $decision) (call $events (local.get $count) (local.get $type)
                            (local.get $type_long) (local.get $version) (local.get $data) (local.get $long)))
                        (i32.store offset=8 (local.get $decision) (local.get $count)))))
                (func $payload (param $at i32)
                    (call $adds (i32.const 34))
                    (if (global.get $huge) (then
                        (global.set $state (call $string (i32.const 2097152)))
                        (global.set $length (i32.const 2097154))))
                    (i32.store (local.get $at) (i32.const 0))
                    (i32.store offset=4 (local.get $at) (global.get $state))
                    (i32.store offset=8 (local.get $at) (global.get $length)))
                (func (export "amends:module/aggregate@0.1.0#describe") (result i32) (i32.const {description}))
                (func (export "amends:module/aggregate@0.1.0#decide")
                    (param i32 i32 i32 i32) (param $some i32) (param i32) (param $base i32) (param $length i32)
                    (param $events i32) (param $count i32) (param $commands i32) (param $asked i32) (result i32)
                    (local $decided i32) (local $decisions i32) (local $number i32)
                    (call $fold (local.get $some) (local.get $base) (local.get $length) (local.get $events) (local.get $count))
                    (local.set $decisions (call $room (i32.mul (i32.add (local.get $asked) (i32.const 1)) (i32.const 36))))
                    (block $done (loop $next
                        (br_if $done (i32.eq (local.get $number) (local.get $asked)))
                        (call $decide
                            (i32.add (local.get $commands) (i32.mul (local.get $number) (i32.const 36)))
                            (i32.add (local.get $decisions) (i32.mul (local.get $number) (i32.const 36))))
                        (local.set $number (i32.add (local.get $number) (i32.const 1)))
                        (br $next)))
                    (local.set $decided (call $room (i32.const 24)))
                    (i32.store (local.get $decided) (local.get $decisions))
                    (i32.store offset=4 (local.get $decided) (i32.add (local.get $asked) (global.get $more)))
                    (call $payload (i32.add (local.get $decided) (i32.const 8)))
                    (select (i32.const -8) (local.get $decided) (global.get $nowhere)))
                (func (export "amends:module/aggregate@0.1.0#evolve")
                    (param i32 i32 i32 i32) (param $some i32) (param i32) (param $base i32) (param $length i32)
                    (param $events i32) (param $count i32) (result i32)
                    (local $state i32)
                    (call $fold (local.get $some) (local.get $base) (local.get $length) (local.get $events) (local.get $count))
                    (local.set $state (call $room (i32.const 16)))
                    (call $payload (local.get $state))
                    (local.get $state))
                (func (export "amends:module/aggregate@0.1.0#upcast") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
                {saga}
            )"#,
            letters = letters(trap),
        )
    }
}

/// What each letter does.
fn letters(trap: &str) -> String {
    let string =
        |bytes: u32| format!("(local.set $data (call $string (i32.const {bytes}))) (local.set $long (i32.const {}))", bytes + 2);
    let claim = |held: u8| {
        format!(
            "(local.set $claim (call $room (i32.const 12)))
             (i32.store (local.get $claim) (i32.add (local.get $data) (i32.const 3)))
             (i32.store offset=4 (local.get $claim) (i32.sub (local.get $long) (i32.const 4)))
             (i32.store8 offset=8 (local.get $claim) (i32.const {held}))
             (i32.store offset=12 (local.get $decision) (local.get $claim))
             (i32.store offset=16 (local.get $decision) (i32.const 1))"
        )
    };
    let kind = |at: u32, length: u32| format!("(local.set $type (i32.const {at})) (local.set $type_long (i32.const {length}))");
    let refuses = "(i32.store8 (local.get $decision) (i32.const 1))
        (i32.store offset=4 (local.get $decision) (i32.const 36)) (i32.store offset=8 (local.get $decision) (i32.const 2))
        (i32.store offset=12 (local.get $decision) (i32.const 36)) (i32.store offset=16 (local.get $decision) (i32.const 2))
        (i32.store8 offset=20 (local.get $decision) (i32.const 0)) (return)";
    let does = [
        ('-', "(local.set $count (i32.const 0))".to_owned()),
        ('r', refuses.to_owned()),
        ('k', "(local.set $count (i32.const 1000))".to_owned()),
        ('e', "(local.set $count (i32.const 1001))".to_owned()),
        ('B', string(200 << 10)),
        ('b', string(300 << 10)),
        ('a', format!("{} (local.set $count (i32.const 1000))", string(250 << 10))),
        ('c', claim(1)),
        ('g', claim(0)),
        ('u', kind(48, 14)),
        ('v', "(local.set $version (i32.const 7))".to_owned()),
        ('n', kind(62, 16)),
        ('j', "(local.set $data (i32.const 78)) (local.set $long (i32.const 1))".to_owned()),
        ('s', "(global.set $huge (i32.const 1))".to_owned()),
        ('w', "(global.set $more (i32.const 1))".to_owned()),
        ('z', "(global.set $nowhere (i32.const 1))".to_owned()),
        ('t', trap.to_owned()),
        ('l', "(loop $for_ever (br $for_ever))".to_owned()),
        ('m', "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))".to_owned()),
        ('h', "(call $ask)".to_owned()),
    ];
    let one = |(letter, does): &(char, String)| {
        format!("(if (i32.eq (local.get $letter) (i32.const {})) (then {does}))", *letter as u32)
    };
    does.iter().map(one).collect()
}

/// The exports of a saga that is never started.
pub(super) const SAGA: &str = r#"
    (func (export "amends:module/saga@0.1.0#describe") (result i32) (i32.const DESCRIPTION))
    (func (export "amends:module/saga@0.1.0#execute") (param i32) (result i32) unreachable)
    (func (export "amends:module/saga@0.1.0#compensate") (param i32) (result i32) unreachable)
    (func (export "amends:module/saga@0.1.0#check") (param i32) (result i32) unreachable)"#;

const WORLDS: &str = "
package test:ledger;
world plain { include amends:module/imports@0.1.0; include amends:module/aggregates-module@0.1.0; }
world reaching { include plain; import wasi:http/outgoing-handler@0.2.0; }
world reaching-beside-a-saga { include reaching; include amends:module/saga-module@0.1.0; }";

/// The few functions that it calls. Types that cross must be whole; functions may be left out.
pub(super) const HTTP: &str = "
package wasi:http@0.2.0;
interface types {
  record DNS-error-payload { rcode: option<string>, info-code: option<u16> }
  record TLS-alert-received-payload { alert-id: option<u8>, alert-message: option<string> }
  record field-size-payload { field-name: option<string>, field-size: option<u32> }
  variant error-code {
    DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable, destination-IP-prohibited,
    destination-IP-unroutable, connection-refused, connection-terminated, connection-timeout, connection-read-timeout,
    connection-write-timeout, connection-limit-reached, TLS-protocol-error, TLS-certificate-error,
    TLS-alert-received(TLS-alert-received-payload), HTTP-request-denied, HTTP-request-length-required,
    HTTP-request-body-size(option<u64>), HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
    HTTP-request-header-section-size(option<u32>), HTTP-request-header-size(option<field-size-payload>),
    HTTP-request-trailer-section-size(option<u32>), HTTP-request-trailer-size(field-size-payload), HTTP-response-incomplete,
    HTTP-response-header-section-size(option<u32>), HTTP-response-header-size(field-size-payload),
    HTTP-response-body-size(option<u64>), HTTP-response-trailer-section-size(option<u32>),
    HTTP-response-trailer-size(field-size-payload), HTTP-response-transfer-coding(option<string>),
    HTTP-response-content-coding(option<string>), HTTP-response-timeout, HTTP-upgrade-failed, HTTP-protocol-error,
    loop-detected, configuration-error, internal-error(option<string>),
  }
  resource fields { constructor(); }
  resource outgoing-request {
    constructor(headers: own<fields>);
    set-authority: func(authority: option<string>) -> result;
    set-path-with-query: func(path-with-query: option<string>) -> result;
  }
  resource request-options;
  resource future-incoming-response;
}
interface outgoing-handler {
  use types.{outgoing-request, request-options, future-incoming-response, error-code};
  handle: func(request: own<outgoing-request>, options: option<own<request-options>>) -> result<own<future-incoming-response>, error-code>;
}";

pub(super) const IMPORTS: &str = r#"
    (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))"#;

/// Sends `GET https://probe/`.
pub(super) const ASK: &str = r#"
    (func $ask
        (local $request i32)
        (local.set $request (call $request (call $fields)))
        (drop (call $authority (local.get $request) (i32.const 1) (i32.const 40) (i32.const 5)))
        (drop (call $path (local.get $request) (i32.const 1) (i32.const 45) (i32.const 1)))
        (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024)))"#;
