//! Start-up: read live rows, replay, go on (law 11). There is no second algorithm: what a saga wants, its state says.

use std::sync::Arc;

use amends_core::{Input as SagaInput, Instant, id::Namespace, view::Status};
use bytes::Bytes;

use crate::{
    engine::{
        jobs::Jobs,
        live::Live,
        load,
        lockers::Lockers,
        metrics::Metrics,
        modules::Modules,
        rows,
        schedules::kept::Schedules,
        shard::{Action, Limits, Shard},
        tail::{End, Entry},
    },
    journal::{Actor, Fact, HostEvent, StreamHead, StreamId, StreamKind, keys},
    marker::Suspect,
    store::{Order, Range, Store, StoreError, Table},
};

/// A shard that goes on where the last one stopped.
pub(crate) struct Recovered {
    pub(crate) shard: Shard,
    /// What it wants done at once.
    pub(crate) actions: Vec<Action>,
    /// How many sagas had not ended, waiting and stuck ones included.
    pub(crate) sagas: u64,
    /// The host before this one ended in order.
    pub(crate) clean: bool,
}

const EPOCH: &[u8] = b"epoch";

const CLEAN: &[u8] = b"clean";

/// Reads what the store says and makes every running saga go on.
pub(crate) fn recover(
    store: Arc<dyn Store>,
    limits: Limits,
    metrics: Arc<Metrics>,
    seed: u64,
    suspects: &[Suspect],
    now: Instant,
) -> Result<Recovered, StoreError> {
    let (epoch, clean) = read_epoch(store.as_ref())?;
    let mut shard = Shard::new(Arc::clone(&store), limits, epoch, metrics, seed)?;
    shard.now = now;
    shard.live = Live::read(store.as_ref(), &shard.metrics)?;
    shard.lockers = Lockers::read(store.as_ref())?;
    shard.schedules = Schedules::read(store.as_ref())?;
    shard.jobs = Jobs::read(store.as_ref())?;
    shard.modules = read_modules(store.as_ref())?;
    shard.timers.read(store.as_ref(), Instant(0))?;
    opened(&mut shard, clean)?;
    let sagas = shard.live.total();
    for status in [Status::Running, Status::Compensating] {
        go_on(&mut shard, status, clean, suspects)?;
    }
    shard.grant();
    let actions = std::mem::take(&mut shard.actions);
    Ok(Recovered { shard, actions, sagas, clean })
}

/// The row that says that this host ended in order.
pub(crate) fn clean_row() -> crate::store::RowChange {
    rows::put(Table::Meta, CLEAN.to_vec(), Bytes::from_static(&[1]))
}

fn read_epoch(store: &dyn Store) -> Result<(u32, bool), StoreError> {
    let before = match store.row(Table::Meta, EPOCH)? {
        Some(row) => rows::decode::<u32>(&row, "the epoch")?,
        None => 0,
    };
    let clean = before == 0 || store.row(Table::Meta, CLEAN)?.is_some();
    Ok((before + 1, clean))
}

/// Every module's stream, folded.
pub(crate) fn read_modules(store: &dyn Store) -> Result<Modules, StoreError> {
    let range = Range { table: Table::Modules, from: Vec::new(), to: None, order: Order::Ascending, limit: usize::MAX };
    let mut streams = Vec::new();
    for row in store.rows(&range)? {
        let (namespace, name, _) = keys::parse_module(&row.key)?;
        streams.push((namespace, name));
    }
    streams.dedup();
    let mut modules = Modules::default();
    for (namespace, name) in streams {
        let id = StreamId { namespace: namespace.clone(), kind: StreamKind::Module, id: name.as_str().to_owned() };
        let Some(stream) = rows::stream_of(store, &id)? else { continue };
        let (records, _) = load::records(store, stream, 1, usize::MAX)
            .map_err(|error| StoreError::Corrupt(format!("module {name}: {error}")))?;
        for record in records {
            if let Fact::Module(event) = &record.fact {
                let applied = modules.apply(&namespace, name.as_str(), stream, event, record.at);
                applied.map_err(StoreError::Corrupt)?;
            }
        }
    }
    Ok(modules)
}

/// Records the start of this host: from here on its epoch is in every record.
fn opened(shard: &mut Shard, clean: bool) -> Result<(), StoreError> {
    let namespace = Namespace::new("host").map_err(|bad| StoreError::Failed(bad.to_string()))?;
    let id = StreamId { namespace, kind: StreamKind::Host, id: "host".to_owned() };
    let before = rows::stream_of(shard.store.as_ref(), &id)?;
    // Each start writes one record, so that the epoch before this one is how many there are.
    let end = before.map(|stream| End { stream, version: u64::from(shard.epoch) - 1 });
    let mut tail = shard.tail(end, || StreamHead::new(id, "host"));
    let fact = Fact::Host(HostEvent::Opened { epoch: shard.epoch, clean });
    tail.push(Entry { at: shard.now, actor: Actor::Host, causation: None, fact });
    let rows =
        vec![rows::put(Table::Meta, EPOCH.to_vec(), rows::encode(&shard.epoch)), rows::delete(Table::Meta, CLEAN.to_vec())];
    shard.commit(tail, rows);
    Ok(())
}

fn go_on(shard: &mut Shard, status: Status, clean: bool, suspects: &[Suspect]) -> Result<(), StoreError> {
    let streams = rows::of_status(shard.store.as_ref(), status, 0, usize::MAX)?;
    for stream in streams {
        let Some(key) = rows::saga_at(shard.store.as_ref(), stream)? else { continue };
        if let Err(error) = shard.ensure_resident(&key) {
            shard.lost(&key, &error);
            continue;
        }
        if let Some(resident) = shard.residents.get_mut(&key) {
            resident.cautious = !clean;
        }
        let executing = suspects.iter().filter(|suspect| suspect.namespace == key.0 && suspect.saga == key.1);
        let executing = executing.map(|suspect| suspect.attempt.clone()).collect();
        let stopped = SagaInput::HostStopped { executing };
        if let Err(error) = shard.turn(&key, Actor::Host, None, |saga, context| saga.handle(stopped, context)) {
            shard.lost(&key, &error);
        }
    }
    Ok(())
}
