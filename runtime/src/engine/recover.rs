//! Start-up: read live rows, replay, go on (law 11). There is no second algorithm: what a saga wants, its state says.

use std::sync::Arc;

use amends_core::{Instant, id::Namespace};

use crate::{
    engine::{
        aggregate, broadcast,
        guests::Suspect,
        job,
        kernel::{
            Kernel,
            commit::{Entry, Stream},
            reads, timers,
        },
        limits::Limits,
        messages,
        metrics::Metrics,
        module, policy, saga, schedule,
        shard::{Action, Kinds, Shard},
    },
    journal::{Actor, Fact, HostEvent, StreamHead, StreamId, StreamKind},
    store::{Store, StoreError, ownership::Owned},
};

/// A shard that goes on where the last one stopped.
pub(crate) struct Recovered {
    pub(crate) shard: Shard,
    /// What it wants done at once.
    pub(crate) actions: Vec<Action>,
    /// How many sagas had not ended, waiting and stuck ones included.
    pub(crate) sagas: u64,
}

/// Reads what the store says of a shard that was claimed, and makes every running saga go on.
pub(crate) fn recover(
    store: &dyn Store,
    owned: &Owned,
    limits: Limits,
    metrics: Arc<Metrics>,
    seed: u64,
    suspects: &[Suspect],
    now: Instant,
) -> Result<Recovered, StoreError> {
    let mut kernel = Kernel::new(limits, Arc::clone(&metrics), owned.epoch, seed, store.last_position()?);
    kernel.now = now;
    timers::recover(kernel.timers(), store)?;
    opened(&mut kernel, store, owned)?;
    let mut modules = module::recover::read(store)?;
    let mut sagas = saga::recover::sagas(store, &metrics)?;
    let live = sagas.live().total();
    let before = saga::recover::Before { is_clean: owned.clean, suspects };
    sagas.go_on(&mut kernel, &mut modules, store, before)?;
    let schedules = schedule::recover::read(store)?;
    let jobs = job::read::running(store)?;
    let broadcasts = broadcast::recover::read(store)?;
    let aggregates = aggregate::recover::read(store)?;
    let policies = policy::recover::read(&mut kernel, store, &modules, suspects)?;
    let messages = messages::recover::read(store)?;
    let mut shard = Shard::new(kernel, Kinds { modules, sagas, aggregates, policies, schedules, jobs, broadcasts, messages });
    let actions = shard.begin();
    Ok(Recovered { shard, actions, sagas: live })
}

/// Records the start of this host: from here on its epoch is in every record.
fn opened(kernel: &mut Kernel, store: &dyn Store, owned: &Owned) -> Result<(), StoreError> {
    let namespace = Namespace::new("host").map_err(|bad| StoreError::Failed(bad.to_string()))?;
    let id = StreamId { namespace, kind: StreamKind::Host, id: "host".to_owned() };
    let mut stream = match reads::end_of(store, &id)? {
        // Not the epoch before: an owner may have taken the shard and died before it wrote its record.
        Some(end) => Stream::goes_on(id, end.start, end.revision),
        None => Stream::begins(StreamHead::new(id, "host")),
    };
    let mut commit = kernel.commit();
    let fact = Fact::Host(HostEvent::Opened { epoch: owned.epoch, clean: owned.clean });
    let at = commit.now;
    commit.record(&mut stream, Entry { at, actor: Actor::Host, causation: None, fact });
    Ok(())
}
