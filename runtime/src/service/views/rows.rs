//! What a guest sees of a view's rows: of a batch that it takes, with what it has written; of a question that it answers, as of one moment.

use std::{
    collections::BTreeMap,
    mem,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    engine::view::{KEY_BYTES_MAX, RowPair, RowScan, RowsFault, SCAN_MAX, VALUE_BYTES_MAX, ViewRows},
    store::{StoreError, redb::views::Snapshot},
};

/// Rows that change, by key; `None`: it is deleted.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The most writes of one call.
const WRITES_MAX: u32 = 10_000;

/// What one call may write.
const WRITTEN_BYTES_MAX: usize = 16 << 20;

/// The most rows that one call may read.
const READS_MAX: u32 = 100_000;

/// What the rows of one scan may take: they are in memory twice.
const SCAN_BYTES_MAX: usize = 16 << 20;

/// The rows for a batch of events: what is written is seen by later reads of the same call, and kept apart until the call has ended.
#[derive(Debug)]
pub(super) struct BatchRows {
    before: Snapshot,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    changes: Changes,
    writes: u32,
    written_bytes: usize,
    reads: u32,
}

impl BatchRows {
    pub(super) fn new(before: Snapshot) -> Self {
        Self { before, used: Mutex::default() }
    }

    /// What the call wrote.
    pub(super) fn take_changes(&self) -> Changes {
        mem::take(&mut self.used().changes)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewRows for BatchRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsFault> {
        let mut used = self.used();
        read(&mut used.reads, 1)?;
        match used.changes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.before.get(key).map_err(unreadable),
        }
    }

    fn change(&self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), RowsFault> {
        let (key_bytes, value_bytes) = (key.len(), value.as_ref().map_or(0, Vec::len));
        if !(1..=KEY_BYTES_MAX).contains(&key_bytes) {
            return Err(RowsFault::Guest(format!("a row's key has {key_bytes} bytes, and may have 1 to {KEY_BYTES_MAX}")));
        }
        if value_bytes > VALUE_BYTES_MAX {
            return Err(RowsFault::Guest(format!("a row's value has {value_bytes} bytes, and may have {VALUE_BYTES_MAX}")));
        }
        let mut used = self.used();
        used.writes += 1;
        used.written_bytes += key_bytes + value_bytes;
        if used.writes > WRITES_MAX || used.written_bytes > WRITTEN_BYTES_MAX {
            return Err(RowsFault::Guest(format!(
                "one call wrote {} rows of {} bytes, and may write {WRITES_MAX} and {WRITTEN_BYTES_MAX}",
                used.writes, used.written_bytes
            )));
        }
        used.changes.insert(key, value);
        Ok(())
    }

    fn scan(&self, scan: &RowScan) -> Result<Vec<RowPair>, RowsFault> {
        let mut used = self.used();
        let limit = limit(scan.limit)?;
        read(&mut used.reads, 1)?;
        let (mut from, mut to) = bounds(scan);
        let mut found = Vec::new();
        loop {
            let stored = range(&self.before, (&from, &to), scan.reverse, limit)?;
            read(&mut used.reads, stored.len() as u32)?;
            let is_last = stored.len() < limit;
            let edge = stored.last().map(|(key, _)| key.clone());
            // What was written lies between what is stored: up to the last stored row of this part, both are known.
            let (lower, upper) = match (&edge, is_last, scan.reverse) {
                (Some(edge), false, false) => (from.clone(), Bound::Included(edge.clone())),
                (Some(edge), false, true) => (Bound::Included(edge.clone()), to.clone()),
                _ => (from.clone(), to.clone()),
            };
            let mut part: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
                stored.into_iter().map(|(key, value)| (key, Some(value))).collect();
            if is_in_order(&lower, &upper) {
                let written = used.changes.range::<Vec<u8>, _>((lower.as_ref(), upper.as_ref()));
                part.extend(written.map(|(key, value)| (key.clone(), value.clone())));
            }
            let rows = part.into_iter().filter_map(|(key, value)| Some((key, value?)));
            match scan.reverse {
                false => found.extend(rows),
                true => found.extend(rows.rev()),
            }
            match edge {
                Some(edge) if !is_last && found.len() < limit => match scan.reverse {
                    false => from = Bound::Excluded(edge),
                    true => to = Bound::Excluded(edge),
                },
                _ => break,
            }
        }
        found.truncate(limit);
        within_bytes(found)
    }
}

/// The rows for a question.
#[derive(Debug)]
pub(super) struct ReadRows {
    rows: Snapshot,
    reads: Mutex<u32>,
}

impl ReadRows {
    pub(super) fn new(rows: Snapshot) -> Self {
        Self { rows, reads: Mutex::default() }
    }

    fn read(&self, rows: u32) -> Result<(), RowsFault> {
        read(&mut self.reads.lock().unwrap_or_else(PoisonError::into_inner), rows)
    }
}

impl ViewRows for ReadRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsFault> {
        self.read(1)?;
        self.rows.get(key).map_err(unreadable)
    }

    fn change(&self, _: Vec<u8>, _: Option<Vec<u8>>) -> Result<(), RowsFault> {
        Err(RowsFault::Guest("a query wrote a row; only `project` may".to_owned()))
    }

    fn scan(&self, scan: &RowScan) -> Result<Vec<RowPair>, RowsFault> {
        let limit = limit(scan.limit)?;
        self.read(1)?;
        let (from, to) = bounds(scan);
        let found = range(&self.rows, (&from, &to), scan.reverse, limit)?;
        self.read(found.len() as u32)?;
        Ok(found)
    }
}

fn read(reads: &mut u32, rows: u32) -> Result<(), RowsFault> {
    *reads = reads.saturating_add(rows);
    match *reads > READS_MAX {
        true => Err(RowsFault::Guest(format!("one call read more than {READS_MAX} rows"))),
        false => Ok(()),
    }
}

fn limit(limit: u32) -> Result<usize, RowsFault> {
    match limit {
        ..=SCAN_MAX => Ok(limit as usize),
        limit => Err(RowsFault::Guest(format!("a scan asked for {limit} rows, and may ask for {SCAN_MAX}"))),
    }
}

type Edge = Bound<Vec<u8>>;

/// Between which keys the rows of a scan are.
fn bounds(scan: &RowScan) -> (Edge, Edge) {
    let (mut from, mut to) = (Bound::Included(scan.prefix.clone()), behind(&scan.prefix));
    match &scan.after {
        // A key before the prefix leaves all its rows, in the order in which they are read.
        Some(after) if !scan.reverse && *after >= scan.prefix => from = Bound::Excluded(after.clone()),
        Some(after) if scan.reverse && lies_before(after, &to) => to = Bound::Excluded(after.clone()),
        Some(_) | None => {}
    }
    (from, to)
}

/// Behind every key with this prefix.
fn behind(prefix: &[u8]) -> Edge {
    let Some(kept) = prefix.iter().rposition(|byte| *byte != u8::MAX) else { return Bound::Unbounded };
    let mut next = prefix[..=kept].to_vec();
    next[kept] += 1;
    Bound::Excluded(next)
}

fn lies_before(key: &[u8], to: &Edge) -> bool {
    match to {
        Bound::Excluded(to) | Bound::Included(to) => key < to.as_slice(),
        Bound::Unbounded => true,
    }
}

/// A range of a map that ends before it begins is a panic.
fn is_in_order(from: &Edge, to: &Edge) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Excluded(from), Bound::Excluded(to)) => from < to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from <= to,
    }
}

fn range(rows: &Snapshot, (from, to): (&Edge, &Edge), reverse: bool, limit: usize) -> Result<Vec<RowPair>, RowsFault> {
    let found = rows.range((slice(from), slice(to)), reverse, (limit, SCAN_BYTES_MAX));
    within_bytes(found.map_err(unreadable)?)
}

fn within_bytes(rows: Vec<RowPair>) -> Result<Vec<RowPair>, RowsFault> {
    match rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > SCAN_BYTES_MAX {
        true => {
            Err(RowsFault::Guest(format!("the rows of a scan have more than {SCAN_BYTES_MAX} bytes; ask for fewer at a time")))
        }
        false => Ok(rows),
    }
}

fn slice(edge: &Edge) -> Bound<&[u8]> {
    match edge {
        Bound::Included(key) => Bound::Included(key.as_slice()),
        Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn unreadable(error: StoreError) -> RowsFault {
    RowsFault::Host(format!("the rows of the view cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::views::{Batch, Sync, ViewFile};

    fn key(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    /// `a1` to `a4`, and `b`.
    fn before() -> Snapshot {
        // The rows can be read as long as their file is open.
        let file = Box::leak(Box::new(ViewFile::in_memory()));
        let rows: Changes = ["a1", "a2", "a3", "a4", "b"].map(|name| (key(name), Some(key("old")))).into();
        file.advance(1, Batch::default(), &rows, Sync::Now).unwrap();
        file.snapshot(1).unwrap()
    }

    fn scanned(rows: &dyn ViewRows, prefix: &str, after: Option<&str>, limit: u32, reverse: bool) -> String {
        let scan = RowScan { prefix: key(prefix), after: after.map(key), limit, reverse };
        let found = rows.scan(&scan).unwrap();
        found.iter().map(|(key, value)| format!("{}={} ", key.escape_ascii(), value.escape_ascii())).collect()
    }

    #[test]
    fn a_batch_sees_what_it_wrote_in_both_orders_and_over_the_edges_of_what_is_read_at_once() {
        let rows = BatchRows::new(before());
        for deleted in ["a1", "a2", "a4"] {
            rows.change(key(deleted), None).unwrap();
        }
        rows.change(key("a25"), Some(key("new"))).unwrap();
        rows.change(key("a9"), Some(key("new"))).unwrap();
        assert_eq!(scanned(&rows, "a", None, 9, false), "a25=new a3=old a9=new ");
        assert_eq!(scanned(&rows, "a", None, 9, true), "a9=new a3=old a25=new ");
        for limit in 1..4 {
            let (mut forward, mut backward) = (String::new(), String::new());
            let (mut after, mut before) = (None, None);
            for _ in 0..4 {
                let part = scanned(&rows, "a", after.as_deref(), limit, false);
                after = part.split_whitespace().last().map(|row| row.split('=').next().unwrap().to_owned()).or(after);
                forward += &part;
                let part = scanned(&rows, "a", before.as_deref(), limit, true);
                before = part.split_whitespace().last().map(|row| row.split('=').next().unwrap().to_owned()).or(before);
                backward += &part;
            }
            assert_eq!((forward.as_str(), backward.as_str()), ("a25=new a3=old a9=new ", "a9=new a3=old a25=new "), "{limit}");
        }
        assert_eq!(scanned(&rows, "", Some("a9"), 9, false), "b=old ");
        assert_eq!(scanned(&rows, "a", Some("zz"), 9, false), "");
        assert_eq!(scanned(&rows, "b", Some("a"), 9, true), "");
        assert_eq!((rows.get(b"a1").unwrap(), rows.get(b"a25").unwrap()), (None, Some(key("new"))));
        assert_eq!(rows.take_changes().len(), 5);
    }

    #[test]
    fn a_call_that_takes_more_than_it_may_is_told_what_it_may_have() {
        let (batch, read) = (BatchRows::new(before()), ReadRows::new(before()));
        let scan = |limit| RowScan { prefix: Vec::new(), after: None, limit, reverse: false };
        let mut told = vec![
            batch.change(Vec::new(), None).unwrap_err(),
            batch.change(vec![7; 1_025], None).unwrap_err(),
            batch.change(key("a"), Some(vec![0; 65_537])).unwrap_err(),
            batch.scan(&scan(1_001)).unwrap_err(),
            read.change(key("a"), None).unwrap_err(),
        ];
        told.extend((0..300).find_map(|number: u32| batch.change(number.to_be_bytes().to_vec(), Some(vec![0; 65_536])).err()));
        let large: Changes = (0..300_u32).map(|number| (number.to_be_bytes().to_vec(), Some(vec![0; 65_536]))).collect();
        let file = ViewFile::in_memory();
        file.advance(1, Batch::default(), &large, Sync::Now).unwrap();
        let (large, beside) = (ReadRows::new(file.snapshot(1).unwrap()), BatchRows::new(file.snapshot(1).unwrap()));
        assert_eq!(large.scan(&scan(200)).unwrap().len(), 200);
        told.extend([large.scan(&scan(1_000)).unwrap_err(), beside.scan(&scan(1_000)).unwrap_err()]);
        let many = BatchRows::new(before());
        told.extend((0..10_001_u32).find_map(|number| many.change(number.to_be_bytes().to_vec(), None).err()));
        // Each row counts, and each look: 16,666 times there are 5 rows.
        let times = (0..20_000).take_while(|_| read.scan(&scan(1_000)).is_ok()).count();
        assert_eq!(times, 16_666);
        told.extend(read.scan(&scan(1_000)).err());
        let lines: Vec<String> = told.into_iter().map(|fault| format!("{fault:?}")).collect();
        expect_test::expect![[r#"
            Guest("a row's key has 0 bytes, and may have 1 to 1024")
            Guest("a row's key has 1025 bytes, and may have 1 to 1024")
            Guest("a row's value has 65537 bytes, and may have 65536")
            Guest("a scan asked for 1001 rows, and may ask for 1000")
            Guest("a query wrote a row; only `project` may")
            Guest("one call wrote 256 rows of 16778240 bytes, and may write 10000 and 16777216")
            Guest("the rows of a scan have more than 16777216 bytes; ask for fewer at a time")
            Guest("the rows of a scan have more than 16777216 bytes; ask for fewer at a time")
            Guest("one call wrote 10001 rows of 40004 bytes, and may write 10000 and 16777216")
            Guest("one call read more than 100000 rows")"#]]
        .assert_eq(&lines.join("\n"));
    }
}
