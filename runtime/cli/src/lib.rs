//! Amends, a durable saga runtime: the command line of the `amends` binary. Data goes to stdout and messages to
//! stderr. Every verb is one file, and uses the host only through the client.

pub mod config;

mod allocator;

mod log;

pub mod exit;

mod failure;

pub mod wiring;

mod clock;

mod input;

mod render;

mod session;

mod settings;

mod act;

mod patience;

mod many;

mod serve;

mod new;

mod build;

mod dev;

mod deploy;

mod compare;

mod modules;

mod activate;

mod grant;

mod grants;

mod revoke;

mod check;

mod graph;

mod start;

mod list;

mod show;

mod journal;

mod watch;

mod jobs;

mod cancel;

mod retry;

mod skip;

mod unlock;

mod moving;

mod resolve;

mod abandon;

mod signal;

mod publish;

mod batch;

mod send;

mod events;

mod import;

mod trace;

mod query;

mod projections;

mod policies;

mod letters;

mod schedule;

mod completions;

#[cfg(test)]
mod canned;

use std::{
    env,
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::{
    Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{Resettable, StyledStr},
    error::{ContextKind, ContextValue, ErrorKind},
};

use self::{
    exit::Exit,
    session::{Remote, Session},
};
use amends_host::host::compile_worker;

/// Durable sagas: steps and compensations as WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "amends", version, after_help = exit::HELP, max_term_width = 110, infer_subcommands = false)]
struct Cli {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    New(new::New),
    Build(build::Build),
    Dev(dev::Dev),
    Deploy(deploy::Deploy),
    Modules(modules::Modules),
    Activate(activate::Activate),
    Grant(grant::Grant),
    Revoke(revoke::Revoke),
    Check(check::Check),
    Graph(graph::Graph),
    Start(start::Start),
    List(list::List),
    Show(show::Show),
    Journal(journal::Journal),
    Watch(watch::Watch),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Skip(skip::Skip),
    Unlock(unlock::Unlock),
    Move(moving::Move),
    Resolve(resolve::Resolve),
    Abandon(abandon::Abandon),
    Signal(signal::Signal),
    Publish(publish::Publish),
    Send(send::Send),
    Events(events::Events),
    Import(import::Import),
    Trace(trace::Trace),
    Query(query::Query),
    Projections(projections::Projections),
    Policies(policies::Policies),
    Letters(letters::Letters),
    Schedule(schedule::Schedule),
    Jobs(jobs::Jobs),
    Completions(completions::Completions),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // The program that the host starts for itself is no verb: neither help nor completions list it.
    if env::args_os().nth(1).is_some_and(|verb| verb == compile_worker::ARGUMENT) {
        return wiring::compile_worker();
    }
    let command = without_empty_variables(Cli::command(), &|name| env::var_os(name));
    let parsed = command.try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, wants_json(&matches))));
    let (cli, json) = match parsed {
        Ok(parsed) => parsed,
        // Only the help of somebody who set no variable is shown without this: a variable counts as an argument.
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            session::say(&help_of(env::args()).ansi().to_string());
            return Exit::Usage.into();
        }
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
            if error.use_stderr() && env::args().any(|argument| argument == "--json") {
                failure::usage(&hinted(error).render().to_string());
                return exit;
            }
            // `--help` and `--version` are fine; the rest is wrong usage. A closed stream is nobody's error.
            let _ = hinted(error).print();
            return exit;
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) if failure::is_broken_pipe(&error) => Exit::Fine.into(),
        Err(error) => failure::report(&error, json).into(),
    }
}

/// The verb was told to print JSON.
fn wants_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").ok().flatten().is_some_and(|json| *json);
    here || matches.subcommand().is_some_and(|(_, verb)| wants_json(verb))
}

/// The help of the verb that lacks a verb of its own, or of the whole.
fn help_of(mut arguments: impl Iterator<Item = String>) -> StyledStr {
    let mut whole = Cli::command();
    whole.build();
    let verb = arguments.find_map(|argument| whole.find_subcommand(&argument).cloned());
    verb.unwrap_or(whole).render_help()
}

/// A time that no option took is meant for `--wait`, whose value may be left out and so needs the sign.
fn hinted(mut error: clap::Error) -> clap::Error {
    let stray = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(stray)) if error.kind() == ErrorKind::UnknownArgument => stray,
        _ => return error,
    };
    if input::duration(stray).is_ok() {
        let tip = format!("write `--wait={stray}`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// A variable that is set to nothing is not set.
fn without_empty_variables(command: Command, variable: &dyn Fn(&OsStr) -> Option<OsString>) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(variable).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(|verb| without_empty_variables(verb, variable))
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let remote = cli.remote;
    let open = || Session::open(&remote);
    match cli.verb {
        Verb::Serve(verb) => serve::run(&verb),
        Verb::New(verb) => new::run(&verb),
        Verb::Build(verb) => build::run(&verb),
        Verb::Dev(verb) => dev::run(&verb, open()?),
        Verb::Deploy(verb) => deploy::run(&verb, &open()?),
        Verb::Modules(verb) => modules::run(&verb, &open()?),
        Verb::Activate(verb) => activate::run(&verb, &open()?),
        Verb::Grant(verb) => grant::run(&verb, &open()?),
        Verb::Revoke(verb) => revoke::run(&verb, &open()?),
        Verb::Check(verb) => check::run(&verb),
        Verb::Graph(verb) => graph::run(&verb),
        Verb::Start(verb) => start::run(&verb, &open()?),
        Verb::List(verb) => list::run(&verb, &open()?),
        Verb::Show(verb) => show::run(&verb, &open()?),
        Verb::Journal(verb) => journal::run(&verb, &open()?),
        Verb::Watch(verb) => watch::run(&verb, &open()?),
        Verb::Cancel(verb) => cancel::run(&verb, &open()?),
        Verb::Retry(verb) => retry::run(&verb, &open()?),
        Verb::Skip(verb) => skip::run(&verb, &open()?),
        Verb::Unlock(verb) => unlock::run(&verb, &open()?),
        Verb::Move(verb) => moving::run(&verb, &open()?),
        Verb::Resolve(verb) => resolve::run(&verb, &open()?),
        Verb::Abandon(verb) => abandon::run(&verb, &open()?),
        Verb::Signal(verb) => signal::run(&verb, &open()?),
        Verb::Publish(verb) => publish::run(&verb, &open()?),
        Verb::Send(verb) => send::run(&verb, &open()?),
        Verb::Events(verb) => events::run(&verb, &open()?),
        Verb::Import(verb) => import::run(&verb, &open()?),
        Verb::Trace(verb) => trace::run(&verb, &open()?),
        Verb::Query(verb) => query::run(&verb, &open()?),
        Verb::Projections(verb) => projections::run(&verb, &open()?),
        Verb::Policies(verb) => policies::run(&verb, &open()?),
        Verb::Letters(verb) => letters::run(&verb, &open()?),
        Verb::Schedule(verb) => schedule::run(&verb, &open()?),
        Verb::Jobs(verb) => jobs::run(&verb, &open()?),
        Verb::Completions(verb) => completions::run(&verb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together_and_every_verb_shows_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let help = verb.clone().render_long_help().to_string();
            assert!(help.contains(&format!("amends {}", verb.get_name())), "no example in {help}");
            assert!(help.contains("Example"), "no example in {help}");
            // Beside the longest name, on a terminal of 80 columns or a little more.
            let about = verb.get_about().unwrap().to_string();
            assert!(about.len() <= 85, "{} columns: {about}", about.len());
        }
    }

    #[test]
    fn the_host_may_be_named_before_and_after_the_verb() {
        for line in ["amends --host http://h list", "amends list --host http://h"] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap().remote.host, "http://h");
        }
    }

    #[test]
    fn c2_19_every_verb_that_can_print_json_is_known_to_be_told_so() {
        let told = |line: &str| wants_json(&Cli::command().try_get_matches_from(line.split(' ')).unwrap());
        for line in ["amends list --json", "amends schedule list --json", "amends --host http://h cancel T1 --json"] {
            assert!(told(line) && !told(&line.replace(" --json", "")), "{line}");
        }
        assert!(!told("amends completions bash"));
    }

    #[test]
    fn a_command_line_without_a_verb_is_known_as_one_also_where_a_host_is_named() {
        // With AMENDS_HOST set, it was answered by a list of verbs in brackets, in place of the help.
        let error = Cli::try_parse_from(["amends", "--host", "http://h"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingSubcommand);
        assert!(!Cli::command().get_subcommands().any(|verb| verb.is_hide_set()), "completions would offer it");
    }

    #[test]
    fn a_verb_that_lacks_a_verb_of_its_own_shows_its_own_help() {
        let help = |line: &str| help_of(line.split(' ').map(Into::into)).to_string();
        assert!(help("amends schedule").contains("Usage: amends schedule"));
        assert!(help("amends --host http://h").contains("Usage: amends"));
        assert!(!help("amends --host http://h").contains("Usage: amends schedule"));
    }

    #[test]
    fn a_variable_that_is_empty_is_not_set() {
        // `AMENDS_HOST=` was a bad address, and not the absence of one.
        let variables = |value: &'static str| {
            let command = without_empty_variables(Cli::command(), &|_| Some(value.into()));
            let serve = command.find_subcommand("serve").unwrap();
            let of = |command: &Command| command.get_arguments().filter(|arg| arg.get_env().is_some()).count();
            (of(&command), of(serve))
        };
        let (of_all, of_serve) = variables("x");
        assert!(of_all > 0 && of_serve > 0);
        assert_eq!(variables(""), (0, 0));
    }

    #[test]
    fn a_time_that_is_apart_from_its_wait_is_helped() {
        let printed = |line: &str| hinted(Cli::try_parse_from(line.split(' ')).unwrap_err()).to_string();
        assert!(printed("amends start trip --wait 5s").contains("write `--wait=5s`"));
        assert!(!printed("amends start trip other").contains("--wait="));
    }

    #[test]
    fn contradictions_are_wrong_usage() {
        for line in [
            "amends resolve T1 charge",
            "amends resolve T1 charge --not-done --undone",
            "amends activate trip",
            "amends activate trip 2 --previous",
            "amends grant trip",
            "amends start",
            "amends list --status done",
            "amends list --limit 0",
            "amends graph trip.wasm --format pdf",
            "amends move T1",
            "amends schedule add nightly order",
            "amends schedule add nightly order --cron @daily --after 1h",
            "amends schedule add nightly order --after 1h --zone UTC",
            "amends move --all --status stuck",
            "amends retry T1 --all --saga trip",
            "amends cancel",
            "amends skip T1",
            "amends resolve --all --step charge",
            "amends resolve --all --step charge --output 1",
            "amends jobs --wait",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert!(error.use_stderr() && error.exit_code() == 2, "{line}");
        }
    }
}
