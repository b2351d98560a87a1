//! Power loss at any moment of a commit: acknowledged commits are present, and others are present as a whole or not at all.
//!
//! `AMENDS_POWER_LOSSES=20000` runs the campaign for longer than every test run does.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Append, Batch, Position, Range, Store, StoreError, Table,
    differential::{Dice, commit},
    fault::{Fault, FaultDisk},
    memory::MemoryStore,
    redb::{Options, RedbStore},
};

const COMMITS: u64 = 12;

#[test]
fn acknowledged_commits_survive_and_others_are_whole_or_absent() {
    let runs = std::env::var("AMENDS_POWER_LOSSES").ok().and_then(|runs| runs.parse().ok()).unwrap_or(40);
    let mut found = [0; 2];
    for seed in 1..=runs {
        let (disk, store) = new_store();
        let begun = disk.operations();
        work(&mut Dice(seed), &store);
        let operations = disk.operations() - begun;

        // The same once more, now with a fault at any of its operations.
        let mut dice = Dice(seed ^ (1 << 63));
        let fault = if dice.below(3) == 0 { Fault::FailOnce } else { Fault::PowerOff };
        let (disk, store) = new_store();
        disk.fail_at(begun + dice.below(operations), fault);
        let history = work(&mut Dice(seed), &store);
        drop(store);
        for loss in 0..3 {
            let image = lose_power(&mut dice, &disk);
            let which = recover(&mut dice, image, &history, &format!("seed {seed}, {fault:?}, loss {loss}"));
            found[which] += 1;
        }
    }
    // The campaign says nothing unless both ends were seen: the commit in flight lost, and kept.
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
}

fn new_store() -> (FaultDisk, RedbStore) {
    let disk = FaultDisk::default();
    let store = RedbStore::on_backend(disk.clone(), &Options::default()).unwrap();
    (disk, store)
}

/// The permitted states after the fault: that of the last acknowledged commit, and that with the commit in flight.
struct History {
    acknowledged: String,
    in_flight: Option<String>,
}

/// Commits until it is enough or until the disk fails; then the store must stay failed.
fn work(dice: &mut Dice, store: &RedbStore) -> History {
    let model = MemoryStore::default();
    let mut streams = Vec::new();
    for _ in 0..COMMITS {
        let acknowledged = shown(&model);
        let end = model.last_position().unwrap();
        let (mut batches, mut after) = commit(dice, end, &streams);
        if dice.below(COMMITS) == 0 {
            // Large enough to make the file grow.
            let records = vec![Bytes::from(vec![7; 8_192]); 150];
            let large = Append { stream: end + 1, first_version: 1, first_position: end + 1, records };
            batches = vec![Batch { appends: vec![large], rows: Vec::new() }];
            after = [&streams[..], &[(end + 1, 150)]].concat();
        }
        match (model.commit(&batches), store.commit(&batches)) {
            (Ok(()), Ok(())) => streams = after,
            (Err(StoreError::Conflict(_)), Err(StoreError::Conflict(_))) => {}
            (_, Err(StoreError::Failed(_))) => {
                assert!(matches!(store.commit(&batches), Err(StoreError::Failed(_))), "a failed store took a commit");
                assert!(matches!(store.last_position(), Err(StoreError::Failed(_))), "a failed store answered");
                return History { acknowledged, in_flight: Some(shown(&model)) };
            }
            (expected, got) => panic!("expected {expected:?}, got {got:?}"),
        }
    }
    History { acknowledged: shown(&model), in_flight: None }
}

/// Every sector that was not synced lost, every one kept, or each by itself.
fn lose_power(dice: &mut Dice, disk: &FaultDisk) -> Vec<u8> {
    match dice.below(4) {
        0 => disk.after_power_loss(|| false),
        1 => disk.after_power_loss(|| true),
        _ => disk.after_power_loss(|| dice.below(2) == 0),
    }
}

/// Opens what is left, after up to two more power losses in the middle of it. 1 if the commit in flight is there.
fn recover(dice: &mut Dice, mut image: Vec<u8>, history: &History, at: &str) -> usize {
    for _ in 0..dice.below(3) {
        let disk = FaultDisk::with(image);
        disk.fail_at(dice.below(12), Fault::PowerOff);
        drop(RedbStore::on_backend(disk.clone(), &Options::default()));
        image = lose_power(dice, &disk);
    }
    let check_integrity = dice.below(2) == 0;
    let options = Options { check_integrity, ..Options::default() };
    let store = RedbStore::on_backend(FaultDisk::with(image), &options).unwrap_or_else(|error| panic!("{at}: {error}"));
    let found = shown(&store);
    let in_flight = history.in_flight.as_ref() == Some(&found);
    assert!(in_flight || found == history.acknowledged, "{at}: neither what was acknowledged nor what was in flight");
    usize::from(in_flight && found != history.acknowledged)
}

/// The digest of all answers of a store.
fn shown(store: &dyn Store) -> String {
    let mut hash = Sha256::new();
    let mut add = |key: &[u8], value: &[u8]| {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    };
    let log = store.log(0, usize::MAX).unwrap();
    log.iter().for_each(|at| add(&at.position.to_le_bytes(), &at.record));
    for stream in 0..=log.len() as Position {
        let records = store.stream(stream, 1, usize::MAX).unwrap();
        records.iter().for_each(|at| add(&stream.to_le_bytes(), &at.position.to_le_bytes()));
    }
    for table in Table::ALL {
        let rows = store.rows(&Range::under(table, b"", usize::MAX)).unwrap();
        rows.iter().for_each(|row| add(&[&[table as u8][..], &row.key].concat(), &row.value));
    }
    hex::encode(hash.finalize())
}
