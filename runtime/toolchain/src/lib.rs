//! Finds a Rust toolchain that builds WebAssembly guests, or makes one; knows nothing of which guests.
//!
//! `amends build` and the repository's own tasks share it, so that both work on the same machines.

mod debian;
mod rustup;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// What a toolchain is needed for.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Where cargo will run; it decides which toolchain is active.
    pub folder: &'a Path,
    /// What guests are built for, as `wasm32-wasip2`.
    pub targets: &'a [&'a str],
    /// Where a toolchain is kept if one must be made.
    pub tools: &'a Path,
    /// Removed when a new standard library replaces another, because cargo would not notice.
    pub stale: Option<&'a Path>,
    /// Tells the person who waits what happens.
    pub say: fn(&str),
}

/// A toolchain that has the standard library of every target.
#[derive(Debug)]
pub enum Toolchain {
    /// The `cargo` and `rustc` that everything else is built with.
    Active,
    /// Debian's, with a sysroot of our own.
    Debian(debian::Sysroot),
}

impl Toolchain {
    /// Its `cargo`.
    pub fn cargo(&self) -> OsString {
        match self {
            Self::Active => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            Self::Debian(sysroot) => sysroot.cargo().into(),
        }
    }

    /// Lets `command` see this toolchain as the machine's only one.
    pub fn enter(&self, command: &mut Command) {
        match self {
            Self::Active => {}
            Self::Debian(sysroot) => sysroot.enter(command),
        }
    }
}

/// The first that works: what is active, what an earlier set-up made, what rustup can fetch, what Debian has.
/// Two callers at once wait for each other.
pub fn ready(need: &Need<'_>) -> Result<Toolchain> {
    if rustup::has_targets(need)? {
        return Ok(Toolchain::Active);
    }
    let _one_at_a_time = lock(need.tools)?;
    if let Some(sysroot) = debian::Sysroot::made(need)? {
        return Ok(Toolchain::Debian(sysroot));
    }
    if rustup::add_targets(need) && rustup::has_targets(need)? {
        return Ok(Toolchain::Active);
    }
    let sysroot = debian::Sysroot::make(need)?;
    if let Some(stale) = need.stale.filter(|stale| stale.exists()) {
        fs::remove_dir_all(stale).with_context(|| format!("cannot remove {}", stale.display()))?;
    }
    Ok(Toolchain::Debian(sysroot))
}

/// Held until dropped; the file stays, empty.
pub fn lock(tools: &Path) -> Result<File> {
    let path = tools.join("LOCK");
    fs::create_dir_all(tools)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// A sysroot has the standard library of a target.
fn has_standard_library(sysroot: &Path, target: &str) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(target).join("lib");
    let Ok(entries) = libraries.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// A command in `folder`.
fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

/// Runs it with this terminal.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    checked(command, status)
}

/// Runs it and returns its stdout.
fn read(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    checked(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn checked(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let shown = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`; is it installed?", command.get_program().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_target_folder_is_no_target() {
        let sysroot = tempfile::tempdir().unwrap();
        let libraries = sysroot.path().join("lib/rustlib/wasm32-wasip2/lib");
        fs::create_dir_all(&libraries).unwrap();
        assert!(!has_standard_library(sysroot.path(), "wasm32-wasip2"));
        fs::write(libraries.join("libstd-0123.rlib"), "").unwrap();
        assert!(has_standard_library(sysroot.path(), "wasm32-wasip2"));
    }
}
