//! C2-32: one bit of `journal.redb` flipped in a key of the stream index, or in a row, after a clean stop.
//!
//! The last append of a saga was hidden: a compensated saga was shown as running, a cancel was accepted, and its compensation ran
//! again over revisions that existed. The kind: redb verifies its pages when it repairs a file and trusts them ever after, so
//! that a reader took what it found for what was written, and what it did not find for what never was. Now every bit of every
//! entry is flipped here, and no read may give a wrong answer: it is the right one, or it says what is damaged.

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::*;
use crate::store::{Append, Order, RowChange, fault::FaultDisk, memory::MemoryStore};

/// A journal of four streams, some of several appends, and its rows; in redb, and in the model that says what is right. Nothing
/// is cached, so that each read sees the disk.
struct Small {
    disk: FaultDisk,
    store: RedbStore,
    model: MemoryStore,
}

impl Small {
    fn new() -> Self {
        let (disk, model) = (FaultDisk::default(), MemoryStore::default());
        let store = open(&disk);
        let mut ends = Vec::from([(0, 0); 12]);
        // The lengths of the appends of each stream, by the stream's start.
        for (stream, count) in [(1, 2), (3, 1), (1, 1), (5, 3), (1, 2), (3, 1), (11, 1), (1, 1)] {
            let end = model.last_position().unwrap();
            let (_, version) = ends[stream as usize];
            let records = (1..=count).map(|n| record(stream, version + n, end + n)).collect();
            ends[stream as usize] = (end, version + count);
            let append = Append { stream, first_version: version + 1, first_position: end + 1, records };
            // Short keys beside long ones, empty values beside others.
            let key = format!("{}key {end}{}", "a".repeat(end as usize % 3), "z".repeat(end as usize % 5));
            let value = if end % 2 == 0 { Bytes::new() } else { Bytes::from(format!("value {end}")) };
            let batch = Batch { appends: vec![append], rows: vec![RowChange::put(Table::Timers, key, value)] };
            model.commit(std::slice::from_ref(&batch)).unwrap();
            store.commit(&[batch]).unwrap();
        }
        store.close().unwrap();
        let store = open(&disk);
        Self { disk, store, model }
    }

    /// A store that met a panic of redb answers nothing any more.
    fn reopen_if_failed(&mut self) {
        if self.store.failed.get().is_some() {
            drop(std::mem::replace(&mut self.store, open(&FaultDisk::default())));
            self.disk = FaultDisk::with(self.disk.content());
            self.store = open(&self.disk);
        }
    }
}

fn open(disk: &FaultDisk) -> RedbStore {
    RedbStore::on_backend(disk.clone(), &Options { cache_bytes: 0, ..Options::default() }).unwrap()
}

/// A record like the journal's: it says where it belongs, and has a checksum over that.
fn record(stream: Position, version: u64, position: Position) -> Bytes {
    let mut text = format!("stream {stream} version {version} position {position}").into_bytes();
    text.extend(crc32c::crc32c(&text).to_be_bytes());
    text.into()
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Right,
    /// It says that something is damaged.
    Noticed,
    Wrong(String),
}

impl Seen {
    fn of<T: PartialEq + fmt::Debug>(question: &str, got: Result<T, StoreError>, right: &T) -> Self {
        match got {
            Ok(got) if got == *right => Self::Right,
            Ok(got) => Self::Wrong(format!("{question}: {got:?}, not {right:?}")),
            Err(StoreError::Corrupt(_) | StoreError::Failed(_)) => Self::Noticed,
            Err(other) => Self::Wrong(format!("{question}: {other}")),
        }
    }
}

/// The records of a stream as their reader takes them: each must have its checksum, and the version that was asked for. A row
/// says that the stream is there, so that no records at all are damage as well.
fn read_stream(small: &Small, stream: Position, from: u64, limit: usize) -> Seen {
    let right = small.model.stream(stream, from, limit).unwrap();
    let got = small.store.stream(stream, from, limit).and_then(|records| {
        let whole = records.iter().zip(from..).all(|(stored, version)| stored.record == record(stream, version, stored.position));
        let lost = records.is_empty() && !right.is_empty();
        match whole && !lost {
            true => Ok(records),
            false => Err(StoreError::Corrupt("a record is not what it says".to_owned())),
        }
    });
    Seen::of(&format!("stream {stream} from {from}, {limit}"), got, &right)
}

fn read_streams(small: &Small) -> Vec<Seen> {
    let mut seen = Vec::new();
    for stream in [1, 3, 5, 11] {
        for from in 1..=8 {
            seen.extend([1, 2, 100].map(|limit| read_stream(small, stream, from, limit)));
        }
    }
    seen
}

/// The journal itself. Its records bring their checksums.
fn read_log(small: &Small) -> Vec<Seen> {
    let end = small.model.last_position().unwrap();
    let mut seen = vec![Seen::of("the end", small.store.last_position(), &end)];
    for from in 1..=end + 1 {
        let right = small.model.log(from, 1).unwrap();
        let got = small.store.log(from, 1).and_then(|got| match got.first() {
            Some(stored) if right.first().is_none_or(|right| right.record != stored.record) => {
                Err(StoreError::Corrupt("a record is not what it says".to_owned()))
            }
            Some(_) | None => Ok(got),
        });
        seen.push(Seen::of(&format!("log from {from}"), got, &right));
    }
    seen
}

fn read_rows(small: &Small, table: Table) -> Vec<Seen> {
    let all = Range::under(table, b"", usize::MAX);
    let keys: Vec<Vec<u8>> = small.model.rows(&all).unwrap().into_iter().map(|row| row.key).collect();
    let mut seen = Vec::new();
    for key in &keys {
        for key in [&key[..], &[&key[..], b"0"].concat()] {
            let right = small.model.row(table, key).unwrap();
            seen.push(Seen::of(&format!("row {}", key.escape_ascii()), small.store.row(table, key), &right));
        }
    }
    for (from, to) in [(0, keys.len()), (1, 3), (2, 7), (4, 5), (0, 1), (keys.len() - 2, keys.len())] {
        for (limit, order) in [(usize::MAX, Order::Ascending), (2, Order::Ascending), (2, Order::Descending)] {
            let range = Range { table, from: keys[from].clone(), to: keys.get(to).cloned(), order, limit };
            seen.push(scan(small, &range));
        }
    }
    seen.push(scan(small, &all));
    seen.push(scan(small, &all.descending()));
    seen
}

/// Whatever is damaged, a scan gives no row that is not there; and gives all of them, unless it says that something is damaged.
fn scan(small: &Small, range: &Range) -> Seen {
    let right = small.model.rows(range).unwrap();
    let got = match small.store.scan(range) {
        Ok(got) => got,
        Err(error) => return Seen::of(&format!("{range:?}"), Err(error), &right),
    };
    let unlimited = small.model.rows(&Range { limit: usize::MAX, ..range.clone() }).unwrap();
    let noticed = got.iter().any(Result::is_err);
    let rows: Vec<Row> = got.into_iter().flatten().collect();
    match noticed && rows.iter().all(|row| unlimited.contains(row)) && rows.len() <= range.limit {
        true => Seen::Noticed,
        false => Seen::of(&format!("{range:?}"), Ok(rows), &right),
    }
}

/// Flips every bit of the entries in the newest page that holds this value, one after the other, and asks after each flip. How
/// many of the flips were noticed.
fn flip_each_bit(small: &mut Small, value: &[u8], per_entry: usize, ask: impl Fn(&Small) -> Vec<Seen>) -> usize {
    let content = small.disk.content();
    let at: Vec<usize> = (0..content.len() - value.len()).filter(|at| content[*at..].starts_with(value)).collect();
    // Older commits have left older pages, which nothing reads.
    let is_read = |at: &usize| {
        small.disk.flip(8 * at);
        let noticed = ask(small).contains(&Seen::Noticed);
        small.disk.flip(8 * at);
        noticed
    };
    let page = at.into_iter().find(is_read).unwrap() / PAGE * PAGE;
    // redb's leaf: two bytes, the number of entries, for each where its key and its value end; then all keys and all values.
    let number =
        |at: usize, bytes: usize| content[page + at..][..bytes].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let first = 4 + per_entry * number(2, 2);
    let mut noticed = 0;
    for bit in 8 * (page + first)..8 * (page + number(first - 4, 4)) {
        small.disk.flip(bit);
        let seen = ask(small);
        small.disk.flip(bit);
        for seen in &seen {
            assert!(!matches!(seen, Seen::Wrong(_)), "byte {} of the page, bit {}: {seen:?}", bit / 8 - page, bit % 8);
        }
        noticed += usize::from(seen.contains(&Seen::Noticed));
        small.reopen_if_failed();
    }
    assert!(ask(small).iter().all(|seen| *seen == Seen::Right));
    noticed
}

const PAGE: usize = 4_096;

/// The value of the last entry of a table, as it is stored.
fn last_value<K: redb::Key + 'static>(small: &Small, table: TableDefinition<'static, K, &'static [u8]>) -> Vec<u8> {
    let last = small.store.with(|database| Ok(database.begin_read()?.open_table(table)?.last()?.unwrap().1.value().to_vec()));
    last.unwrap()
}

#[test]
fn c2_32_no_flipped_bit_in_the_stream_index_hides_an_append() {
    let mut small = Small::new();
    let value = last_value(&small, APPENDS);
    let noticed = flip_each_bit(&mut small, &value, 4, read_streams);
    // Eight appends, each bit of which is in a checksum.
    assert_eq!(noticed, 8 * 8 * (16 + 4 + 3));
}

#[test]
fn c2_32_no_flipped_bit_in_the_journal_moves_or_hides_a_record() {
    let mut small = Small::new();
    let value = last_value(&small, JOURNAL);
    let noticed = flip_each_bit(&mut small, &value, 4, read_log);
    // Eight appends, each with its key, its head, a length for each record, and the records.
    let records: usize = small.model.log(1, 12).unwrap().iter().map(|stored| 4 + stored.record.len()).sum();
    assert_eq!(noticed, 8 * (8 * (8 + 16) + records));
}

#[test]
fn c2_32_no_flipped_bit_in_a_row_hides_or_changes_it() {
    let mut small = Small::new();
    let value = last_value(&small, rows::definition(Table::Timers));
    let noticed = flip_each_bit(&mut small, &value, 8, |small| read_rows(small, Table::Timers));
    let rows = small.model.rows(&Range::under(Table::Timers, b"", 100)).unwrap();
    let rows: usize = rows.iter().map(|row| row.key.len() + 4 + row.value.len()).sum();
    assert_eq!(noticed, 8 * rows);
}

/// Not in its old place either: as if a page had been put together wrongly. A row that is lost so is seen by nobody.
#[test]
fn c2_32_an_index_entry_that_is_lost_or_moved_is_noticed() {
    let small = Small::new();
    let entries: Vec<((u64, u64), Vec<u8>)> = {
        let read = small.store.with(|database| {
            let appends = database.begin_read()?.open_table(APPENDS)?;
            appends
                .iter()?
                .map(|entry| entry.map(|(key, value)| (key.value(), value.value().to_vec())).map_err(Into::into))
                .collect()
        });
        read.unwrap()
    };
    let replace = |lost: (u64, u64), moved: Option<((u64, u64), &[u8])>| {
        let written = small.store.with(|database| {
            let transaction = database.begin_write()?;
            let mut appends = transaction.open_table(APPENDS)?;
            appends.remove(lost)?;
            if let Some((key, value)) = moved {
                appends.insert(key, value)?;
            }
            drop(appends);
            Ok(transaction.commit()?)
        });
        written.unwrap();
    };
    for (key @ (stream, version), value) in &entries {
        let moves = (0..128).map(|bit| {
            let flipped = ((u128::from(*stream) << 64) | u128::from(*version)) ^ (1 << bit);
            Some((((flipped >> 64) as u64, flipped as u64), value.as_slice()))
        });
        for moved in moves.chain([None]) {
            replace(*key, moved);
            let seen = read_streams(&small);
            assert!(seen.contains(&Seen::Noticed), "{key:?} {moved:?}");
            assert!(!seen.iter().any(|seen| matches!(seen, Seen::Wrong(_))), "{key:?} {moved:?}: {seen:?}");
            if let Some((moved, _)) = moved {
                let whole = entries.iter().find(|(key, _)| *key == moved).map(|(key, value)| (*key, value.as_slice()));
                replace(moved, whole);
            }
            replace(*key, Some((*key, value)));
        }
    }
    assert!(read_streams(&small).iter().all(|seen| *seen == Seen::Right));
}

#[test]
fn c2_32_a_damaged_row_leaves_the_others_readable_and_can_be_deleted() {
    let small = Small::new();
    let all = Range::under(Table::Timers, b"", 100);
    let whole = small.model.rows(&all).unwrap();
    let damaged = &whole[3];
    let written = small.store.with(|database| {
        let transaction = database.begin_write()?;
        transaction.open_table(rows::definition(Table::Timers))?.insert(damaged.key.as_slice(), &b"nonsense"[..])?;
        Ok(transaction.commit()?)
    });
    written.unwrap();
    let keys: Vec<(Table, Vec<u8>)> = whole.iter().map(|row| (Table::Timers, row.key.clone())).collect();
    for (answer, row) in small.store.rows_at(&keys).unwrap().into_iter().zip(&whole) {
        match row == damaged {
            true => expect_test::expect!["row `akey 4zzzz` of table `timers` does not fit its checksum"]
                .assert_eq(&answer.unwrap_err().0),
            false => assert_eq!(answer, Ok(Some(row.value.clone()))),
        }
    }
    let scanned = small.store.scan(&all).unwrap();
    assert_eq!(scanned.iter().flatten().collect::<Vec<_>>(), whole.iter().filter(|row| *row != damaged).collect::<Vec<_>>());
    let found: Vec<&Damaged> = scanned.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(found.iter().map(|found| &found.key).collect::<Vec<_>>(), [&damaged.key]);
    assert!(matches!(small.store.rows(&all), Err(StoreError::Corrupt(_))));

    let delete = RowChange::delete(Table::Timers, found[0].key.clone());
    small.store.commit(&[Batch { appends: Vec::new(), rows: vec![delete] }]).unwrap();
    assert_eq!(small.store.rows(&all).unwrap().len(), whole.len() - 1);
}

#[test]
fn c2_32_a_commit_on_a_damaged_stream_writes_nothing_and_stops_no_other() {
    let small = Small::new();
    let written = small.store.with(|database| {
        let transaction = database.begin_write()?;
        transaction.open_table(APPENDS)?.remove((1, 6))?;
        Ok(transaction.commit()?)
    });
    written.unwrap();
    let next = |stream, version| {
        let append = Append { stream, first_version: version, first_position: 13, records: vec![record(stream, version, 13)] };
        Batch { appends: vec![append], rows: vec![RowChange::put(Table::Meta, *b"with", Bytes::new())] }
    };
    // The record of version 6 is in the journal, so that neither may be written again.
    for version in [6, 7] {
        assert!(matches!(small.store.commit(&[next(1, version)]), Err(StoreError::Corrupt(_))));
    }
    assert_eq!(small.store.last_position().unwrap(), 12);
    assert_eq!(small.store.row(Table::Meta, b"with").unwrap(), None);
    small.store.commit(&[next(11, 2)]).unwrap();
    assert_eq!(small.store.stream(11, 1, 9).unwrap().len(), 2);
}

/// Who wants one record reads its whole entry, so that an append of many megabytes is not one of them.
#[test]
fn a_large_append_is_several_entries_and_reads_as_one() {
    let store = open(&FaultDisk::default());
    let records: Vec<Bytes> = [200, 100, 100, 300, 1].map(|kib| Bytes::from(vec![7; kib << 10])).into();
    let append = Append { stream: 1, first_version: 1, first_position: 1, records: records.clone() };
    store.commit(&[Batch { appends: vec![append], rows: Vec::new() }]).unwrap();
    let entries = store.with(|database| {
        let journal = database.begin_read()?.open_table(JOURNAL)?;
        journal.iter()?.map(|entry| Ok(entry?.0.value())).collect::<Result<Vec<_>, StoreError>>()
    });
    assert_eq!(entries.unwrap(), [1, 2, 4, 5]);
    assert_eq!(store.last_position().unwrap(), 5);
    for from in 1..=6 {
        let right: Vec<_> = (from..).zip(records.iter().skip(from as usize - 1)).map(|(at, record)| (at, record.len())).collect();
        let read = |records: Vec<Stored>| records.iter().map(|stored| (stored.position, stored.record.len())).collect::<Vec<_>>();
        assert_eq!(read(store.stream(1, from, 9).unwrap()), right);
        assert_eq!(read(store.log(from, 9).unwrap()), right);
    }
}
