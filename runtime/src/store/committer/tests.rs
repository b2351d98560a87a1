use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::store::{Append, RowChange, Table, memory::MemoryStore};

/// One record on the one stream there is.
fn work(tag: u64) -> Work {
    sized(tag, 1, 10)
}

/// So many records of so many bytes, when each work before had as many.
fn sized(tag: u64, records: u64, bytes: usize) -> Work {
    let first = (tag - 1) * records + 1;
    let records = (0..records).map(|_| Bytes::from(vec![0; bytes])).collect();
    let append = Append { stream: 1, first_version: first, first_position: first, records };
    Work { tag, batch: Batch { appends: vec![append], rows: Vec::new() } }
}

/// `durable 3 at 3`.
fn shown(notice: &Notice) -> String {
    match notice {
        Notice::Durable { tag, position: Some(position) } => format!("durable {tag} at {position}"),
        Notice::Durable { tag, position: None } => format!("durable {tag}"),
        Notice::Failed(error) => error.to_string(),
    }
}

#[test]
fn one_commit_takes_all_that_waits_in_order() {
    let (store, counters, mut queue) = (MemoryStore::default(), Counters::default(), Queue::default());
    for tag in 1..=3 {
        queue.push(work(tag)).unwrap();
    }
    assert_eq!(shown(&commit_next(&mut queue, &store, &counters).unwrap()), "durable 3 at 3");
    assert!(commit_next(&mut queue, &store, &counters).is_none());
    let totals = counters.totals();
    assert_eq!((totals.commits, totals.records, totals.bytes), (1, 3, 30));
    assert_eq!(queue.records, 0);
}

#[test]
fn rows_alone_move_no_position() {
    let (store, counters, mut queue) = (MemoryStore::default(), Counters::default(), Queue::default());
    let rows = vec![RowChange::put(Table::Meta, "k", "v")];
    queue.push(Work { tag: 7, batch: Batch { appends: Vec::new(), rows } }).unwrap();
    assert_eq!(shown(&commit_next(&mut queue, &store, &counters).unwrap()), "durable 7");
}

#[test]
fn a_commit_has_a_limit_of_batches_bytes_and_records() {
    let drained = |works: Vec<Work>| {
        let mut queue = Queue::default();
        works.into_iter().for_each(|work| queue.push(work).unwrap());
        let counts = std::iter::from_fn(|| Some(queue.drain().len()).filter(|count| *count > 0)).collect::<Vec<_>>();
        assert_eq!(queue.records, 0);
        counts
    };
    assert_eq!(drained((1..=600).map(work).collect()), [256, 256, 88]);
    assert_eq!(drained((1..=5).map(|tag| sized(tag, 1, 400_000)).collect()), [2, 2, 1]);
    assert_eq!(drained((1..=3).map(|tag| sized(tag, 1, 2 << 20)).collect()), [1, 1, 1]);
    assert_eq!(drained((1..=5).map(|tag| sized(tag, 4_000, 0)).collect()), [2, 2, 1]);
}

#[test]
fn after_a_failure_nothing_is_taken_and_nothing_more_is_said() {
    let (store, counters, mut queue) = (MemoryStore::default(), Counters::default(), Queue::default());
    store.fail_after(1);
    (1..=300).for_each(|tag| queue.push(work(tag)).unwrap());
    assert_eq!(shown(&commit_next(&mut queue, &store, &counters).unwrap()), "durable 256 at 256");
    assert_eq!(shown(&commit_next(&mut queue, &store, &counters).unwrap()), "storage failed: the disk was told to break");
    assert_eq!(queue.push(work(301)), Err(Ended));
    assert!(commit_next(&mut queue, &store, &counters).is_none());
    assert_eq!(store.reopened().last_position().unwrap(), 256);
}

#[test]
fn the_thread_makes_all_work_durable_before_it_ends() {
    let store = Arc::new(MemoryStore::default());
    let (told, notices) = mpsc::channel();
    let committer = Committer::start(store.clone(), move |notice| told.send(shown(&notice)).unwrap()).unwrap();
    (1..=1_000).for_each(|tag| committer.push(work(tag)).unwrap());
    committer.finish();
    assert_eq!(notices.iter().last().unwrap(), "durable 1000 at 1000");
    assert_eq!(store.last_position().unwrap(), 1_000);
}

#[test]
fn the_thread_says_a_failure_once_and_stops() {
    let store = Arc::new(MemoryStore::default());
    store.fail_after(0);
    let (told, notices) = mpsc::channel();
    let committer = Committer::start(store, move |notice| told.send(shown(&notice)).unwrap()).unwrap();
    committer.push(work(1)).unwrap();
    assert_eq!(notices.recv().unwrap(), "storage failed: the disk was told to break");
    assert_eq!(committer.push(work(2)), Err(Ended));
    committer.finish();
    assert_eq!(notices.iter().count(), 0);
}

#[test]
fn a_notice_that_panics_ends_the_queue_too() {
    let committer = Committer::start(Arc::new(MemoryStore::default()), |_| panic!("told")).unwrap();
    committer.push(work(1)).unwrap();
    while committer.push(Work { tag: 2, batch: Batch::default() }).is_ok() {
        thread::yield_now();
    }
    committer.finish();
}

#[test]
fn who_is_alone_commits_by_itself_in_one_order_with_the_thread() {
    let store = Arc::new(MemoryStore::default());
    let (notify, notices) = mpsc::channel();
    let committer = Committer::start(Arc::clone(&store) as Arc<dyn Store>, move |notice| notify.send(notice).unwrap()).unwrap();
    let here = |tag| committer.commit_here(store.as_ref(), vec![work(tag)]).map(|notice| shown(&notice.unwrap()));
    assert_eq!(here(1).unwrap(), "durable 1 at 1");
    committer.push(work(2)).unwrap();
    assert_eq!(shown(&notices.recv().unwrap()), "durable 2 at 2");
    // While a commit is in flight the work is given back: it would overtake what that commit holds.
    committer.shared.queue().busy = true;
    assert_eq!(here(3).unwrap_err().len(), 1);
    committer.shared.queue().busy = false;
    assert_eq!(here(3).unwrap(), "durable 3 at 3");
}

/// Law 14 holds wherever the commit runs.
#[test]
fn after_a_failed_commit_of_the_callers_thread_nothing_is_taken() {
    let store = Arc::new(MemoryStore::default());
    let committer = Committer::start(Arc::clone(&store) as Arc<dyn Store>, |_| {}).unwrap();
    store.fence();
    let notice = committer.commit_here(store.as_ref(), vec![work(1)]).unwrap();
    assert!(matches!(notice, Some(Notice::Failed(_))));
    assert_eq!(committer.push(work(2)), Err(Ended));
    assert!(committer.commit_here(store.as_ref(), vec![work(2)]).is_err());
}
