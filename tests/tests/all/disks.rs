//! Disks that are read-only, nearly full or full. Every run has the cases that need no privileges; the tests with a mounted
//! read-only disk and a mounted full disk run only if this user may mount one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use expect_test::expect;
use rustix::process::geteuid;
use serde_json::json;
use tempfile::TempDir;
use ureq::http::Method;

use crate::harness::{
    folder::{DataFolder, in_memory},
    guests::Way,
    host::{Host, Options, refuses_to_start},
};

/// A disk in memory; it goes when this is dropped, with everything on it.
struct Disk(TempDir);

impl Disk {
    /// None, with the reason printed, where this user may not mount one.
    fn mount(size: &str) -> Option<Self> {
        let disk = Self(in_memory());
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(disk.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(disk),
            Ok(output) => skip(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => skip(&error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let remounted = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).status();
        assert!(remounted.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A disk that was never mounted cannot be unmounted.
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
    }
}

fn skip(why: &str) -> Option<Disk> {
    eprintln!("skipped: no disk can be mounted here: {}", why.trim());
    None
}

#[test]
fn a_data_folder_that_may_not_be_written_is_exit_74() {
    let folder = DataFolder::with_modules(Way::Plain);
    let permit = |folder: &Path, file_mode: u32| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        files.for_each(|file| fs::set_permissions(file, fs::Permissions::from_mode(file_mode)).unwrap());
    };
    permit(folder.path(), 0o400);
    // Permissions do not bind root, unless it gives that up.
    let bound = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"];
    let options = if geteuid().is_root() { Options::default().under(&bound) } else { Options::default() };
    let not_ready = refuses_to_start(folder.path(), &options);
    assert_eq!(not_ready.code, Some(74), "{}", not_ready.stderr);
    let found = not_ready.stderr.lines().last().unwrap().replace(folder.path().to_str().unwrap(), "DATA");
    expect!["amends: DATA may not be used by this user; change its owner, or choose another folder with --data"]
        .assert_eq(&found);
    permit(folder.path(), 0o600);
    let host = Host::start(folder, options);
    assert_eq!(host.api().run("order", "O1", &json!({}))["status"], "completed");
}

#[test]
fn a_read_only_disk_is_exit_74() {
    let Some(disk) = Disk::mount("64m") else { return };
    let folder = DataFolder::with_modules_on(disk.path());
    disk.remount("ro");
    let not_ready = refuses_to_start(folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(74));
    let found = not_ready.stderr.lines().last().unwrap().replace(disk.path().to_str().unwrap(), "DISK");
    expect!["amends: DISK/data is on a read-only disk; make it writable, or choose another folder with --data"].assert_eq(&found);
    disk.remount("rw");
    let host = Host::start(folder, Options::default().with("AMENDS_STORE_FREE_MIN", "0B"));
    assert_eq!(host.api().run("order", "O1", &json!({}))["status"], "completed");
}

/// Every disk is nearly full to a host that wants more left than there is.
#[test]
fn a_nearly_full_disk_takes_no_new_sagas_and_ends_those_that_run() {
    let roomy = Options::default().with("AMENDS_STORE_FREE_MIN", "0B").with("AMENDS_STORE_FREE_MIN_PERCENT", "0");
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), roomy);
    host.api().start("approval", "R1", &json!({})).expect(201);
    host.restart_with(Options::default().with("AMENDS_STORE_FREE_MIN", "1000000GiB"));
    let found = host.api().start("approval", "R2", &json!({})).error();
    expect![[r#"
        507 low_space: the disk is nearly full: no new sagas, events and modules are taken
          hint: make room on the disk of the data folder
    "#]]
    .assert_eq(&found);
    assert_eq!(host.api().get("/v1/sagas/R2").code(), "404 saga_not_found");
    host.api().post("/v1/sagas/R1/signals/approval", &json!({"approved": true})).expect(202);
    let ended = host.api().until_type("R1", "completed");
    assert_eq!(ended["actor"], "host");
}

/// Without the margin that a host leaves free by itself.
fn to_the_last_byte() -> Options {
    Options::default().with("AMENDS_STORE_FREE_MIN", "0B").with("AMENDS_STORE_FREE_MIN_PERCENT", "0")
}

/// Starts sagas until the host stops for want of room, gives it room, and looks for what it had acknowledged.
#[track_caller]
fn assert_nothing_is_lost(mut host: Host, give_room: impl FnOnce(&mut Host)) {
    let input = json!({"note": "x".repeat(300_000)}).to_string();
    let start = |host: &Host, number: usize| {
        let path = format!("/v1/definitions/order/sagas?id=O{number}&wait=100s");
        host.api().try_send(Method::POST, &path, None, input.as_bytes())
    };
    let acknowledged = (0..1_000).find(|number| !matches!(start(&host, *number), Ok(answer) if answer.status == 201)).unwrap();
    assert!(acknowledged > 0);
    assert_eq!(host.ended().code(), Some(74), "{}", host.log());
    assert!(host.log().contains("the storage failed: nothing is acknowledged any more"), "{}", host.log());
    give_room(&mut host);
    for number in 0..acknowledged {
        assert_eq!(host.api().saga(&format!("O{number}"))["status"], "completed");
    }
    // What was not acknowledged is taken now, or was.
    assert!(matches!(start(&host, acknowledged).unwrap().status, 200 | 201));
}

#[test]
fn a_full_disk_stops_the_host_and_loses_nothing_that_it_acknowledged() {
    let Some(disk) = Disk::mount("24m") else { return };
    let host = Host::start(DataFolder::with_modules_on(disk.path()), to_the_last_byte());
    assert_nothing_is_lost(host, |host| {
        disk.remount("size=256m");
        host.restart();
    });
}

/// The kernel refuses what would make a file larger than 20 MiB. This needs no disk, and is the same to the host.
#[test]
fn a_full_data_folder_stops_the_host_and_loses_nothing_that_it_acknowledged() {
    let full = ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=20971520 \"$0\" \"$@\""];
    let host = Host::start(DataFolder::with_modules(Way::Plain), to_the_last_byte().under(&full));
    assert_nothing_is_lost(host, |host| drop(host.restart_with(Options::default()).clone()));
}
