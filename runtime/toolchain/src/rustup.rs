//! The active toolchain: whether it has the targets, and the attempt to add them.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{Need, command, has_standard_library, read};

/// Two archives of 25 MB come within it on any usable line; a network that swallows packets costs no more.
const ADD_SECONDS_MAX: u64 = 60;

/// Whether the `rustc` on PATH has the standard library of every target.
pub(crate) fn has_targets(need: &Need<'_>) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = read(command(rustc, need.folder).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(printed.trim());
    Ok(need.targets.iter().all(|target| has_standard_library(&sysroot, target)))
}

/// Tries `rustup target add`; `false` when there is no rustup, or it fails or takes too long.
pub(crate) fn add_targets(need: &Need<'_>) -> bool {
    (need.say)(&format!("rustup target add {} (guests need it; at most {ADD_SECONDS_MAX} s)", need.targets.join(" ")));
    let mut add = command("rustup", need.folder);
    // It fails in the ordinary way where it cannot fetch: no backtrace then.
    add.args(["target", "add"]).args(need.targets).env("RUST_BACKTRACE", "0");
    let added = ends_well_within(&mut add, Duration::from_secs(ADD_SECONDS_MAX));
    if !added {
        (need.say)("rustup cannot add it here");
    }
    added
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

    #[test]
    fn a_command_that_hangs_is_given_up() {
        assert!(ends_well_within(&mut Command::new("true"), Duration::from_secs(60)));
        assert!(!ends_well_within(Command::new("sleep").arg("60"), Duration::from_millis(1)));
        assert!(!ends_well_within(&mut Command::new("/no/such/rustup"), Duration::from_secs(60)));
    }
}
