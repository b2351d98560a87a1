//! Guests for tests: a core module in WAT, made a component of the world `saga-module`.
//!
//! Layouts follow the canonical ABI: a result record lies where the returned pointer says.

pub(super) mod wasi;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use amends_core::{
    event::Attempt,
    id::{Leg, Namespace, StepKey, StepPath},
    outcome::Report,
    value::{Instant, Payload},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Compile, Host, HostConfig, Limits};
use crate::{
    engine::guests::{Caller, GuestCall, GuestReport, Guests, ModuleDigest, StepCall, Work},
    journal::{StreamId, StreamKind},
};

/// A guest that says done, with `null`, to everything.
pub(super) const DONE: &str = "(call $done (i32.const 32) (i32.const 4))";

/// A guest's functions as WAT expressions that give a pointer to the result.
pub(super) struct TestGuest {
    /// Further imports.
    pub(super) imports: &'static str,
    /// Further items of the module.
    pub(super) items: &'static str,
    /// The body of `execute`; `$call` points to the call's record.
    pub(super) execute: String,
    /// The body of `compensate`.
    pub(super) compensate: &'static str,
    /// The body of `describe`.
    pub(super) describe: &'static str,
    /// The world: WIT beside the contract's.
    pub(super) wit: &'static [(&'static str, &'static str)],
    /// The world's name.
    pub(super) world: &'static str,
}

impl Default for TestGuest {
    fn default() -> Self {
        Self {
            imports: "",
            items: "",
            execute: DONE.to_owned(),
            // The variant `done` of an undo-outcome is all zeroes.
            compensate: "(i32.const 64)",
            // The module's name is `probe`, its list of sagas is empty.
            describe: "(i32.store (i32.const 128) (i32.const 40)) (i32.store (i32.const 132) (i32.const 5)) (i32.const 128)",
            wit: &[],
            world: "amends:module/saga-module",
        }
    }
}

impl TestGuest {
    pub(super) fn execute(body: impl Into<String>) -> Self {
        Self { execute: body.into(), ..Self::default() }
    }

    /// A guest that may use WASI, and `$ask`.
    pub(super) fn reaching(body: impl Into<String>) -> Self {
        Self { imports: wasi::IMPORTS, items: wasi::ASK, wit: wasi::PACKAGES, world: wasi::REACHING, ..Self::execute(body) }
    }

    /// The core module's text.
    fn wat(&self) -> String {
        let Self { imports, items, execute, compensate, describe, .. } = self;
        format!(
            r#"(module
                {imports}
                (memory (export "memory") 2)
                (data (i32.const 32) "null")
                (data (i32.const 40) "probe")
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
                ;; An outcome with a failure of this code and no message: 1 refused, 2 transient, 3 unknown.
                (func $failed (param $which i32) (param $code i32) (param $len i32) (result i32)
                    (i32.store (i32.const 256) (local.get $which))
                    (i32.store (i32.const 264) (local.get $code))
                    (i32.store (i32.const 268) (local.get $len))
                    (i32.store (i32.const 272) (i32.const 0))
                    (i32.store (i32.const 276) (i32.const 0))
                    (i32.store (i32.const 280) (i32.const 0))
                    (i32.const 256))
                {items}
                (func (export "amends:module/saga@0.1.0#describe") (result i32) {describe})
                (func (export "amends:module/saga@0.1.0#execute") (param $call i32) (result i32) {execute})
                (func (export "amends:module/saga@0.1.0#compensate") (param $call i32) (result i32) {compensate})
                (func (export "amends:module/saga@0.1.0#check") (param $call i32) (result i32) (i32.store (i32.const 320) (i32.const 1)) (i32.const 320))
            )"#
        )
    }

    /// The component.
    pub(super) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.wat()).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/amends.wit");
        let mut packages = vec![resolve.push_source("amends.wit", &std::fs::read_to_string(contract).unwrap()).unwrap()];
        for (name, text) in self.wit {
            packages.push(resolve.push_source(name, text).unwrap());
        }
        let world = resolve.select_world(&packages, Some(self.world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }
}

/// A host with a steered clock and a shelf of components.
pub(super) struct TestHost {
    pub(super) host: Host,
    shelf: Arc<Mutex<HashMap<ModuleDigest, Bytes>>>,
    now: Arc<AtomicU64>,
}

impl TestHost {
    /// Limits for tests: few places, so that many hosts fit beside each other.
    pub(super) fn limits() -> Limits {
        Limits { in_flight_max: 8, waiting_max: 8, threads: 2, ..Limits::default() }
    }

    pub(super) fn new(limits: Limits) -> Self {
        Self::open(limits, None, None)
    }

    /// A host that keeps compiled code.
    pub(super) fn with_cache(folder: &std::path::Path) -> Self {
        Self::open(Self::limits(), Some(folder.to_owned()), None)
    }

    /// A host with a folder of secrets.
    pub(super) fn with_secrets(folder: &std::path::Path) -> Self {
        Self::open(Self::limits(), None, Some(folder.to_owned()))
    }

    fn open(limits: Limits, cache: Option<std::path::PathBuf>, secrets: Option<std::path::PathBuf>) -> Self {
        let shelf = Arc::new(Mutex::new(HashMap::<ModuleDigest, Bytes>::new()));
        let now = Arc::new(AtomicU64::new(1_000_000));
        let (stored, clock) = (shelf.clone(), now.clone());
        let host = Host::new(HostConfig {
            stages: Arc::default(),
            limits,
            uptime: Arc::new(move || match clock.load(Ordering::SeqCst) {
                u64::MAX if on_guest_thread() => panic!("the clock is broken"),
                u64::MAX => Duration::from_millis(1_000_000),
                now => Duration::from_millis(now),
            }),
            compile: Compile::InProcess,
            cache,
            secrets,
            modules: Arc::new(move |digest| {
                stored.lock().unwrap().get(digest).cloned().ok_or_else(|| std::io::Error::other("no such component"))
            }),
        });
        Self { host: host.unwrap(), shelf, now }
    }

    /// Stores a component and gives its digest.
    pub(super) fn store(&self, wasm: Vec<u8>) -> ModuleDigest {
        let digest: ModuleDigest = Sha256::digest(&wasm).into();
        self.shelf.lock().unwrap().insert(digest, wasm.into());
        digest
    }

    pub(super) fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// From now on a function of the host panics when a guest's turn ends.
    pub(super) fn break_clock(&self) {
        self.now.store(u64::MAX, Ordering::SeqCst);
    }

    pub(super) fn mend_clock(&self) {
        self.now.store(1_000_000, Ordering::SeqCst);
    }

    /// Begins an attempt.
    pub(super) fn begin(&self, call: GuestCall) -> mpsc::Receiver<Report> {
        let (send, receive) = mpsc::channel();
        self.host.run(call, Box::new(Alone(send)));
        receive
    }

    /// Runs an attempt to its end.
    pub(super) fn run(&self, call: GuestCall) -> Report {
        self.begin(call).recv_timeout(Duration::from_secs(60)).expect("the attempt was reported")
    }

    /// Runs the guest's `execute` once, effect-free.
    pub(super) fn execute(&self, guest: &TestGuest) -> Report {
        let digest = self.store(guest.component());
        self.run(call(digest))
    }
}

/// Wants one report and no more calls.
pub(super) struct Alone(pub(super) mpsc::Sender<Report>);

impl Caller for Alone {
    fn report(&mut self, report: GuestReport) -> Option<GuestCall> {
        // A test that has ended does not mind.
        let _ = self.0.send(report.into_step().unwrap());
        None
    }

    fn last_report(mut self: Box<Self>, report: GuestReport) {
        self.report(report);
    }
}

fn on_guest_thread() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("amends-guest"))
}

/// A first forward attempt of a step, with no grants, that must end within 30 s.
pub(super) fn call(digest: ModuleDigest) -> GuestCall {
    let step = StepCall {
        definition: "probe".to_owned(),
        name: "poke".to_owned(),
        element: None,
        attempt: Attempt { leg: Leg::forward(StepPath::new("poke")), number: 1 },
        key: StepKey([1; 16]),
        forward_key: StepKey([1; 16]),
        input: Payload::json("{\"sku\":\"K1\"}"),
        outputs: Vec::new(),
        own_output: None,
        last_failure: None,
        rollback_cause: None,
        may_have_run: false,
        arrived: None,
        sent: Default::default(),
    };
    GuestCall {
        of: StreamId { namespace: Namespace::new("default").unwrap(), kind: StreamKind::Saga, id: "S1".to_owned() },
        module: "probe".to_owned(),
        version: 1,
        digest,
        now: Instant(999_000),
        started_at: Instant(1_000_000),
        deadline_at: Instant(1_030_000),
        reaches_outside: false,
        effect_free: false,
        grants: Arc::new([]),
        trace_context: None,
        work: Work::Step(Box::new(step)),
    }
}
