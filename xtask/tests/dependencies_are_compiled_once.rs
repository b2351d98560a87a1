//! The user's binary, the tests and the documentation agree on the features of every dependency.
//!
//! Where they do not, wasmtime and all that stands on it is compiled again: minutes, in each run of CI.
//! Cargo's unit graph, which no stable option prints, says what would be compiled; nothing is.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the graph has failed")]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What cargo would compile: the identity of each unit, its dependencies included, and how to name it.
fn units(arguments: &str) -> HashMap<u64, String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(arguments.split_whitespace())
        .args(["--unit-graph", "-Zunstable-options"])
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    let graph = graph["units"].as_array().unwrap();
    let mut identities = HashMap::new();
    (0..graph.len())
        .filter(|at| !is_ours(&graph[*at]))
        .map(|at| (identity(graph, at, &mut identities), name(&graph[at])))
        .collect()
}

fn is_ours(unit: &Value) -> bool {
    unit["pkg_id"].as_str().is_some_and(|id| id.starts_with("path+"))
}

fn identity(graph: &[Value], at: usize, known: &mut HashMap<usize, u64>) -> u64 {
    if let Some(identity) = known.get(&at) {
        return *identity;
    }
    let unit = &graph[at];
    let dependencies = unit["dependencies"].as_array().unwrap().iter();
    let mut dependencies: Vec<_> =
        dependencies.map(|on| identity(graph, on["index"].as_u64().unwrap() as usize, known)).collect();
    dependencies.sort_unstable();
    let mut hasher = DefaultHasher::new();
    dependencies.hash(&mut hasher);
    for part in ["pkg_id", "target", "mode", "features", "platform"] {
        unit[part].to_string().hash(&mut hasher);
    }
    unit["profile"]["opt_level"].to_string().hash(&mut hasher);
    known.insert(at, hasher.finish());
    hasher.finish()
}

fn name(unit: &Value) -> String {
    let package = unit["pkg_id"].as_str().unwrap().rsplit('#').next().unwrap();
    format!("{package} {} {}", unit["mode"], unit["features"])
}

fn assert_compiles_nothing_more(step: &str, than: &str) {
    let known = units(than);
    let mut more: Vec<_> =
        units(step).into_iter().filter(|(identity, _)| !known.contains_key(identity)).map(|(_, name)| name).collect();
    more.sort();
    assert!(
        more.is_empty(),
        "`cargo {step}` compiles dependencies that `cargo {than}` has with other features; \
         state the features that are missing in runtime/Cargo.toml:\n{}",
        more.join("\n")
    );
}

#[test]
fn the_users_binary_and_the_tests_share_every_dependency() {
    assert_compiles_nothing_more("build --package amends", "test --workspace --all-targets");
}

#[test]
fn clippy_and_the_documentation_share_every_dependency() {
    let clippy = "check --workspace --all-targets";
    assert_compiles_nothing_more("check --package amends", clippy);
    assert_compiles_nothing_more("doc --workspace --no-deps", clippy);
}

#[test]
fn the_demo_and_the_tests_share_every_dependency() {
    assert_compiles_nothing_more("build --package amends --package example-participants", "test --workspace --all-targets");
}
