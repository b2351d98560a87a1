//! The active toolchain: whether it has the guests' targets, and the attempt to add them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::TARGETS;
use crate::process::{self, say};

/// Two archives of 25 MB come within it on any usable line; a network that swallows packets costs no more.
const ADD_SECONDS_MAX: u64 = 60;

/// Whether the `rustc` on PATH has the standard library of every target.
pub(super) fn has_targets() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = process::read(process::command(rustc, Path::new(".")).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(printed.trim());
    Ok(TARGETS.iter().all(|target| has_standard_library(&sysroot, target)))
}

/// Tries `rustup target add`; `false` when there is no rustup, or it fails or takes too long.
pub(super) fn add_targets() -> Result<bool> {
    say(&format!("rustup target add {} (guests need them; at most {ADD_SECONDS_MAX} s)", TARGETS.join(" ")));
    let mut add = process::command("rustup", Path::new("."));
    // It fails in the ordinary way where it cannot fetch: no backtrace then.
    add.args(["target", "add"]).args(TARGETS).env("RUST_BACKTRACE", "0");
    let added = ends_well_within(&mut add, Duration::from_secs(ADD_SECONDS_MAX));
    if !added {
        say("rustup cannot add them here");
    }
    Ok(added)
}

fn has_standard_library(sysroot: &Path, target: &str) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(target).join("lib");
    let Ok(entries) = libraries.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn ends_well_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(100)),
            Err(_) => break,
        }
    }
    // Too late or unknown: either way it is not waited for, and what it has begun it undoes at its next run.
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_empty_target_folder_is_no_target() {
        let sysroot = tempfile::tempdir().unwrap();
        let libraries = sysroot.path().join("lib/rustlib/wasm32-wasip2/lib");
        fs::create_dir_all(&libraries).unwrap();
        assert!(!has_standard_library(sysroot.path(), "wasm32-wasip2"));
        fs::write(libraries.join("libstd-0123.rlib"), "").unwrap();
        assert!(has_standard_library(sysroot.path(), "wasm32-wasip2"));
    }

    #[test]
    fn a_command_that_hangs_is_given_up() {
        assert!(ends_well_within(&mut Command::new("true"), Duration::from_secs(60)));
        assert!(!ends_well_within(Command::new("sleep").arg("60"), Duration::from_millis(1)));
        assert!(!ends_well_within(&mut Command::new("/no/such/rustup"), Duration::from_secs(60)));
    }
}
