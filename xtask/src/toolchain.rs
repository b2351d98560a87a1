//! Finds a Rust toolchain that builds WebAssembly guests, or makes one; knows nothing of which guests.

mod component;
mod debian;
mod rustup;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

pub(crate) use component::cargo_component;

/// What guests are built for: the first by cargo-component with its adapter, the second by plain cargo.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

/// A toolchain that has the standard library of both targets.
pub(crate) enum Toolchain {
    /// The `cargo` and `rustc` that everything else is built with.
    Active,
    /// Debian's, with a sysroot of our own.
    Debian(debian::Sysroot),
}

impl Toolchain {
    /// A command in `folder` that sees this toolchain as the machine's only one.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = process::command(program, folder);
        if let Self::Debian(sysroot) = self {
            sysroot.enter(&mut command);
        }
        command
    }

    /// Its `cargo`, in `folder`.
    pub(crate) fn cargo(&self, folder: &Path) -> Command {
        match self {
            Self::Active => process::cargo(folder),
            Self::Debian(sysroot) => self.command(&sysroot.cargo(), folder),
        }
    }
}

/// The first that works: what is active, what an earlier set-up made, what rustup can fetch, what Debian has.
/// Two callers at once wait for each other; `stale` is removed when a new standard library replaces another,
/// because cargo would not notice.
pub(crate) fn ready(tools: &Path, stale: &Path) -> Result<Toolchain> {
    if rustup::has_targets()? {
        return Ok(Toolchain::Active);
    }
    let _one_at_a_time = lock(tools)?;
    if let Some(sysroot) = debian::Sysroot::made(tools)? {
        return Ok(Toolchain::Debian(sysroot));
    }
    if rustup::add_targets()? && rustup::has_targets()? {
        return Ok(Toolchain::Active);
    }
    let sysroot = debian::Sysroot::make(tools)?;
    if stale.exists() {
        fs::remove_dir_all(stale).with_context(|| format!("cannot remove {}", stale.display()))?;
    }
    Ok(Toolchain::Debian(sysroot))
}

/// Held until dropped; the file stays, empty.
fn lock(tools: &Path) -> Result<File> {
    let path = tools.join("LOCK");
    fs::create_dir_all(tools)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", path.display()))
}
