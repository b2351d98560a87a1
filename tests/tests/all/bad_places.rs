//! Hosts that are down, and hosts that cannot start: the error has the reason, and the exit code is the one for it.

use std::{fs, panic};

use expect_test::expect;
use rustix::system::uname;
use serde_json::json;

use crate::harness::{
    folder::{DataFolder, in_memory},
    guests::{Way, guest, guest_path},
    host::{Host, NotReady, Options, cli, refuses_to_start},
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

#[test]
fn a_host_that_is_down_is_named() {
    let mut host = host();
    let url = host.ready.url.clone();
    host.kill();
    let output = cli(&[("AMENDS_HOST", &url)], &["list"]);
    assert_eq!(output.code, 7);
    let found = output.stderr.replace(&url, "URL");
    expect![[r#"
        amends: no host answers at URL (connection refused); start one with `amends serve`, or name another with --host
    "#]]
    .assert_eq(&found);
    let output = cli(&[], &["--host", "ftp://nowhere", "list"]);
    assert_eq!(output.code, 2);
    expect![[r#"
        amends: bad host address `ftp://nowhere`; write it as http://127.0.0.1:8420
    "#]]
    .assert_eq(&output.stderr);
}

/// What a host that does not start says, without the moment at which it says it.
fn last_words(not_ready: &NotReady, places: &[(&str, &str)]) -> String {
    let words = not_ready.stderr.lines().last().unwrap_or_default();
    places.iter().fold(words.to_owned(), |words, (place, name)| words.replace(place, name)) + "\n"
}

#[test]
fn a_port_in_use_is_exit_76() {
    let host = host();
    let address = host.ready.url.trim_start_matches("http://").to_owned();
    let folder = DataFolder::empty();
    let not_ready = refuses_to_start(folder.path(), &Options::default().with("AMENDS_LISTEN", &address));
    assert_eq!(not_ready.code, Some(76));
    expect![[r#"
        amends: cannot listen on ADDRESS: another process does; choose another address with --listen, or 127.0.0.1:0 for a free one
    "#]]
    .assert_eq(&last_words(&not_ready, &[(&address, "ADDRESS")]));
    assert!(!folder.path().exists(), "nothing is half done");
}

#[test]
fn a_data_folder_in_use_is_exit_75_and_its_host_goes_on() {
    let host = host();
    let not_ready = refuses_to_start(host.folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(75));
    let (path, pid) = (host.folder.path().to_str().unwrap(), format!("process {}", host.pid()));
    let machine = format!(" on {};", uname().nodename().to_str().unwrap());
    expect![[r#"
        amends: data folder DATA is in use by process PID on MACHINE; stop it, or choose another folder with --data
    "#]]
    .assert_eq(&last_words(&not_ready, &[(path, "DATA"), (&pid, "process PID"), (&machine, " on MACHINE;")]));
    assert_eq!(host.api().run("order", "O1", &json!({}))["status"], "completed");
}

#[test]
fn a_data_folder_that_is_none_is_wrong_usage() {
    let folder = in_memory();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let path = folder.path().to_str().unwrap();
    let below = refuses_to_start(&file.join("data"), &Options::default());
    let itself = refuses_to_start(&file, &Options::default());
    assert_eq!((below.code, itself.code), (Some(2), Some(2)));
    let found = last_words(&below, &[(path, "DIR")]) + &last_words(&itself, &[(path, "DIR")]);
    expect![[r#"
        amends: DIR/file/data is below a file; choose another folder with --data
        amends: DIR/file is not a folder; choose another with --data
    "#]]
    .assert_eq(&found);
    assert_eq!(fs::read_to_string(file).unwrap(), "no folder");
}

#[test]
fn a_journal_that_is_none_is_exit_74() {
    let folder = DataFolder::empty();
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.path().join("journal.redb"), "what is this").unwrap();
    let not_ready = refuses_to_start(folder.path(), &Options::default());
    assert_eq!(not_ready.code, Some(74));
    expect![[r#"
        amends: DATA/journal.redb: storage failed: I/O error: Not a redb database: magic number mismatch; mend the disk or restore it from a backup, or choose another folder with --data
    "#]].assert_eq(&last_words(&not_ready, &[(folder.path().to_str().unwrap(), "DATA")]));
}

#[test]
fn a_bad_setting_is_wrong_usage_and_names_the_nearest() {
    let folder = DataFolder::empty();
    let start = |name: &str, value: &str| {
        let not_ready = refuses_to_start(folder.path(), &Options::default().with(name, value));
        assert_eq!(not_ready.code, Some(2), "{}", not_ready.stderr);
        last_words(&not_ready, &[])
    };
    let found = [
        start("AMENDS_LISTEN", "0.0.0.0:0"),
        start("AMENDS_LISTEN", "here"),
        start("AMENDS_GUEST_MEMROY", "1GiB"),
        start("AMENDS_GUEST_CPU", "fast"),
        start("AMENDS_CONFIG", "/no/such/amends.toml"),
    ]
    .concat();
    expect![[r#"
        amends: will not listen on 0.0.0.0:0: others could reach it, and there is no login yet; use 127.0.0.1:0
        amends: bad address `here`; write it as 127.0.0.1:8420
        amends: bad environment: AMENDS_GUEST_MEMROY names unknown key `memroy` of [guest]; did you mean `memory`?
        amends: bad configuration: "fast" is no duration; write it as 30s
        amends: cannot read configuration /no/such/amends.toml: No such file or directory (os error 2)
    "#]]
    .assert_eq(&found);
    assert!(!folder.path().exists());
}

/// Paths are those of the example modules as they were built.
#[test]
fn what_is_not_built_says_how_to_build_it() {
    let missing = guest_path(Way::Plain, "no-such-module");
    let output = panic::catch_unwind(|| guest(Way::Plain, "no-such-module")).unwrap_err();
    let output = output.downcast_ref::<String>().unwrap();
    assert!(output.starts_with(missing.to_str().unwrap()) && output.ends_with("run `cargo xtask guests`"), "{output}");
}
