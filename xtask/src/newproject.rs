//! What a user does first: makes a module with the binary alone, tests it, and builds it as a component.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// One with a hyphen, which the name of its file has not.
const NAME: &str = "tea-shop";

/// Makes a module, and holds it to what its author would expect; its tests count.
pub(crate) fn test(workspace: &Workspace, tally: &mut Tally, screen: &mut dyn Write) -> Result<()> {
    let folder = workspace.target().join("newproject").join(NAME);
    remove(&folder)?;
    process::run(command(workspace, workspace.root(), &workspace.user_binary()).args(["new", NAME, "--dir"]).arg(&folder))?;
    // The versions that everything else was built with: the outcome does not depend on what came out today.
    let lock = folder.join("Cargo.lock");
    fs::copy(workspace.root().join("Cargo.lock"), &lock).with_context(|| format!("cannot write {}", lock.display()))?;

    let cargo = |verb: &str| {
        let mut cargo = command(workspace, &folder, process::cargo(&folder).get_program().as_ref());
        cargo.arg(verb);
        cargo
    };
    process::run(cargo("fmt").args(["--all", "--check"]))?;
    process::run(cargo("clippy").args(["--quiet", "--all-targets", "--", "--deny", "warnings"]))?;
    tally.run(&mut cargo("test"), screen)?;
    process::run(command(workspace, &folder, &workspace.user_binary()).args(["build", "--release"]))
}

/// One target folder, so that what the SDK depends on is compiled once; the toolchain that built the other guests.
fn command(workspace: &Workspace, folder: &Path, program: &Path) -> Command {
    let mut command = process::command(program, folder);
    command.env("CARGO_TARGET_DIR", workspace.target().join("newproject/target")).env("AMENDS_TOOLS", workspace.tools());
    command
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
