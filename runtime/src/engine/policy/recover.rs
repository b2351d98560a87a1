//! Policies at start-up: how each stands is folded from its stream, and how far it is and what waits is read from the rows.

use amends_core::{
    id::Namespace,
    policy::{PolicyEvent, PolicyState},
};

use super::{
    Policies, PolicyKey,
    handling::{Code, Handling},
    rows::{self, ParkedRow, Waits},
};
use crate::{
    engine::{
        guests::{CallId, Suspect},
        kernel::{Kernel, reads},
        module::Modules,
    },
    journal::{Actor, Corrupt, Fact, keys, record},
    store::{Order, Range, Row, Store, StoreError, Table},
};

/// Rows that are read at a time.
const PAGE: usize = 4_096;

/// The policies of all namespaces, each to go on from its cursor.
pub(crate) fn read(
    kernel: &mut Kernel,
    store: &dyn Store,
    modules: &Modules,
    suspects: &[Suspect],
) -> Result<Policies, StoreError> {
    let mut policies = Policies::default();
    each(store, Table::Cursors, |row| {
        let (namespace, name, ahead) = keys::parse_cursor(&row.key)?;
        let handling = policies.handlings.entry(PolicyKey { namespace, name }).or_default();
        match ahead {
            None => handling.cursor = rows::read_cursor(&row.value)?,
            Some(position) => drop(handling.ahead.insert(position)),
        }
        Ok(())
    })?;
    for (key, handling) in &mut policies.handlings {
        (handling.start, handling.stands) = stands(store, key)?;
        handling.code = modules.policy(&key.namespace, &key.name).map(|active| Code {
            module: active.module.to_owned(),
            version: active.number,
            digest: active.digest,
            definition: active.policy.clone(),
        });
        handling.forget_what_was_read();
        handling.drains = handling.stands.redriven.iter().map(|of| (of.clone(), 0)).collect();
    }
    each(store, Table::Parked, |row| {
        let (namespace, name, of, _) = keys::parse_parked(&row.key)?;
        if let Some(handling) = policies.handlings.get_mut(&PolicyKey { namespace, name }) {
            waits(handling, of, &ParkedRow::decode(&row.value)?);
        }
        Ok(())
    })?;
    for (key, handling) in &mut policies.handlings {
        drain_begun(store, key, handling)?;
    }
    for suspect in suspects {
        died(&mut policies, kernel, suspect);
    }
    let mut namespaces: Vec<Namespace> = policies.handlings.keys().map(|key| key.namespace.clone()).collect();
    namespaces.dedup();
    for namespace in &namespaces {
        policies.follow(kernel.followed(), namespace);
        policies.let_all_go_on(namespace);
    }
    Ok(policies)
}

/// The host before this one died while a guest had a cause.
fn died(policies: &mut Policies, kernel: &mut Kernel, suspect: &Suspect) {
    let (Some((key, of)), CallId::Handle { position, .. }) = (PolicyKey::of_instance(&suspect.of), &suspect.call) else { return };
    if let Some(handling) = policies.handlings.get_mut(&key) {
        let died = PolicyEvent::HostDied { key: of.to_owned(), position: *position };
        handling.record(&mut kernel.commit(), &key, died, Actor::Host);
    }
}

fn waits(handling: &mut Handling, of: String, row: &ParkedRow) {
    if row.incarnation != handling.stands.incarnation {
        return;
    }
    let is_behind = matches!(row.waits, Waits::Behind);
    let is_kept = matches!(row.waits, Waits::Instance(_));
    // What comes behind what nobody parked comes behind what was kept for an instance that has begun.
    if is_behind && !handling.stands.parked.contains_key(&of) {
        handling.drains.insert(of.clone(), 0);
    }
    if is_kept && !handling.drains.contains_key(&of) {
        handling.kept.add(&of);
    }
    handling.waiting.add(&of);
}

/// What is kept for an instance that has begun is taken, as the host before this one was about to.
fn drain_begun(store: &dyn Store, key: &PolicyKey, handling: &mut Handling) -> Result<(), StoreError> {
    let kept: Vec<String> = handling.kept.keys().cloned().collect();
    for page in kept.chunks(PAGE) {
        let row_of = |of: &String| (Table::Instances, keys::instance(&key.namespace, &key.name, of));
        let found = store.rows_at(&page.iter().map(row_of).collect::<Vec<_>>())?;
        for (of, found) in page.iter().zip(found) {
            if rows::has_begun(found?.as_deref(), handling.stands.incarnation)? {
                handling.kept.forget(of);
                handling.drains.insert(of.clone(), 0);
            }
        }
    }
    Ok(())
}

/// Where the stream of a policy begins, and how it stands.
pub(super) fn stands(store: &dyn Store, key: &PolicyKey) -> Result<(u64, PolicyState), StoreError> {
    let records = reads::streams(store, &[&key.stream()])?.pop().transpose()?.flatten().unwrap_or_default();
    let start = records.first().map_or(0, |first| first.position);
    let mut handler = PolicyState::default();
    for stored in &records {
        let record = record::decode_stored(stored)?;
        match &record.fact {
            Fact::Policy(fact) => handler.apply(fact, record.at),
            _ => return Err(Corrupt(format!("position {} is no fact of {key}", stored.position)).into()),
        }
    }
    Ok((start, handler))
}

/// Reads all rows of a table, some at a time.
fn each(store: &dyn Store, table: Table, mut take: impl FnMut(&Row) -> Result<(), Corrupt>) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let rows = store.rows(&Range { table, from, to: None, order: Order::Ascending, limit: PAGE })?;
        rows.iter().try_for_each(&mut take)?;
        match rows.last() {
            // The first key behind this one.
            Some(last) if rows.len() == PAGE => from = last.key.iter().copied().chain([0]).collect(),
            Some(_) | None => return Ok(()),
        }
    }
}
