//! The tables of rows in a redb file: each value with its checksum. It knows nothing of what a row means.
//!
//! A flipped bit in a key leaves the entry where it was, among keys to which it no longer fits: its own key is not found, and a
//! search for a key near it may turn the wrong way there. Every such search ends beside the damaged entry, because all other
//! entries are in order. So whenever something is not there, what lies on both sides of the place is verified too; and a scan
//! verifies what lies just outside its range. What this does not see is damage to what redb writes around the entries: the count
//! of a page's entries, and the keys and page numbers of the inner pages.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use redb::{AccessGuard, ReadableTable, TableDefinition, WriteTransaction};

use crate::store::{
    Batch, Corrupt, Damaged, Order, Range, Row, StoreError, Table,
    checksum::{seal, unseal},
};

/// One scan reports at most so many damaged entries: beyond it the table is lost, and the scan is one error.
const DAMAGED_MAX: usize = 256;

type Key = &'static [u8];

type Entry<'a> = (AccessGuard<'a, Key>, AccessGuard<'a, &'static [u8]>);

/// Where a table of rows lies.
pub(super) fn definition(table: Table) -> TableDefinition<'static, Key, &'static [u8]> {
    TableDefinition::new(table.name())
}

/// One row.
pub(super) fn get(table: Table, rows: &impl ReadableTable<Key, &'static [u8]>, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    if let Some(sealed) = rows.get(key)? {
        return match unseal(table.id(), key, sealed.value()) {
            Some(value) => Ok(Some(Bytes::copy_from_slice(value))),
            None => Err(damaged(table, key).corrupt.into()),
        };
    }
    let mut place = rows.lower_bound(Bound::Included(key))?;
    for beside in [place.peek_prev()?, place.peek_next()?].into_iter().flatten() {
        if let Err(hiding) = row(table, &beside) {
            let key = key.escape_ascii();
            let why = hiding.corrupt;
            return Err(StoreError::Corrupt(format!(
                "row `{key}` of table `{}` is not found, but beside it: {why}",
                table.name()
            )));
        }
    }
    Ok(None)
}

/// The rows of a range, and the damaged entries in it and at its ends. It walks from entry to entry and verifies each, until one
/// that is whole lies outside: a damaged key says nothing about where the range ends.
pub(super) fn scan(
    rows: &impl ReadableTable<Key, &'static [u8]>,
    range: &Range,
) -> Result<Vec<Result<Row, Damaged>>, StoreError> {
    let table = range.table;
    let is_before = |row: &Row| row.key < range.from;
    let is_behind = |row: &Row| range.to.as_ref().is_some_and(|to| row.key >= *to);
    let to = range.to.as_deref();
    let mut place = match range.order {
        Order::Ascending => rows.lower_bound(Bound::Included(range.from.as_slice()))?,
        Order::Descending => rows.upper_bound(to.map_or(Bound::Unbounded, Bound::Excluded))?,
    };
    // The entry that a misled search has passed already.
    let passed = match range.order {
        Order::Ascending => place.peek_prev()?,
        Order::Descending => place.peek_next()?,
    };
    let mut scanned = Vec::new();
    scanned.extend(passed.and_then(|entry| row(table, &entry).err()).map(Err));
    let (mut found, mut damaged) = (0, scanned.len());
    while found < range.limit {
        let next = match range.order {
            Order::Ascending => place.next()?,
            Order::Descending => place.prev()?,
        };
        let Some(entry) = next else { break };
        match (row(table, &entry), range.order) {
            (Ok(row), Order::Ascending) if is_behind(&row) => break,
            (Ok(row), Order::Descending) if is_before(&row) => break,
            // A misled search began too early.
            (Ok(row), _) if is_before(&row) || is_behind(&row) => {}
            (Ok(row), _) => {
                found += 1;
                scanned.push(Ok(row));
            }
            (Err(what), _) if damaged == DAMAGED_MAX => {
                return Err(StoreError::Corrupt(format!("{}, and so are {DAMAGED_MAX} entries before it", what.corrupt)));
            }
            (Err(what), _) => {
                damaged += 1;
                scanned.push(Err(what));
            }
        }
    }
    Ok(scanned)
}

/// The last change of each key wins, and keys are written in order: a tree likes that better than the order of events.
pub(super) fn change(transaction: &WriteTransaction, batches: &[Batch]) -> Result<(), StoreError> {
    let mut changes: BTreeMap<Table, BTreeMap<&[u8], Option<&Bytes>>> = BTreeMap::new();
    for row in batches.iter().flat_map(|batch| &batch.rows) {
        changes.entry(row.table).or_default().insert(&row.key, row.value.as_ref());
    }
    for (table, changes) in changes {
        let mut rows = transaction.open_table(definition(table))?;
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key, seal(table.id(), key, value).as_slice())?,
                None => rows.remove(key)?,
            };
        }
    }
    Ok(())
}

fn row(table: Table, (key, sealed): &Entry<'_>) -> Result<Row, Damaged> {
    let key = key.value();
    match unseal(table.id(), key, sealed.value()) {
        Some(value) => Ok(Row { key: key.to_vec(), value: Bytes::copy_from_slice(value) }),
        None => Err(damaged(table, key)),
    }
}

fn damaged(table: Table, key: &[u8]) -> Damaged {
    let what = format!("row `{}` of table `{}` does not fit its checksum", key.escape_ascii(), table.name());
    Damaged { key: key.to_vec(), corrupt: Corrupt(what) }
}
