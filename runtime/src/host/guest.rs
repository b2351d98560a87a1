//! The data of one store: what the host's functions know about the attempt that calls them, and what it may use.
//!
//! Every host function is a few lines that never block; a guest's number is checked before it is used.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use amends_core::{id::StepKey, value::Instant};
use http::HeaderValue;
use rand_chacha::{ChaCha12Rng, rand_core::Rng};
use wasmtime::{
    ResourceLimiter,
    component::{Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    HostWallClock, WasiCtx, WasiCtxView, WasiView,
    clocks::{WasiClocksCtxView, WasiClocksView},
    p2::{DynPollable, bindings::clocks::monotonic_clock},
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    bindings::{
        SagaModule,
        amends::module::{config, context, log, secrets, types},
        projections::amends::module::view,
    },
    budget::{Budget, Share},
    console::{Console, Stream},
    egress::Egress,
    fault::{Fault, FaultCode},
    headers,
    label::Label,
    limits::{Limits, usize_of},
    messages::Outbox,
    random::{self, Seed, Use},
    secrets::Secrets,
};
use crate::{
    engine::{
        guests::{GuestCall, Mark},
        view::ViewRows,
    },
    journal::Grant,
};

/// Random bytes of one call, as the contract says.
const RANDOM_BYTES_MAX: u32 = 64 << 10;

/// What is true of an attempt from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) label: Arc<Label>,
    pub(super) mark: Mark,
    pub(super) now: Instant,
    pub(super) started_at: Instant,
    pub(super) reach: Reach,
    pub(super) grants: Arc<[Grant]>,
    /// The rows of the view that the call is about.
    pub(super) rows: Option<Arc<dyn ViewRows>>,
    /// What the call sends, if it may.
    pub(super) outbox: Option<Arc<Outbox>>,
    /// `traceparent` of what this attempt sends, if what it is for is part of a trace.
    pub(super) traceparent: Option<HeaderValue>,
}

/// Whether a guest may send requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Any method, where it has a grant.
    All,
    /// Methods that change nothing: a check.
    Safe,
    /// Nothing was granted when its intent was written.
    NotGranted,
    /// The step declares that it does not.
    EffectFree,
}

impl Facts {
    pub(super) fn of(call: &GuestCall) -> Self {
        let reach = match (call.effect_free, call.reaches_outside, call.work.only_asks()) {
            (true, _, _) => Reach::EffectFree,
            (false, false, _) => Reach::NotGranted,
            (false, true, true) => Reach::Safe,
            (false, true, false) => Reach::All,
        };
        let mark = call.work.mark();
        Self {
            label: Arc::new(Label::of(call)),
            mark,
            now: call.now,
            started_at: call.started_at,
            reach,
            grants: call.grants.clone(),
            rows: call.work.rows().cloned(),
            outbox: Outbox::of(call).map(Arc::new),
            traceparent: call.trace_context.as_deref().and_then(|context| headers::traceparent(context, mark)),
        }
    }

    /// A module that is asked to describe itself: no authority, no time.
    pub(super) fn of_nobody() -> Self {
        Self {
            label: Arc::new(Label::nobody()),
            mark: Mark { key: StepKey([0; 16]), attempt: 0, undoes: None },
            now: Instant(0),
            started_at: Instant(0),
            reach: Reach::EffectFree,
            grants: Arc::new([]),
            rows: None,
            outbox: None,
            traceparent: None,
        }
    }
}

/// The data of one store.
pub(super) struct Guest {
    facts: Facts,
    console: Console,
    egress: Egress,
    secrets: Arc<Secrets>,
    /// Secrets that this attempt has asked for and may have: each is read once, and missed once in the log.
    asked: BTreeMap<String, Option<String>>,
    usage: Usage,
    payload_bytes_max: usize,
    bytes: ChaCha12Rng,
    ids: ChaCha12Rng,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl Guest {
    pub(super) fn new(
        facts: Facts,
        console: Console,
        egress: Egress,
        secrets: Arc<Secrets>,
        limits: &Limits,
        budget: &Arc<Budget>,
    ) -> Self {
        let seed = Seed::of(facts.mark.key);
        // No arguments, no environment, no folders; sockets are linked and every address is denied.
        let wasi = WasiCtx::builder()
            .stdout(console.stream(Stream::Out))
            .stderr(console.stream(Stream::Err))
            .wall_clock(Frozen(facts.now))
            .secure_random(seed.stream(Use::Wasi))
            .insecure_random(seed.stream(Use::WasiInsecure))
            .insecure_random_seed(random::number(facts.mark.key))
            .max_random_size(u64::from(RANDOM_BYTES_MAX))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(usize_of(limits.http_headers));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max as usize);
        Self {
            console,
            egress,
            secrets,
            asked: BTreeMap::new(),
            usage: Usage::new(limits, budget),
            payload_bytes_max: usize_of(limits.payload),
            bytes: seed.stream(Use::Bytes),
            ids: seed.stream(Use::Ids),
            wasi,
            http,
            table,
            facts,
        }
    }

    pub(super) fn rows(&self) -> Option<&Arc<dyn ViewRows>> {
        self.facts.rows.as_ref()
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.facts.outbox.as_deref()
    }

    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.usage
    }
}

/// Everything that a guest may import.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    SagaModule::add_to_linker::<_, wasmtime::component::HasSelf<_>>(linker, |guest| guest)?;
    view::add_to_linker::<_, wasmtime::component::HasSelf<_>>(linker, |guest| guest)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, Monotonic>(linker, |guest| MonotonicView {
        may_sleep: guest.facts.reach == Reach::All || guest.facts.reach == Reach::Safe,
        clocks: guest.clocks(),
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

impl types::Host for Guest {}

impl context::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.facts.now.0)
    }

    fn attempt_started_at(&mut self) -> wasmtime::Result<u64> {
        Ok(self.facts.started_at.0)
    }

    fn random_bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            return Err(Fault::new(FaultCode::Trap, format!("random-bytes({len}): at most {RANDOM_BYTES_MAX} at once")).into());
        }
        let mut bytes = vec![0; len as usize];
        self.bytes.fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn new_id(&mut self) -> wasmtime::Result<String> {
        let mut id = [0; 16];
        self.ids.fill_bytes(&mut id);
        Ok(hex::encode(id))
    }
}

impl log::Host for Guest {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => tracing::Level::TRACE,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.console.log(level, &message);
        Ok(())
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.grants.iter().find_map(|grant| match grant {
            Grant::Config { key: granted, value } if *granted == key => Some(value.clone()),
            Grant::Config { .. } | Grant::Http { .. } | Grant::Secret { .. } => None,
        }))
    }
}

impl secrets::Host for Guest {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let granted = |grant: &Grant| matches!(grant, Grant::Secret { name: granted } if *granted == name);
        if !self.facts.grants.iter().any(granted) {
            return Ok(None);
        }
        Ok(match self.asked.entry(name) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unread) => {
                let read = self.secrets.read(unread.key());
                let value = read.map_err(|why| self.facts.label.emit(tracing::Level::WARN, &why)).ok();
                unread.insert(value).clone()
            }
        })
    }
}

/// What an attempt has taken of memory and tables. Refused growth is a trap, so that every run of a step goes the same way.
struct Usage {
    memory: Share,
    memory_max: usize,
    elements: usize,
    elements_max: usize,
    instances_max: usize,
    tables_max: usize,
    memories_max: usize,
}

impl Usage {
    fn new(limits: &Limits, budget: &Arc<Budget>) -> Self {
        Self {
            memory: Share::of(budget),
            memory_max: usize_of(limits.memory),
            elements: 0,
            elements_max: limits.table_elements_max as usize,
            instances_max: limits.instances_max as usize,
            tables_max: limits.tables_max as usize,
            memories_max: limits.memories_max as usize,
        }
    }
}

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let memory = self.memory.bytes().saturating_add(more);
        if memory > self.memory_max {
            let message =
                format!("the guest asked for {memory} bytes of memory and may have {} (`memory` in [guest])", self.memory_max);
            return Err(Fault::new(FaultCode::MemoryLimit, message).into());
        }
        if !self.memory.grow(more) {
            let all = self.memory.budget().bytes_max();
            let message = format!("the guests that run now have {all} bytes of memory, which is all (`memory_total` in [guest])");
            return Err(Fault::new(FaultCode::HostBusy, message).into());
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Fault::cannot_grow(FaultCode::MemoryLimit, "memory", &error).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.elements_max {
            let message = format!(
                "the guest asked for {elements} table elements and may have {} (`table_elements` in [guest])",
                self.elements_max
            );
            return Err(Fault::new(FaultCode::TableLimit, message).into());
        }
        self.elements = elements;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Fault::cannot_grow(FaultCode::TableLimit, "table", &error).into())
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.tables_max
    }

    fn memories(&self) -> usize {
        self.memories_max
    }
}

/// The wall clock of a guest stands still at the time of the record that made its step ready.
struct Frozen(Instant);

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.0)
    }
}

/// WASI's monotonic clock, whose sleeps an effect-free attempt may not have: it would hold a place that a `wait` does not.
struct Monotonic;

struct MonotonicView<'a> {
    may_sleep: bool,
    clocks: WasiClocksCtxView<'a>,
}

impl wasmtime::component::HasData for Monotonic {
    type Data<'a> = MonotonicView<'a>;
}

impl MonotonicView<'_> {
    fn allow(&self, nanoseconds: u64) -> wasmtime::Result<()> {
        if nanoseconds == 0 || self.may_sleep {
            return Ok(());
        }
        let message = format!(
            "the guest sleeps for {:?} in an effect-free attempt; return the outcome `wait` with a moment instead: nothing stays in memory meanwhile",
            Duration::from_nanos(nanoseconds)
        );
        Err(Fault::new(FaultCode::Trap, message).into())
    }
}

impl monotonic_clock::Host for MonotonicView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.clocks.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.clocks.resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.clocks.now()?;
        self.allow(when.saturating_sub(now))?;
        self.clocks.subscribe_instant(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.allow(duration)?;
        self.clocks.subscribe_duration(duration)
    }
}
