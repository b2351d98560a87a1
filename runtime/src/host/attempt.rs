//! One attempt at a call: a fresh store, one function of the guest, one end. What it is for is none of its business.
//!
//! Whatever the guest does, the store is gone when the end is known, and nothing of it reaches another attempt.

use std::{
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use amends_core::{
    denial::Denial,
    outcome::{Left, Message},
};
use wasmtime::{
    Store, UpdateDeadline,
    component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower},
};

use super::{
    Shared, Uptime,
    bindings::{
        aggregates::exports::amends::module::aggregate, exports::amends::module::saga, policies::exports::amends::module::policy,
        projections::exports::amends::module::projection, triggers::exports::amends::module::triggers::Trigger,
    },
    console::Console,
    describe::{Description, Interfaces},
    egress::Egress,
    fault::{Fault, FaultCode},
    guest::{Facts, Guest},
    limits::usize_of,
    modules::Ready,
    traffic::Traffic,
    turn::{Lane, Meter, Panicked, Turns, give_way},
};
use crate::{engine::guests::GuestCall, stages::Stage};

/// How often a deadline is looked at while the guest waits for the host. Each look is a turn of the guest for nothing, and thousands of
/// them may wait: there is one, at the deadline. A test may move the clock while the timer runs by the machine's.
const DEADLINE_LOOK: Duration = if cfg!(any(test, feature = "testing")) { Duration::from_millis(500) } else { Duration::MAX };

/// How long the rest of responses that the guest did not read is waited for.
const SETTLE: Duration = Duration::from_secs(1);

/// How a call ended.
pub(super) struct End<T> {
    /// What the guest said, or why it said nothing.
    pub(super) said: Result<T, Fate>,
    /// What had left by then.
    pub(super) left: Left,
    /// What it wants to send inside the host.
    pub(super) messages: Vec<Message>,
}

impl<T> End<T> {
    /// No guest ran.
    pub(super) fn before_it_began(fault: Fault) -> Self {
        Self { said: Err(Fate::Fault(fault)), left: Left::Nothing, messages: Vec::new() }
    }
}

/// Why nothing that the guest says counts.
pub(super) enum Fate {
    /// The host refused a call of the guest.
    Denied(Denial),
    /// The guest failed, or the host did.
    Fault(Fault),
}

/// Runs a call to its end: `invoke` calls the guest's function.
pub(super) async fn run<T, F>(
    shared: &Shared,
    module: &Ready,
    call: &GuestCall,
    deadline: Deadline,
    lane: &Lane,
    invoke: F,
) -> End<T>
where
    T: Send,
    F: for<'s> FnOnce(&'s Ready, Instance, &'s mut Store<Guest>) -> Call<'s, T> + Send,
{
    let facts = Facts::of(call);
    let outbox = facts.outbox.clone();
    let traffic = Traffic::default();
    // An attempt that is ended before its time is dropped: what it would read on for closes with it.
    let _closes = traffic.closes();
    let egress = Egress::new(&shared.gate, facts.clone(), traffic.clone());
    let run = Run { shared, lane, facts, egress, traffic: traffic.clone(), deadline: Some(deadline) };
    let end = run.guest(module, invoke).await;
    let left = traffic.settle(SETTLE).await;
    let said = match traffic.denied() {
        Some(denied) => Err(Fate::Denied(denied)),
        None => end.map_err(Fate::Fault),
    };
    End { said, left, messages: outbox.map(|outbox| outbox.take()).unwrap_or_default() }
}

/// Asks a module what is in it, without authority and without a deadline: it cannot wait, and its processor time is limited.
pub(super) async fn describe(shared: &Shared, module: &Ready, lane: &Lane) -> Result<Description, Fault> {
    let (facts, traffic) = (Facts::of_nobody(), Traffic::default());
    let egress = Egress::new(&shared.gate, facts.clone(), traffic.clone());
    let run = Run { shared, lane, facts, egress, traffic, deadline: None };
    run.guest(module, |module, instance, store| Box::pin(tell(module, instance, store))).await
}

async fn tell(module: &Ready, instance: Instance, store: &mut Store<Guest>) -> wasmtime::Result<Description> {
    let sagas = match module.sagas() {
        Some(sagas) => Some(ask::<_, (saga::Description,)>(instance, store, &sagas.describe, ()).await?.0),
        None => None,
    };
    let aggregates = match module.aggregates() {
        Some(aggregates) => Some(ask::<_, (aggregate::Description,)>(instance, store, &aggregates.describe, ()).await?.0),
        None => None,
    };
    let projections = match module.projections() {
        Some(projections) => Some(ask::<_, (projection::Description,)>(instance, store, &projections.describe, ()).await?.0),
        None => None,
    };
    let policies = match module.policies() {
        Some(policies) => Some(ask::<_, (policy::Description,)>(instance, store, &policies.describe, ()).await?.0),
        None => None,
    };
    let triggers = match &module.triggers {
        Some(export) => ask::<_, (Vec<Trigger>,)>(instance, store, export, ()).await?.0,
        None => Vec::new(),
    };
    Ok(Description::new(Interfaces { sagas, aggregates, projections, policies }, triggers)?)
}

/// Calls one export.
async fn ask<P, R>(instance: Instance, store: &mut Store<Guest>, export: &ComponentExportIndex, told: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    instance.get_typed_func::<P, R>(&mut *store, export)?.call_async(store, told).await
}

/// What one run of a guest needs of the host.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    pub(super) lane: &'a Lane,
    pub(super) facts: Facts,
    pub(super) egress: Egress,
    pub(super) traffic: Traffic,
    /// None: only the processor's time bounds it.
    pub(super) deadline: Option<Deadline>,
}

/// When an attempt is ended from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// By the uptime of the process.
    pub(super) at: Duration,
    /// How long the attempt may take.
    pub(super) allowed: Duration,
}

/// A call into a fresh instance.
pub(super) type Call<'a, T> = std::pin::Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

impl Run<'_> {
    /// Instantiates the module in a store of its own, calls it, and drops the store, in time or out of time.
    pub(super) async fn guest<T, F>(self, module: &Ready, call: F) -> Result<T, Fault>
    where
        T: Send,
        F: for<'s> FnOnce(&'s Ready, Instance, &'s mut Store<Guest>) -> Call<'s, T> + Send,
    {
        let Self { shared, lane, facts, egress, traffic, deadline } = self;
        let label = facts.label.clone();
        let console = Console::new(label.clone(), usize_of(shared.limits.log));
        let meter = Arc::new(Meter::default());
        let late = Late { uptime: shared.uptime.clone(), deadline };
        late.check()?;
        let began = Moment::now();
        let guest = Guest::new(facts, console.clone(), egress, shared.secrets.clone(), &shared.limits, &shared.memory);
        let mut store = Store::new(&shared.engine, guest);
        limit(&mut store, shared, &meter, &late, &traffic);
        let guest = async move {
            let instance = module.component.instantiate_async(&mut store).await?;
            let made = shared.stages.since(Stage::Instantiate, began);
            let said = call(module, instance, &mut store).await;
            shared.stages.since(Stage::Call, made);
            said
        };
        let mut turns = Turns::new(guest, meter, lane, label.clone());
        let end = tokio::select! {
            biased;
            end = &mut turns => end,
            () = traffic.until_denied() => Ok(Err(Fault::new(FaultCode::Denied, "the host refused a call").into())),
            fault = late.passed() => Ok(Err(fault.into())),
        };
        let stopped = turns.stop();
        let last_words = console.close();
        match (end, stopped) {
            (Ok(Ok(value)), Ok(())) => Ok(value),
            (Ok(Err(error)), Ok(())) => Err(Fault::of(&error, &last_words)),
            (Err(Panicked(message)), _) | (_, Err(Panicked(message))) => {
                tracing::error!(message, stream = label.stream(), call = label.call(), "a host function panicked");
                Err(Fault::new(FaultCode::HostBug, format!("a host function panicked: {message}; please report it")))
            }
        }
    }
}

/// Sets every limit of a store.
fn limit(store: &mut Store<Guest>, shared: &Shared, meter: &Arc<Meter>, late: &Late, traffic: &Traffic) {
    store.limiter(Guest::limiter);
    store.set_hostcall_fuel(shared.limits.hostcall_bytes_max());
    store.set_max_component_handles(shared.limits.handles_max as usize);
    store.set_epoch_deadline(1);
    let (meter, late, traffic, cpu_max) = (meter.clone(), late.clone(), traffic.clone(), shared.limits.cpu);
    store.epoch_deadline_callback(move |_| {
        late.check()?;
        if meter.used() > cpu_max {
            let message = format!("the guest used its {cpu_max:?} of processor time (`cpu` in [guest])");
            return Err(Fault::new(FaultCode::CpuLimit, message).into());
        }
        if traffic.denied().is_some() {
            return Err(Fault::new(FaultCode::Denied, "the host refused a call").into());
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(give_way())))
    });
}

/// Whether an attempt is past its deadline.
#[derive(Clone)]
struct Late {
    uptime: Uptime,
    deadline: Option<Deadline>,
}

impl Late {
    fn check(&self) -> Result<(), Fault> {
        match self.deadline {
            Some(Deadline { at, allowed }) if (self.uptime)() >= at => {
                let message = format!("the attempt did not end within its {allowed:?} (`deadline-ms` of the step)");
                Err(Fault::new(FaultCode::Deadline, message))
            }
            _ => Ok(()),
        }
    }

    /// Ends when the deadline has passed.
    async fn passed(&self) -> Fault {
        let Some(deadline) = self.deadline else { return std::future::pending().await };
        loop {
            if let Err(fault) = self.check() {
                return fault;
            }
            let rest = deadline.at.saturating_sub((self.uptime)());
            tokio::time::sleep(rest.min(DEADLINE_LOOK)).await;
        }
    }
}
