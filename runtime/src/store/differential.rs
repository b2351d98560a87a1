//! Drives the same random operations into the reference model and into redb, and compares every answer.

use std::path::Path;

use bytes::Bytes;

use super::{
    Append, Batch, Order, Position, Range, RowChange, Store, StoreError, StreamRead, Table,
    memory::MemoryStore,
    redb::{Options, RedbStore},
};

#[test]
fn redb_answers_like_the_model_whatever_is_asked() {
    for seed in 1..=12 {
        let folder = tempfile::tempdir().unwrap();
        run(seed, &folder.path().join("journal.redb"));
    }
}

fn run(seed: u64, path: &Path) {
    let mut dice = Dice(seed);
    let model = MemoryStore::default();
    let mut store = RedbStore::open(path, &Options::default()).unwrap();
    let mut streams: Vec<(Position, u64)> = Vec::new();
    for round in 0..60 {
        let at = format!("seed {seed}, round {round}");
        let (batches, after) = commit(&mut dice, model.last_position().unwrap(), &streams);
        let expected = answer(model.commit(&batches));
        assert_eq!(answer(store.commit(&batches)), expected, "{at}");
        if expected == "ok" {
            streams = after;
        }
        for _ in 0..8 {
            let question = Question::any(&mut dice, &streams);
            assert_eq!(question.ask(&store), question.ask(&model), "{at}: {question:?}");
        }
        if dice.below(10) == 0 {
            store.close().unwrap();
            let check_integrity = dice.below(2) == 0;
            store = RedbStore::open(path, &Options { check_integrity, ..Options::default() }).unwrap();
        }
    }
    let all = |store: &dyn Store| format!("{:?}", store.log(0, usize::MAX).unwrap());
    assert_eq!(all(&store), all(&model), "seed {seed}");
}

/// Some batches, and what the streams are if they are taken. One commit in eight expects something wrong.
pub(super) fn commit(dice: &mut Dice, mut end: Position, streams: &[(Position, u64)]) -> (Vec<Batch>, Vec<(Position, u64)>) {
    let mut after = streams.to_vec();
    let mut batches = Vec::new();
    for _ in 0..dice.below(6) {
        let mut batch = Batch::default();
        for _ in 0..dice.below(4) {
            let records: Vec<Bytes> = (0..=dice.below(3)).map(|_| dice.bytes(600)).collect();
            let count = records.len() as u64;
            let known = dice.below(after.len() as u64 + 2) as usize;
            let (stream, first_version) = match after.get_mut(known) {
                Some((stream, last)) => {
                    let first_version = *last + 1;
                    *last += count;
                    (*stream, first_version)
                }
                None => {
                    after.push((end + 1, count));
                    (end + 1, 1)
                }
            };
            batch.appends.push(Append { stream, first_version, first_position: end + 1, records });
            end += count;
        }
        for _ in 0..dice.below(6) {
            let table = Table::ALL[dice.below(9) as usize];
            let key = dice.key();
            batch.rows.push(match dice.below(3) {
                0 => RowChange::delete(table, key),
                _ => RowChange::put(table, key, dice.bytes(200)),
            });
        }
        batches.push(batch);
    }
    if dice.below(8) == 0
        && let Some(append) = batches.iter_mut().flat_map(|batch| &mut batch.appends).last()
    {
        match dice.below(4) {
            0 => append.first_version += 1,
            1 => append.first_position += 1,
            2 => append.stream += 1,
            _ => append.records.clear(),
        }
    }
    (batches, after)
}

#[derive(Debug)]
enum Question {
    Last,
    Stream(Position, u64, usize),
    Streams(Vec<StreamRead>),
    Log(Position, usize),
    Row(Table, Vec<u8>),
    RowsAt(Vec<(Table, Vec<u8>)>),
    Rows(Range),
}

impl Question {
    fn any(dice: &mut Dice, streams: &[(Position, u64)]) -> Self {
        let limit = dice.below(30) as usize;
        match dice.below(10) {
            0 => Self::Last,
            1 | 2 => {
                let StreamRead { stream, from_version, limit, .. } = stream_read(dice, streams);
                Self::Stream(stream, from_version, limit)
            }
            8 => Self::Streams((0..dice.below(5)).map(|_| stream_read(dice, streams)).collect()),
            9 => Self::RowsAt((0..dice.below(5)).map(|_| (Table::ALL[dice.below(9) as usize], dice.key())).collect()),
            3 => Self::Log(dice.below(200), limit),
            4 | 5 => Self::Row(Table::ALL[dice.below(9) as usize], dice.key()),
            _ => Self::Rows(Range {
                table: Table::ALL[dice.below(9) as usize],
                from: dice.key(),
                to: (dice.below(3) > 0).then(|| dice.key()),
                order: if dice.below(2) == 0 { Order::Ascending } else { Order::Descending },
                limit,
            }),
        }
    }

    fn ask(&self, store: &dyn Store) -> String {
        match self {
            Self::Last => answer(store.last_position()),
            Self::Stream(stream, from, limit) => answer(store.stream(*stream, *from, *limit)),
            Self::Streams(reads) => answer(store.streams(reads)),
            Self::Log(from, limit) => answer(store.log(*from, *limit)),
            Self::Row(table, key) => answer(store.row(*table, key)),
            Self::RowsAt(keys) => answer(store.rows_at(keys)),
            Self::Rows(range) => answer(store.rows(range)),
        }
    }
}

fn stream_read(dice: &mut Dice, streams: &[(Position, u64)]) -> StreamRead {
    let known = streams.get(dice.below(streams.len() as u64 + 1) as usize);
    let stream = known.map_or(dice.below(50), |known| known.0);
    let bytes_max = if dice.below(2) == 0 { usize::MAX } else { dice.below(100) as usize };
    StreamRead { stream, from_version: dice.below(12), limit: dice.below(30) as usize, bytes_max }
}

fn answer<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(value) if std::mem::size_of::<T>() == 0 => format!("{value:?}").replace("()", "ok"),
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

/// SplitMix64: a seed says all.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, max: u64) -> Bytes {
        (0..self.below(max)).map(|_| self.next() as u8).collect::<Vec<_>>().into()
    }

    /// Short, and of few letters: keys must meet.
    fn key(&mut self) -> Vec<u8> {
        (0..self.below(4)).map(|_| [0, b'a', b'b', 0xff][self.below(4) as usize]).collect()
    }
}
