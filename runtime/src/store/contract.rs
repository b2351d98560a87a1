//! The contract of a store, as tests. A new store must pass all of them.

use bytes::Bytes;

use super::{
    Append, Batch, Order, Range, Row, RowChange, Store, StoreError, Stored, StreamRead, Table, memory::MemoryStore,
    redb::Options, redb::RedbStore,
};

/// Each promise becomes one test on each store.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod memory {
            $(#[test]
            fn $promise() {
                super::$promise(&super::MemoryStore::default());
            })*
        }
        mod redb {
            $(#[test]
            fn $promise() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("journal.redb");
                super::$promise(&super::RedbStore::open(&path, &super::Options::default()).unwrap());
            })*
        }
    };
}

promises![
    an_empty_store_has_nothing,
    positions_follow_commit_order_without_gaps,
    a_stream_is_read_from_any_version,
    a_version_far_behind_the_end_is_an_empty_answer,
    many_streams_are_read_at_once_in_order,
    c2_29_a_read_of_a_stream_ends_before_it_is_too_large,
    many_rows_are_read_at_once_in_order,
    a_commit_is_all_or_nothing,
    an_append_at_another_version_is_a_conflict,
    an_append_at_another_position_is_a_conflict,
    a_stream_is_named_after_its_first_position,
    two_appends_to_one_stream_share_a_commit,
    the_last_change_of_a_row_wins,
    rows_come_in_key_order_either_way,
    a_range_goes_on_after_a_key,
    tables_do_not_mix,
    a_closed_store_fails,
    empty_commits_are_nothing,
];

fn record(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into().into_bytes())
}

fn append(stream: u64, first_version: u64, first_position: u64, records: &[&str]) -> Batch {
    let records = records.iter().map(|text| record(*text)).collect();
    Batch { appends: vec![Append { stream, first_version, first_position, records }], rows: Vec::new() }
}

fn put(table: Table, key: &str, value: &str) -> RowChange {
    RowChange::put(table, key, record(value))
}

fn rows(changes: Vec<RowChange>) -> Batch {
    Batch { appends: Vec::new(), rows: changes }
}

/// `1:a 2:b`.
fn shown(records: &[Stored]) -> String {
    let records = records.iter().map(|at| format!("{}:{}", at.position, String::from_utf8_lossy(&at.record)));
    records.collect::<Vec<_>>().join(" ")
}

/// `a=1 b=2`.
fn shown_rows(rows: &[Row]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rows = rows.iter().map(|row| format!("{}={}", text(&row.key), text(&row.value)));
    rows.collect::<Vec<_>>().join(" ")
}

fn range(from: &str, to: Option<&str>, order: Order, limit: usize) -> Range {
    Range { table: Table::Waits, from: from.into(), to: to.map(Into::into), order, limit }
}

fn conflict(result: Result<(), StoreError>) -> String {
    match result {
        Err(StoreError::Conflict(what)) => what,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

fn an_empty_store_has_nothing(store: &dyn Store) {
    assert_eq!(store.last_position().unwrap(), 0);
    assert_eq!(store.log(0, 10).unwrap(), []);
    assert_eq!(store.stream(1, 1, 10).unwrap(), []);
    for table in Table::ALL {
        assert_eq!(store.row(table, b"x").unwrap(), None);
        assert_eq!(store.rows(&Range::under(table, b"", 10)).unwrap(), []);
    }
}

fn positions_follow_commit_order_without_gaps(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a", "b"]), append(3, 1, 3, &["c"])]).unwrap();
    store.commit(&[append(1, 3, 4, &["d"])]).unwrap();
    assert_eq!(store.last_position().unwrap(), 4);
    assert_eq!(shown(&store.log(0, 10).unwrap()), "1:a 2:b 3:c 4:d");
    assert_eq!(shown(&store.log(2, 2).unwrap()), "2:b 3:c");
    assert_eq!(shown(&store.log(5, 10).unwrap()), "");
    assert_eq!(shown(&store.log(1, 0).unwrap()), "");
}

fn a_stream_is_read_from_any_version(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a1", "a2"]), append(3, 1, 3, &["b1"])]).unwrap();
    store.commit(&[append(1, 3, 4, &["a3", "a4", "a5"]), append(3, 2, 7, &["b2"])]).unwrap();
    assert_eq!(shown(&store.stream(1, 1, 100).unwrap()), "1:a1 2:a2 4:a3 5:a4 6:a5");
    assert_eq!(shown(&store.stream(1, 0, 100).unwrap()), "1:a1 2:a2 4:a3 5:a4 6:a5");
    assert_eq!(shown(&store.stream(1, 2, 2).unwrap()), "2:a2 4:a3");
    assert_eq!(shown(&store.stream(1, 4, 1).unwrap()), "5:a4");
    assert_eq!(shown(&store.stream(1, 6, 100).unwrap()), "");
    assert_eq!(shown(&store.stream(1, 1, 0).unwrap()), "");
    assert_eq!(shown(&store.stream(3, 2, 100).unwrap()), "7:b2");
    // A position inside a stream names no stream.
    assert_eq!(shown(&store.stream(2, 1, 100).unwrap()), "");
}

/// redb added the version that a client asked for to a position: the largest number overflowed, and a host with checked
/// arithmetic took the panic for a failed disk. A request chooses that number, and the sum was made before it was compared.
fn a_version_far_behind_the_end_is_an_empty_answer(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a1", "a2"]), append(3, 1, 3, &["b1"])]).unwrap();
    for from in [3, 4, u64::MAX - 1, u64::MAX] {
        assert_eq!(store.stream(1, from, 100).unwrap(), [], "{from}");
    }
    assert_eq!(shown(&store.stream(1, 2, 100).unwrap()), "2:a2");
}

fn many_streams_are_read_at_once_in_order(store: &dyn Store) {
    assert_eq!(store.streams(&[]).unwrap(), []);
    store.commit(&[append(1, 1, 1, &["a1", "a2"]), append(3, 1, 3, &["b1"])]).unwrap();
    store.commit(&[append(1, 3, 4, &["a3"])]).unwrap();
    let reads = [(3, 1, 10), (1, 2, 10), (2, 1, 10), (1, 0, 1), (3, 1, 10), (9, 1, 10), (1, 1, 0)];
    let reads = reads.map(|(stream, from_version, limit)| StreamRead { stream, from_version, limit, bytes_max: usize::MAX });
    let answers = store.streams(&reads).unwrap();
    let answers: Vec<String> = answers.into_iter().map(|answer| shown(&answer.unwrap())).collect();
    assert_eq!(answers, ["3:b1", "2:a2 4:a3", "", "1:a1", "3:b1", "", ""]);
}

/// A limit of records alone let one read of a few large ones take any memory.
fn c2_29_a_read_of_a_stream_ends_before_it_is_too_large(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a1", "a2"]), append(3, 1, 3, &["b1"])]).unwrap();
    store.commit(&[append(1, 3, 4, &["a3", "a-4", "a5"])]).unwrap();
    let read = |from_version, bytes_max| {
        let read = StreamRead { stream: 1, from_version, limit: 10, bytes_max };
        shown(&store.streams(&[read]).unwrap().remove(0).unwrap())
    };
    assert_eq!(read(1, 1), "");
    assert_eq!(read(1, 2), "1:a1");
    assert_eq!(read(1, 5), "1:a1 2:a2");
    assert_eq!(read(1, 6), "1:a1 2:a2 4:a3");
    // A small record behind a large one is not read in its place.
    assert_eq!(read(3, 4), "4:a3");
    assert_eq!(read(4, 2), "");
    assert_eq!(read(2, 9), "2:a2 4:a3 5:a-4 6:a5");
}

fn many_rows_are_read_at_once_in_order(store: &dyn Store) {
    assert_eq!(store.rows_at(&[]).unwrap(), []);
    store.commit(&[rows(vec![put(Table::Waits, "a", "1"), put(Table::Meta, "a", "2"), put(Table::Waits, "b", "")])]).unwrap();
    let keys = [(Table::Waits, "b"), (Table::Meta, "a"), (Table::Meta, "b"), (Table::Waits, "a"), (Table::Waits, "b")];
    let answers = store.rows_at(&keys.map(|(table, key)| (table, key.as_bytes().to_vec()))).unwrap();
    let answers: Vec<Option<Bytes>> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, [Some(Bytes::new()), Some(record("2")), None, Some(record("1")), Some(Bytes::new())]);
}

fn a_commit_is_all_or_nothing(store: &dyn Store) {
    let good = Batch { rows: vec![put(Table::Meta, "k", "v")], ..append(1, 1, 1, &["a"]) };
    conflict(store.commit(&[good.clone(), append(1, 7, 2, &["b"])]));
    assert_eq!(store.last_position().unwrap(), 0);
    assert_eq!(store.row(Table::Meta, b"k").unwrap(), None);
    store.commit(&[good]).unwrap();
    assert_eq!(store.last_position().unwrap(), 1);
    assert_eq!(store.row(Table::Meta, b"k").unwrap(), Some(record("v")));
}

fn an_append_at_another_version_is_a_conflict(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a", "b"])]).unwrap();
    for version in [0, 2, 4] {
        let what = conflict(store.commit(&[append(1, version, 3, &["c"])]));
        assert_eq!(what, format!("stream 1: append expects version {version}, the stream ends at 2"));
    }
    for version in [0, 2] {
        let what = conflict(store.commit(&[append(2, version, 3, &["c"])]));
        assert_eq!(what, format!("stream 2: append expects version {version}, the stream ends at 0"));
    }
    let what = conflict(store.commit(&[append(1, 3, 3, &[])]));
    assert_eq!(what, "stream 1: an append without records");
}

fn an_append_at_another_position_is_a_conflict(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a", "b"])]).unwrap();
    for position in [0, 2, 4] {
        let what = conflict(store.commit(&[append(1, 3, position, &["c"])]));
        assert_eq!(what, format!("stream 1: append expects position {position}, the journal ends at 2"));
    }
}

fn a_stream_is_named_after_its_first_position(store: &dyn Store) {
    conflict(store.commit(&[append(7, 1, 1, &["a"])]));
    conflict(store.commit(&[append(1, 2, 1, &["a"])]));
    store.commit(&[append(1, 1, 1, &["a"])]).unwrap();
    // The first stream cannot be opened a second time.
    conflict(store.commit(&[append(1, 1, 2, &["a"])]));
}

fn two_appends_to_one_stream_share_a_commit(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a"]), append(1, 2, 2, &["b", "c"]), append(1, 4, 4, &["d"])]).unwrap();
    assert_eq!(shown(&store.stream(1, 1, 100).unwrap()), "1:a 2:b 3:c 4:d");
}

fn the_last_change_of_a_row_wins(store: &dyn Store) {
    let delete = |key: &str| RowChange::delete(Table::Meta, key);
    store
        .commit(&[
            rows(vec![put(Table::Meta, "a", "1"), delete("a"), put(Table::Meta, "b", "1"), put(Table::Meta, "b", "2")]),
            rows(vec![delete("never"), put(Table::Meta, "c", ""), put(Table::Meta, "", "nameless")]),
        ])
        .unwrap();
    assert_eq!(store.row(Table::Meta, b"a").unwrap(), None);
    assert_eq!(store.row(Table::Meta, b"b").unwrap(), Some(record("2")));
    assert_eq!(store.row(Table::Meta, b"c").unwrap(), Some(Bytes::new()));
    assert_eq!(store.row(Table::Meta, b"").unwrap(), Some(record("nameless")));
    store.commit(&[rows(vec![delete("b")]), rows(vec![put(Table::Meta, "a", "3")])]).unwrap();
    assert_eq!(store.row(Table::Meta, b"b").unwrap(), None);
    assert_eq!(store.row(Table::Meta, b"a").unwrap(), Some(record("3")));
}

fn rows_come_in_key_order_either_way(store: &dyn Store) {
    let keys = ["b", "a", "ab", "c", "a\u{7f}"];
    store.commit(&[rows(keys.iter().map(|key| put(Table::Waits, key, "1")).collect())]).unwrap();
    let read = |range: Range| shown_rows(&store.rows(&range).unwrap());
    assert_eq!(read(range("", None, Order::Ascending, 10)), "a=1 ab=1 a\u{7f}=1 b=1 c=1");
    assert_eq!(read(range("", None, Order::Descending, 2)), "c=1 b=1");
    assert_eq!(read(range("ab", Some("c"), Order::Ascending, 10)), "ab=1 a\u{7f}=1 b=1");
    assert_eq!(read(range("ab", Some("c"), Order::Descending, 1)), "b=1");
    assert_eq!(read(range("b", Some("b"), Order::Ascending, 10)), "");
    assert_eq!(read(range("c", Some("a"), Order::Ascending, 10)), "");
    assert_eq!(read(range("", None, Order::Ascending, 0)), "");
    assert_eq!(read(Range::under(Table::Waits, b"a", 10)), "a=1 ab=1 a\u{7f}=1");
    store.commit(&[rows(vec![RowChange::put(Table::Waits, vec![0xff, 0xff], record("top"))])]).unwrap();
    assert_eq!(store.rows(&Range::under(Table::Waits, &[0xff], 10)).unwrap().len(), 1);
}

fn a_range_goes_on_after_a_key(store: &dyn Store) {
    let keys = ["a", "a\0", "ab", "b"];
    store.commit(&[rows(keys.iter().map(|key| put(Table::Waits, key, "")).collect())]).unwrap();
    for order in [Order::Ascending, Order::Descending] {
        let mut left = range("", None, order, 1);
        let mut seen = Vec::new();
        while let Some(row) = store.rows(&left).unwrap().pop() {
            left = left.after(&row.key);
            seen.push(String::from_utf8(row.key).unwrap());
        }
        if order == Order::Descending {
            seen.reverse();
        }
        assert_eq!(seen, keys, "{order:?}");
    }
}

fn tables_do_not_mix(store: &dyn Store) {
    let changes = Table::ALL.iter().map(|table| put(*table, "key", &format!("{table:?}"))).collect();
    store.commit(&[rows(changes)]).unwrap();
    for table in Table::ALL {
        assert_eq!(shown_rows(&store.rows(&Range::under(table, b"", 10)).unwrap()), format!("key={table:?}"));
    }
}

fn a_closed_store_fails(store: &dyn Store) {
    store.commit(&[append(1, 1, 1, &["a"])]).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.last_position(), Err(StoreError::Failed(_))));
    assert!(matches!(store.commit(&[append(1, 2, 2, &["b"])]), Err(StoreError::Failed(_))));
    assert!(matches!(store.rows_at(&[(Table::Meta, Vec::new())]), Err(StoreError::Failed(_))));
    assert!(matches!(
        store.streams(&[StreamRead { stream: 1, from_version: 1, limit: 1, bytes_max: 9 }]),
        Err(StoreError::Failed(_))
    ));
}

fn empty_commits_are_nothing(store: &dyn Store) {
    store.commit(&[]).unwrap();
    store.commit(&[Batch::default(), Batch::default()]).unwrap();
    assert_eq!(store.last_position().unwrap(), 0);
}
