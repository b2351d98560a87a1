//! What the examples import. Each attempt is a new instance, and the host sets up every import again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    harness::{
        guests::{Way, guest_path},
        host::cli,
    },
    lints::EXAMPLES,
};

/// What `std` writes a panic's message with.
const CONSOLE: [&str; 4] = ["wasi:io/error", "wasi:io/streams", "wasi:cli/stdout", "wasi:cli/stderr"];

const HTTP: [&str; 4] = ["wasi:io/poll", "wasi:clocks/monotonic-clock", "wasi:http/types", "wasi:http/outgoing-handler"];

/// Each imported up to nine more that it never called: files, terminals, environment. `guest-sdk/src/host/libc.rs` keeps
/// them out; they come back if `std` calls another function of libc.
#[test]
fn an_example_imports_only_what_it_uses_of_wasi() {
    for way in [Way::Plain, Way::Component] {
        for example in EXAMPLES {
            let checked = cli(&[], &["check", guest_path(way, example).to_str().unwrap(), "--json"]);
            assert_eq!(checked.code, 0, "{example}: {}", checked.stderr);
            let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
            let imports = checked["imports"].as_array().unwrap().iter().map(|import| import.as_str().unwrap());
            let interfaces = imports.map(|import| import.split('@').next().unwrap());
            let wasi: BTreeSet<&str> = interfaces.filter(|interface| interface.starts_with("wasi:")).collect();
            let mut expected = BTreeSet::from(CONSOLE);
            if wasi.contains("wasi:http/outgoing-handler") {
                expected.extend(HTTP);
            }
            assert_eq!(wasi, expected, "{example}, {way:?}");
        }
    }
}
