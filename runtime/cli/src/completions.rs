//! `amends completions`: completions for a shell.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, exit::Exit, session::print};

/// Print completions for a shell.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends completions bash > ~/.local/share/bash-completion/completions/amends")]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(completions: &Completions) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "amends", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}
