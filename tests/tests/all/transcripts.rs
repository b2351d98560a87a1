//! Every transcript of the documentation is run, and prints what its page shows.
//!
//! A line that starts with `$ ` in a block marked `console` is a command. The commands of a page are run in order, by one bash,
//! in an empty folder with the built programs under `target/`. What a command prints must be equal to the lines below it, apart
//! from what [`same`] lists. `UPDATE_EXPECT=1` writes what was printed into the page.
//!
//! A block marked `console` without a command is an excerpt: its lines must be a part of what some command of the page printed.
//! A comment `<!-- $ command -->` is a command that the page does not show, as a fault that a participant is told.
//! Lines that start with `cargo` are not run; the verbs of `cargo xtask` in them must exist.
//! After a comment `<!-- from path -->`, each line of the block below must be in that file.

mod page;

mod same;

mod shell;

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use page::{Command, Page, Piece};
use same::same;
use shell::Shell;

use crate::harness::guests::repository;

macro_rules! pages {
    ($($name:ident $path:literal)*) => {
        $(
            #[test]
            fn $name() {
                play($path);
            }
        )*

        const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    the_transcripts_of_the_readme_are_what_its_commands_print "README.md"
    the_transcripts_of_approval_are_what_its_commands_print "examples/approval/RUN.md"
    the_transcripts_of_credit_are_what_its_commands_print "examples/credit/RUN.md"
    the_transcripts_of_group_are_what_its_commands_print "examples/group/RUN.md"
    the_transcripts_of_itinerary_are_what_its_commands_print "examples/itinerary/RUN.md"
    the_transcripts_of_order_are_what_its_commands_print "examples/order/RUN.md"
    the_transcripts_of_participants_are_what_its_commands_print "examples/participants/RUN.md"
    the_transcripts_of_trip_are_what_its_commands_print "examples/trip/RUN.md"
}

/// How long a reading command is asked again while it does not print what the page shows: a saga may still be on its way there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same where the page is written: a change in what is printed must not take [`PATIENCE`] for each command.
const UPDATE_PATIENCE: Duration = Duration::from_secs(4);

/// Runs the commands of a page, and compares or updates what it shows.
#[track_caller]
fn play(path: &str) {
    let file = repository().join(path);
    let mut page = Page::parse(&fs::read_to_string(&file).unwrap());
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let mut shell = Shell::start();
    let (mut printed, mut differs) = (Vec::new(), false);
    for piece in &mut page.pieces {
        let Piece::Command(command) = piece else { continue };
        if command.text.starts_with("cargo ") {
            assert_eq!(command.output, "", "{path}: the page shows output of `{}`, which is not run", command.text);
            continue;
        }
        let output = run(&mut shell, command, if update { UPDATE_PATIENCE } else { PATIENCE });
        printed.push(output.clone());
        if command.is_hidden || same(&output) == same(&command.output) {
            // What was printed in one run belongs together, if the page is written at all.
            command.output = if command.is_hidden { String::new() } else { output };
            continue;
        }
        differs = true;
        if !update {
            let Command { text, output: shown, .. } = command;
            panic!("{path}: `{text}` prints\n\n{output}\n\nand the page shows\n\n{shown}\n\n{}", difference(shown, &output));
        }
        command.output = output;
    }
    for piece in &mut page.pieces {
        let Piece::Excerpt(excerpt) = piece else { continue };
        match excerpt_of(&printed, excerpt) {
            Some(found) => {
                differs |= same(&found) != same(excerpt);
                assert!(update || same(&found) == same(excerpt), "{path}: a command prints\n\n{found}\n\nand not\n\n{excerpt}");
                *excerpt = found;
            }
            None => panic!("{path}: no command prints the first line of\n\n{excerpt}"),
        }
    }
    if update && differs {
        fs::write(&file, page.text()).unwrap();
    }
}

/// What a command prints; a reading one is asked until that is as the page shows.
fn run(shell: &mut Shell, command: &Command, patience: Duration) -> String {
    let began = Instant::now();
    loop {
        let (output, code) = shell.run(&command.text);
        assert!(!command.is_hidden || code == 0, "`{}` exits with {code}:\n{output}", command.text);
        let reads = !command.is_hidden && READING.iter().any(|verb| command.text.starts_with(verb));
        if !reads || same(&output) == same(&command.output) || began.elapsed() > patience {
            return output;
        }
        thread::yield_now();
    }
}

/// The commands that change nothing.
const READING: &[&str] = &[
    "amends journal ",
    "amends list",
    "amends modules",
    "amends query ",
    "amends schedule show ",
    "amends show ",
    "amends trace ",
    "curl -s http://127.0.0.1:8420/metrics",
    "curl -s http://127.0.0.1:8430/state",
];

/// The lines of an output that begin as an excerpt does, as many as it has.
fn excerpt_of(printed: &[String], excerpt: &str) -> Option<String> {
    let lines: Vec<&str> = excerpt.lines().collect();
    let first = same(lines.first()?);
    printed.iter().find_map(|output| {
        let all: Vec<&str> = output.lines().collect();
        let begin = all.iter().position(|line| same(line) == first)?;
        Some(all[begin..all.len().min(begin + lines.len())].join("\n"))
    })
}

/// The first lines that differ.
fn difference(shown: &str, printed: &str) -> String {
    let (shown, printed) = (same(shown), same(printed));
    let (mut shown, mut printed) = (shown.lines(), printed.lines());
    loop {
        match (shown.next(), printed.next()) {
            (None, None) => return String::new(),
            (shown, printed) if shown == printed => {}
            (shown, printed) => {
                return format!("The first difference:\n- {}\n+ {}", shown.unwrap_or_default(), printed.unwrap_or_default());
            }
        }
    }
}

#[test]
fn every_page_with_a_transcript_is_run() {
    let unread: Vec<String> = pages()
        .into_iter()
        .filter(|(path, text)| text.contains("```console") && !PAGES.contains(&path.as_str()))
        .map(|(path, _)| path)
        .collect();
    assert!(unread.is_empty(), "no test runs {unread:?}");
}

/// Blocks marked `sh` are not run, but what they tell the reader to type is read by the command line. With `--help` it reads all of
/// it and does nothing.
#[test]
fn every_command_that_a_page_tells_to_type_has_a_verb_and_options_that_exist() {
    let mut shell = Shell::start();
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for command in page::shell_lines(&text).filter(|line| line.starts_with("amends ")) {
            let (output, code) = shell.run(&format!("{} --help", command.trim_end_matches('&').trim_end()));
            count += 1;
            if code != 0 {
                wrong.push(format!("{path}: {command}\n{output}"));
            }
        }
    }
    assert!(count > 40, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_block_that_is_taken_from_a_file_is_in_that_file() {
    let mut count = 0;
    for (page, text) in pages() {
        for rest in text.split("<!-- from ").skip(1) {
            let (path, block) = rest.split_once(" -->\n```rust\n").unwrap_or_else(|| panic!("{page}: no block after {rest}"));
            let source = fs::read_to_string(repository().join(path)).unwrap();
            let mut left = source.lines().map(str::trim);
            for line in block.lines().take_while(|line| *line != "```").map(str::trim).filter(|line| *line != "// …") {
                assert!(left.any(|found| found == line), "{page}: {path} has no line `{line}`, or not in this order");
            }
            count += 1;
        }
    }
    assert!(count > 0, "no page shows a part of a file");
}

#[test]
fn every_xtask_verb_that_a_page_names_exists() {
    let source = fs::read_to_string(repository().join("xtask/src/main.rs")).unwrap();
    let verbs: Vec<String> = source
        .split("enum Verb {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)))
        .map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase())
        .collect();
    assert!(verbs.contains(&"test".to_owned()), "{verbs:?}");
    for (path, text) in pages() {
        for rest in text.split("cargo xtask ").skip(1) {
            let verb: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            assert!(verbs.contains(&verb), "{path} names `cargo xtask {verb}`");
        }
    }
}

/// The path and the text of every page of the repository.
fn pages() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(repository(), &mut found);
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned(), text)
    };
    let mut pages: Vec<_> = found.into_iter().map(named).collect();
    pages.sort();
    pages
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match entry.is_dir() {
            true if name == "target" || name.starts_with('.') => {}
            true => collect(&entry, found),
            false if name.ends_with(".md") => found.push(entry),
            false => {}
        }
    }
}
