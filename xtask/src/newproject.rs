//! The first steps of a user: create a module with `amends new`, test it, and build it as a component.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Names with a hyphen, which the names of the components' files do not have, and what each has.
const PROJECTS: [(&str, &[&str]); 2] = [("tea-shop", &[]), ("tea-account", &["--aggregate"])];

/// Creates a module of each kind, checks it with fmt and clippy, and runs and counts its tests.
pub(crate) fn test(workspace: &Workspace, tally: &mut Tally, screen: &mut dyn Write) -> Result<()> {
    PROJECTS.iter().try_for_each(|(name, options)| test_one(workspace, name, options, tally, screen))
}

fn test_one(workspace: &Workspace, name: &str, options: &[&str], tally: &mut Tally, screen: &mut dyn Write) -> Result<()> {
    let folder = workspace.target().join("newproject").join(name);
    remove(&folder)?;
    let mut new = command(workspace, workspace.root(), &workspace.user_binary());
    process::run(new.args(["new", name]).args(options).arg("--dir").arg(&folder))?;
    // The versions of this repository's dependencies, so that the result does not depend on new releases.
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

/// A command with one target folder, so that the dependencies of the SDK are compiled once, and with the toolchain of the other
/// guests.
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
