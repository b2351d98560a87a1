//! `cargo-component`, with which existing component projects are built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{self, say};

/// The version that the guests are tested with.
const VERSION: &str = "0.21.1";

/// Its path under `tools`; installs it first if it is missing.
pub(crate) fn cargo_component(tools: &Path) -> Result<PathBuf> {
    let program = tools.join("bin/cargo-component");
    if is_current(&program) {
        return Ok(program);
    }
    let _one_at_a_time = amends_toolchain::lock(tools)?;
    if is_current(&program) {
        return Ok(program);
    }
    say(&format!("installing cargo-component {VERSION} into {} (once, 3 to 8 minutes)", tools.display()));
    let build = tools.join("cargo-component-build");
    let mut install = process::cargo(tools);
    install
        .args(["install", "--locked", "--force", "--debug", "--root"])
        .arg(tools)
        .arg(format!("cargo-component@{VERSION}"))
        .env("CARGO_TARGET_DIR", &build)
        // Compiled to run a few times: neither optimised nor debugged.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    process::run(&mut install)?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    Ok(program)
}

fn is_current(program: &Path) -> bool {
    let Some(folder) = program.parent().filter(|_| program.exists()) else {
        return false;
    };
    let printed = process::read(process::command(program, folder).arg("--version"));
    printed.is_ok_and(|version| version.trim().ends_with(VERSION))
}
