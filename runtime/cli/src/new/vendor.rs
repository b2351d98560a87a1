//! The SDK and its contract, as this binary was built with them: a new module depends on nothing that is not there.

use super::project::File;

/// Files of the repository under the path that they get in a new module.
macro_rules! files {
    ($($from:literal => $to:literal),* $(,)?) => {
        &[$(File { path: $to, text: include_str!(concat!("../../../../", $from)) }),*]
    };
}

macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        &[$(File { path: concat!("vendor/amends-sdk/", $path), text: include_str!(concat!("../../../../guest-sdk/", $path)) }),*]
    };
}

/// The SDK; its own tests stay at home.
pub(super) const SDK: &[File] = sdk![
    "Cargo.toml",
    "derive/Cargo.toml",
    "derive/src/attributes.rs",
    "derive/src/command.rs",
    "derive/src/event.rs",
    "derive/src/lib.rs",
    "derive/src/name.rs",
    "derive/src/released.rs",
    "src/aggregate.rs",
    "src/aggregate/command.rs",
    "src/aggregate/decision.rs",
    "src/aggregate/names.rs",
    "src/aggregate/untyped.rs",
    "src/aggregate/variant.rs",
    "src/bindings.rs",
    "src/call.rs",
    "src/collected.rs",
    "src/config.rs",
    "src/context.rs",
    "src/export.rs",
    "src/host.rs",
    "src/host/folding.rs",
    "src/host/libc.rs",
    "src/host/native.rs",
    "src/host/wasm.rs",
    "src/http.rs",
    "src/http/url.rs",
    "src/http/wasi.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/messages.rs",
    "src/module.rs",
    "src/moment.rs",
    "src/payload.rs",
    "src/policy.rs",
    "src/policy/answer.rs",
    "src/policy/keeping.rs",
    "src/policy/memory.rs",
    "src/policy/names.rs",
    "src/policy/reaction.rs",
    "src/policy/timer.rs",
    "src/policy/untyped.rs",
    "src/projection.rs",
    "src/projection/documents.rs",
    "src/projection/key.rs",
    "src/projection/query.rs",
    "src/projection/reading.rs",
    "src/projection/rows.rs",
    "src/projection/untyped.rs",
    "src/recorded.rs",
    "src/retry.rs",
    "src/rollback.rs",
    "src/saga.rs",
    "src/saga/definition.rs",
    "src/saga/stage.rs",
    "src/secrets.rs",
    "src/step.rs",
    "src/step/child.rs",
    "src/step/command.rs",
    "src/step/each.rs",
    "src/step/erased.rs",
    "src/step/kind.rs",
    "src/stop.rs",
    "src/testing.rs",
    "src/testing/aggregates.rs",
    "src/testing/branch.rs",
    "src/testing/choreography.rs",
    "src/testing/course.rs",
    "src/testing/fan.rs",
    "src/testing/history.rs",
    "src/testing/history/stream.rs",
    "src/testing/journal.rs",
    "src/testing/journal/rows.rs",
    "src/testing/leg.rs",
    "src/testing/leg/call.rs",
    "src/testing/leg/command.rs",
    "src/testing/leg/messages.rs",
    "src/testing/leg/undo.rs",
    "src/testing/machine.rs",
    "src/testing/names.rs",
    "src/testing/plain.rs",
    "src/testing/pointer.rs",
    "src/testing/pure.rs",
    "src/testing/reactions.rs",
    "src/testing/reactions/instances.rs",
    "src/testing/reactions/limits.rs",
    "src/testing/reactions/lines.rs",
    "src/testing/rules.rs",
    "src/testing/rules/aggregates.rs",
    "src/testing/rules/commands.rs",
    "src/testing/rules/composition.rs",
    "src/testing/rules/kinds.rs",
    "src/testing/rules/policies.rs",
    "src/testing/rules/projections.rs",
    "src/testing/rules/step.rs",
    "src/testing/rules/triggers.rs",
    "src/testing/task.rs",
    "src/testing/trace.rs",
    "src/testing/tries.rs",
    "src/testing/world.rs",
];

/// What goes with it: the contract at the place where the SDK looks for it, its licences, and how its lines are broken, so that
/// `cargo fmt --all` leaves it alone.
pub(super) const BESIDE: &[File] = files![
    "wit/amends.wit" => "vendor/wit/amends.wit",
    "LICENSE-APACHE" => "vendor/amends-sdk/LICENSE-APACHE",
    "LICENSE-MIT" => "vendor/amends-sdk/LICENSE-MIT",
    "rustfmt.toml" => "vendor/amends-sdk/rustfmt.toml",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every file under a folder of the repository, as `guest-sdk/src/lib.rs`.
    fn files_under(folder: &str) -> BTreeSet<String> {
        let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let (files, folders): (Vec<_>, Vec<_>) = fs::read_dir(repository.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (format!("{folder}/{}", entry.file_name().to_str().unwrap()), entry.file_type().unwrap()))
            .partition(|(_, kind)| kind.is_file());
        let below = folders.into_iter().flat_map(|(folder, _)| files_under(&folder));
        files.into_iter().map(|(file, _)| file).chain(below).collect()
    }

    #[test]
    fn no_file_of_the_sdk_is_forgotten() {
        let there = files_under("guest-sdk").into_iter().filter(|file| !file.starts_with("guest-sdk/tests/"));
        let there: BTreeSet<String> = there.map(|file| file.replacen("guest-sdk", "vendor/amends-sdk", 1)).collect();
        let here: BTreeSet<String> = SDK.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(here, there, "list in runtime/cli/src/new/vendor.rs what guest-sdk/ has");
    }

    #[test]
    fn no_file_of_the_contract_is_forgotten() {
        let there: BTreeSet<String> = files_under("wit").into_iter().map(|file| format!("vendor/{file}")).collect();
        let here = BESIDE.iter().map(|file| file.path.to_owned()).filter(|path| path.starts_with("vendor/wit/"));
        assert_eq!(here.collect::<BTreeSet<_>>(), there, "list in runtime/cli/src/new/vendor.rs what wit/ has");
    }
}
