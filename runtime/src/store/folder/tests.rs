use bytes::Bytes;

use super::*;
use crate::store::{Append, modules::ModuleError};

/// A folder that vanishes with the test.
fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Opened {
    Folder::open(path).unwrap().open_store(&Options::default()).unwrap()
}

fn append_one(store: &RedbStore) {
    let at = store.last_position().unwrap() + 1;
    let append = Append { stream: 1, first_version: at, first_position: at, records: vec![Bytes::from("a")] };
    store.commit(&[Batch { appends: vec![append], rows: Vec::new() }]).unwrap();
}

fn refusal(path: &Path) -> String {
    Folder::open(path).and_then(|folder| folder.open_store(&Options::default())).unwrap_err().to_string()
}

#[test]
fn a_new_folder_is_private_and_keeps_what_was_committed() {
    let place = place();
    let path = place.path().join("deep/amends-data");
    let first = open(&path);
    assert!(first.created && first.taint.is_none());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.join(JOURNAL)).unwrap().permissions().mode() & 0o777, 0o600);
    append_one(&first.store);
    first.store.close().unwrap();
    let second = open(&path);
    assert!(!second.created);
    assert_eq!(second.store.last_position().unwrap(), 1);
}

#[test]
fn a_second_host_is_told_who_has_the_folder() {
    let place = place();
    let held = Folder::open(place.path()).unwrap();
    let Err(FolderError::InUse(what)) = Folder::open(place.path()) else { panic!("two hosts have one folder") };
    assert!(what.contains(&format!("is in use by process {} on ", std::process::id())), "{what}");
    drop(held);
    Folder::open(place.path()).unwrap();
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let place = place();
    fs::write(place.path().join("thesis.tex"), "\\begin").unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let said = refusal(place.path());
    assert!(
        said.ends_with("holds something else than amends data (thesis.tex); choose an empty or a new one with --data"),
        "{said}"
    );
    assert!(matches!(Folder::open(place.path()), Err(FolderError::NotOurs(_))), "it is wrong usage and no failure of the disk");
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o755);
    let file = place.path().join("thesis.tex");
    assert_eq!(refusal(&file), format!("{} is not a folder; choose another with --data", file.display()));
}

#[test]
fn an_empty_folder_that_others_can_read_is_closed_to_them() {
    let place = place();
    fs::create_dir(place.path().join("lost+found")).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    open(place.path());
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_host_that_dies_while_it_creates_a_journal_leaves_nothing_behind() {
    let whole = {
        let place = place();
        open(place.path()).store.close().unwrap();
        fs::read(place.path().join(JOURNAL)).unwrap()
    };
    for length in [0, 1, 511, 4_096, whole.len() / 2, whole.len() - 1, whole.len()] {
        let place = place();
        drop(Folder::open(place.path()).unwrap());
        fs::write(place.path().join(JOURNAL_NEW), &whole[..length]).unwrap();
        let opened = open(place.path());
        assert!(opened.created, "cut at {length}");
        append_one(&opened.store);
        assert!(!place.path().join(JOURNAL_NEW).exists());
    }
}

#[test]
fn an_unfinished_journal_beside_a_whole_one_is_not_looked_at() {
    let place = place();
    let opened = open(place.path());
    append_one(&opened.store);
    opened.store.close().unwrap();
    fs::write(place.path().join(JOURNAL_NEW), "half").unwrap();
    assert_eq!(open(place.path()).store.last_position().unwrap(), 1);
}

#[test]
fn a_journal_that_is_lost_empty_foreign_or_newer_is_never_replaced() {
    let place = place();
    let folder = Folder::open(place.path()).unwrap();
    let opened = folder.open_store(&Options::default()).unwrap();
    folder.modules().put(b"component").unwrap();
    let newer = Batch { appends: Vec::new(), rows: vec![RowChange::put(Table::Meta, FORMAT_KEY, vec![3])] };
    opened.store.commit(&[newer]).unwrap();
    opened.store.close().unwrap();
    drop((opened, folder));
    let journal = place.path().join(JOURNAL);
    assert!(refusal(place.path()).ends_with("has format [3], and this build knows [2]; run the version that wrote it"));
    fs::write(&journal, "").unwrap();
    assert!(refusal(place.path()).contains("is no journal of amends, or lost its content"));
    fs::write(&journal, "this is not a database").unwrap();
    assert!(refusal(place.path()).contains("storage failed"));
    fs::remove_file(&journal).unwrap();
    assert!(refusal(place.path()).contains("has modules but no journal.redb; restore it from a backup"));
}

#[test]
fn a_tainted_folder_is_checked_once_and_says_why() {
    let place = place();
    let folder = Folder::open(place.path()).unwrap();
    let opened = folder.open_store(&Options::default()).unwrap();
    append_one(&opened.store);
    folder.mark_tainted(&StoreError::Failed("fdatasync:\nbroken".into()));
    drop((opened, folder));
    let again = open(place.path());
    let taint = again.taint.unwrap();
    assert_eq!((taint.error.as_str(), taint.boot), ("storage failed: fdatasync: broken", lock::boot_id()));
    assert!(taint.journal_bytes > 0);
    assert_eq!(again.store.last_position().unwrap(), 1);
    drop(again.store);
    assert_eq!(open(place.path()).taint, None);
}

#[test]
fn a_tainted_folder_with_a_damaged_page_is_refused() {
    let place = place();
    let folder = Folder::open(place.path()).unwrap();
    let opened = folder.open_store(&Options::default()).unwrap();
    (0..50).for_each(|_| append_one(&opened.store));
    opened.store.close().unwrap();
    folder.mark_tainted(&StoreError::Failed("fdatasync".into()));
    drop((opened, folder));
    let journal = place.path().join(JOURNAL);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[4_096..].iter_mut().for_each(|byte| *byte ^= 0x40);
    fs::write(&journal, bytes).unwrap();
    assert!(refusal(place.path()).contains("storage failed"));
    // The word stays until a start has found everything whole.
    assert!(Taint::read(place.path()).is_some());
}

#[test]
fn components_are_found_by_what_they_contain() {
    let place = place();
    let modules = Folder::open(place.path()).unwrap().modules();
    let digest = modules.put(b"component").unwrap();
    assert_eq!(modules.put(b"component").unwrap(), digest);
    assert_eq!(modules.get(&digest).unwrap().unwrap(), b"component");
    assert_eq!(modules.get(&[0; 32]).unwrap(), None);
    assert_eq!(modules.digests().unwrap(), [digest]);
    modules.remove(&digest).unwrap();
    modules.remove(&digest).unwrap();
    assert_eq!(modules.get(&digest).unwrap(), None);
}

#[test]
fn a_damaged_component_is_never_run_and_is_healed_by_deploying_it_again() {
    let place = place();
    let modules = Folder::open(place.path()).unwrap().modules();
    let digest = modules.put(b"component").unwrap();
    let path = place.path().join("modules").join(hex::encode(digest) + ".wasm");
    fs::write(&path, b"c0mponent").unwrap();
    assert!(matches!(modules.get(&digest), Err(ModuleError::Corrupt(_))));
    modules.put(b"component").unwrap();
    assert_eq!(modules.get(&digest).unwrap().unwrap(), b"component");
}

#[test]
fn a_component_that_was_half_written_is_forgotten() {
    let place = place();
    drop(Folder::open(place.path()).unwrap());
    let half = place.path().join("modules").join(format!("{}.new", "0".repeat(64)));
    fs::write(&half, b"comp").unwrap();
    assert_eq!(Folder::open(place.path()).unwrap().modules().digests().unwrap(), <[[u8; 32]; 0]>::default());
    assert!(!half.exists());
}

#[test]
fn a_disk_that_says_no_is_explained() {
    let said = |kind| trouble(Path::new("/data"), &io::Error::from(kind)).to_string();
    let words =
        [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied, io::ErrorKind::TimedOut];
    expect_test::expect![[r#"
        /data is on a read-only disk; make it writable, or choose another folder with --data
        /data is on a full disk; free some space, or choose another folder with --data
        /data may not be used by this user; change its owner, or choose another folder with --data
        /data cannot be used: timed out"#]]
    .assert_eq(&words.map(said).join("\n"));
}

#[test]
fn space_is_low_under_a_twentieth_or_half_a_gibibyte() {
    let low = |free_bytes, total_bytes| Space { free_bytes, total_bytes }.is_low(512 << 20, 5);
    let gibibyte = 1 << 30;
    assert!(low(511 << 20, gibibyte) && !low(512 << 20, gibibyte));
    assert!(low(4 * gibibyte, 100 * gibibyte) && !low(5 * gibibyte, 100 * gibibyte));
    let place = place();
    let space = Folder::open(place.path()).unwrap().space().unwrap();
    assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
}
