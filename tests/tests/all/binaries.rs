//! The user's binary differs from the binary under test: it has no failpoints, and its clock cannot be moved.

use std::{env, path::PathBuf};

use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    guests::{Way, guest, repository},
    host::{BINARY, Host, Options},
};

/// Built without the feature `testing`, and kept apart from what the tests build. `AMENDS_USER_BINARY` names another.
fn user_binary() -> PathBuf {
    let path = env::var_os("AMENDS_USER_BINARY").map_or_else(|| repository().join("target/user/amends"), PathBuf::from);
    assert!(path.is_file(), "{} is missing; `cargo xtask test` builds it", path.display());
    path
}

#[test]
fn the_users_binary_has_no_failpoints() {
    let options = Options { binary: user_binary(), clock_ms: 3_600_000, ..Options::default() }.dies_at("accepted:1");
    let mut host = Host::start(DataFolder::empty(), options);
    host.api().put("/v1/modules/order", &guest(Way::Plain, "order")).expect(201);
    let saga = host.api().run("order", "O1", &json!({}));
    assert_eq!(saga["status"], "completed");
    // It reads the machine's clock, an hour before that of a steered host.
    let options = Options { binary: BINARY.into(), ..host.options() };
    let before = saga["as_of"].as_str().unwrap().to_owned();
    host.restart_with(Options { environment: Vec::new(), ..options });
    let after = host.api().saga("O1")["as_of"].as_str().unwrap().to_owned();
    assert_ne!(before[..13], after[..13], "{before} and {after}");
}

#[test]
fn what_its_failpoints_and_clock_are_named_by_is_not_in_it() {
    let contains = |path: &PathBuf, name: &str| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(name.len()).any(|window| window == name.as_bytes())
    };
    for name in ["AMENDS_FAILPOINT", "AMENDS_CLOCK"] {
        assert!(contains(&BINARY.into(), name), "the search for {name} finds nothing anywhere");
        assert!(!contains(&user_binary(), name), "{name}");
    }
}
