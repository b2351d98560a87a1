//! Rows and records that are decided and not durable yet, in front of the store: what it will say once the queue is committed.
//!
//! Every change of a row goes through here, so that a decision never sees an older row than the decision before it left, and no
//! kind keeps a cache of its own. The committer's queue is bounded, and with it this.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    journal::record,
    store::{Order, Position, Range, Row, Stored, Table},
};

/// A row by its table and key.
type RowName = (Table, Vec<u8>);

/// What a commit says of a row: its number, and the value, or none where the row is deleted.
#[derive(Debug)]
struct Change {
    commit: u64,
    value: Option<Bytes>,
}

/// The latest change of each row that may not be in the store.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    changes: BTreeMap<RowName, Change>,
    /// The changes in the order of their commits, to be forgotten in this order.
    order: VecDeque<(u64, RowName)>,
    /// The latest records, each with its commit, up to the last one that was decided.
    records: VecDeque<(u64, Bytes)>,
    /// The position of the last of them.
    last: Position,
}

/// Rows of a range, as the store and the overlay together say.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// Up to here the rows are all there are; `None`: the range has none behind these.
    pub(crate) end: Option<Vec<u8>>,
}

impl Overlay {
    /// A commit changes a row.
    pub(crate) fn set(&mut self, commit: u64, table: Table, key: &[u8], value: Option<Bytes>) {
        self.changes.insert((table, key.to_vec()), Change { commit, value });
        self.order.push_back((commit, (table, key.to_vec())));
    }

    /// What is decided of a row, if the store may not say it yet.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        if self.changes.is_empty() {
            return None;
        }
        self.changes.get(&(table, key.to_vec())).map(|change| change.value.clone())
    }

    /// Lays the changes over a page of the store. A full page says nothing of what is behind its last row, so a change there is
    /// left to the next page.
    pub(crate) fn over(&self, range: &Range, stored: Vec<Row>) -> Page {
        assert!(range.order == Order::Ascending, "decisions read rows in ascending order");
        let end = stored.last().filter(|_| stored.len() >= range.limit).map(|row| row.key.clone());
        let mut rows: BTreeMap<Vec<u8>, Bytes> = stored.into_iter().map(|row| (row.key, row.value)).collect();
        for ((table, key), change) in self.changes.range((range.table, range.from.clone())..) {
            let is_within = *table == range.table && range.to.as_ref().is_none_or(|to| key < to);
            let is_read = end.as_ref().is_none_or(|end| key <= end);
            if !is_within || !is_read {
                break;
            }
            match &change.value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Page { rows: rows.into_iter().map(|(key, value)| Row { key, value }).collect(), end }
    }

    /// A commit appends a record.
    pub(crate) fn append(&mut self, commit: u64, position: Position, record: Bytes) {
        self.records.push_back((commit, record));
        self.last = position;
    }

    /// A record that the store may not have yet.
    pub(crate) fn record(&self, position: Position) -> Option<Stored> {
        let behind = usize::try_from(self.last.checked_sub(position)?).ok()?;
        let at = self.records.len().checked_sub(behind + 1)?;
        self.records.get(at).map(|(_, record)| Stored { position, record: record.clone() })
    }

    /// Records of the stream that begins at a position, which the store may not have yet.
    pub(crate) fn records_of(&self, stream: Position) -> impl Iterator<Item = Stored> {
        let first = self.last + 1 - self.records.len() as Position;
        let numbered = (first..).zip(&self.records).filter(move |(_, (_, record))| record::stream_of(record) == Some(stream));
        numbered.map(|(position, (_, record))| Stored { position, record: record.clone() })
    }

    /// The store says itself what the commits up to this number changed.
    pub(crate) fn forget(&mut self, commit: u64) {
        while self.records.pop_front_if(|(number, _)| *number <= commit).is_some() {}
        while let Some((number, name)) = self.order.pop_front_if(|(number, _)| *number <= commit) {
            if self.changes.get(&name).is_some_and(|change| change.commit == number) {
                self.changes.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn shown(overlay: &Overlay, stored: &[&str], limit: usize) -> String {
        let range = Range { table: Table::Events, from: b"b".to_vec(), to: Some(b"y".to_vec()), order: Order::Ascending, limit };
        let stored = stored.iter().map(|key| Row { key: key.as_bytes().to_vec(), value: Bytes::from_static(b"old") }).collect();
        let Page { rows, end } = overlay.over(&range, stored);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| format!("{}={}", String::from_utf8_lossy(&row.key), String::from_utf8_lossy(&row.value)))
            .collect();
        format!("{}{}", rows.join(" "), if end.is_none() { " end" } else { " more" })
    }

    fn changed() -> Overlay {
        let mut overlay = Overlay::default();
        for (commit, key, value) in
            [(1, "a", Some("new")), (1, "c", None), (2, "d", Some("new")), (3, "k", Some("new")), (3, "z", None)]
        {
            overlay.set(commit, Table::Events, key.as_bytes(), value.map(|value| Bytes::from_static(value.as_bytes())));
        }
        overlay
    }

    #[test]
    fn changes_lie_over_what_the_store_says() {
        let overlay = changed();
        expect!["c=old d=new e=old k=new end"].assert_eq(&shown(&changed_but_c(), &["c", "d", "e"], 9));
        expect!["d=new e=old k=new end"].assert_eq(&shown(&overlay, &["c", "d", "e"], 9));
        assert_eq!(overlay.get(Table::Events, b"c"), Some(None));
        assert_eq!(overlay.get(Table::Events, b"e"), None);
        assert_eq!(overlay.get(Table::Waits, b"c"), None);
    }

    fn changed_but_c() -> Overlay {
        let mut overlay = changed();
        overlay.changes.remove(&(Table::Events, b"c".to_vec()));
        overlay
    }

    /// A page that is full ends where the store's rows end: a new row behind it would be shown twice, or hide those between.
    #[test]
    fn a_full_page_takes_no_change_from_behind_its_last_row() {
        expect!["d=new e=old more"].assert_eq(&shown(&changed(), &["c", "d", "e"], 3));
    }

    #[test]
    fn a_change_is_forgotten_with_its_own_commit_and_not_with_an_older_one() {
        let mut overlay = changed();
        overlay.set(4, Table::Events, b"c", Some(Bytes::from_static(b"again")));
        overlay.forget(3);
        assert_eq!(overlay.get(Table::Events, b"c"), Some(Some(Bytes::from_static(b"again"))));
        assert_eq!(overlay.get(Table::Events, b"k"), None);
        overlay.forget(4);
        assert!(overlay.changes.is_empty() && overlay.order.is_empty());
    }

    #[test]
    fn a_record_is_found_by_its_position_until_its_commit_is_durable() {
        let mut overlay = Overlay::default();
        for (commit, position) in [(1, 7), (1, 8), (2, 9)] {
            overlay.append(commit, position, Bytes::from(position.to_string()));
        }
        let found = |overlay: &Overlay| {
            let records = (6..11).map(|at| overlay.record(at).map(|stored| String::from_utf8_lossy(&stored.record).into_owned()));
            records.map(|record| record.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" ")
        };
        expect!["- 7 8 9 -"].assert_eq(&found(&overlay));
        overlay.forget(1);
        expect!["- - - 9 -"].assert_eq(&found(&overlay));
    }
}
