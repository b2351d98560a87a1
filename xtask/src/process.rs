//! Child processes: says what runs and why, runs it in a clean environment, and names it when it fails.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Prints one line about what happens next.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// The cargo that runs this xtask.
pub(crate) fn cargo(folder: &Path) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command(&cargo, folder)
}

/// A command in `folder`, without what the caller's shell or `cargo run` would leak into it.
pub(crate) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(leaks) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command with this terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    checked(command, status)
}

/// Runs a command and returns its stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let Output { status, stdout, .. } = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    checked(command, status)?;
    String::from_utf8(stdout).with_context(|| format!("`{}` printed no text", shown(command)))
}

pub(crate) fn checked(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

pub(crate) fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Settings of a host that the developer runs would change tests; what `cargo run` tells xtask about
/// itself would make build scripts run again that watch those names.
fn leaks(name: &str) -> bool {
    name.starts_with("AMENDS_")
        || name.starts_with("CARGO_PKG_")
        || ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_host_and_of_cargo_run_do_not_reach_children() {
        assert!(leaks("AMENDS_HOST"));
        assert!(leaks("CARGO_PKG_NAME"));
        assert!(!leaks("CARGO_HOME"));
        assert!(!leaks("PATH"));
    }

    #[test]
    fn a_failed_command_is_named_with_its_arguments() {
        let error = run(command("sh", Path::new("/")).args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` ended with exit status: 3");
    }
}
