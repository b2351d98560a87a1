//! The command line of `cargo xtask`: parses a verb and calls its module.

mod bench;
mod component;
mod demo;
mod guests;
mod http;
mod newproject;
mod process;
mod profile;
mod server;
mod tally;
mod test;
mod workspace;

use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds and checks this repository, and sets up what that needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the example modules into target/guests, both by plain cargo and by cargo-component
    #[command(after_help = "Example: cargo xtask guests --example order")]
    Guests {
        /// Only this one, by its folder or library name
        #[arg(long, value_name = "NAME")]
        example: Option<String>,
    },
    /// Run all tests: format, lints, guests, units, scenarios, examples, docs
    #[command(after_help = "Example: cargo xtask test --quick")]
    Test {
        /// Build guests by plain cargo only, without cargo-component
        #[arg(long)]
        quick: bool,
    },
    /// Show Amends on this machine: deploy, book, roll back, kill the host, deploy a new version
    #[command(after_help = "Example: cargo xtask demo")]
    Demo {
        /// Keep the folder of the demo's host
        #[arg(long)]
        keep: bool,
    },
    /// Measure a release host: JSON lines on stdout, messages on stderr
    #[command(after_help = "Example: cargo xtask bench --seconds 5 --concurrency 1,64 > bench.jsonl")]
    Bench(bench::Plan),
    /// Show where a release host's processor time goes under the load of the benchmark: by thread, place and function
    #[command(after_help = "Example: cargo xtask profile --concurrency 64")]
    Profile(profile::Plan),
}

fn main() -> std::process::ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("failed: {error:#}"));
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let workspace = Workspace::here();
    match arguments.verb {
        Verb::Guests { example } => {
            let chosen = guests::choose(&workspace, example.as_deref())?;
            guests::build(&workspace, &chosen, &guests::Way::ALL)
        }
        Verb::Test { quick: false } => test::run(&workspace, &guests::Way::ALL),
        Verb::Test { quick: true } => test::run(&workspace, &[guests::Way::Plain]),
        Verb::Bench(plan) => bench::run(&workspace, &plan),
        Verb::Profile(plan) => profile::run(&workspace, &plan),
        Verb::Demo { keep } => demo::run(&workspace, if keep { demo::Folder::Keep } else { demo::Folder::Remove }),
    }
}
