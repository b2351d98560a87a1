//! The output of a demo: chapters, commands, what the commands print, and whether it is as expected.

use std::env;
use std::io::{IsTerminal, Read, pipe, stdout};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};

/// The terminal, and the number of expectations that were met so far.
pub(crate) struct Screen {
    colours: bool,
    chapters: u32,
    held: u32,
    broken: u32,
}

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Green,
    Red,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: stdout().is_terminal() && !unwanted, chapters: 0, held: 0, broken: 0 }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        println!("\n{}\n", self.painted(Style::Bold, &format!("{}  {title}", self.chapters)));
    }

    /// An empty line in a chapter.
    pub(crate) fn gap(&self) {
        println!();
    }

    /// A sentence between two commands.
    pub(crate) fn remark(&self, text: &str) {
        println!("   {text}");
    }

    /// A command as one would type it.
    pub(crate) fn command(&self, line: &str) {
        println!("   {} {}", self.painted(Style::Dim, "$"), self.painted(Style::Bold, line));
    }

    /// What a command printed.
    pub(crate) fn output(&self, text: &str) {
        for line in text.lines() {
            println!("   {line}");
        }
    }

    /// Runs a command, shown as `line`, and shows its output, stdout and stderr in their order.
    pub(crate) fn run(&self, line: &str, command: &mut Command) -> Result<ExitStatus> {
        self.command(line);
        if self.colours {
            command.env("CLICOLOR_FORCE", "1");
        }
        let (mut reader, writer) = pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        // The command holds the pipe's other end until its streams are replaced, and reading would not end.
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        self.output(&text);
        Ok(child.wait()?)
    }

    /// Shows whether an expectation was met.
    pub(crate) fn expect(&mut self, what: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("   {} {what}", self.painted(Style::Green, "✓"));
        } else {
            self.broken += 1;
            println!("   {} {what}", self.painted(Style::Red, "✗ not so:"));
        }
    }

    /// Shows whether two values are equal, and otherwise both values.
    pub(crate) fn expect_equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, is: &T, should: &T) {
        match is == should {
            true => self.expect(what, true),
            false => self.expect(&format!("{what} (it is {is:?}, not {should:?})"), false),
        }
    }

    /// The numbers of expectations that were met and that were not met.
    pub(crate) fn score(&self) -> (u32, u32) {
        (self.held, self.broken)
    }

    fn painted(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Red => "31",
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_counted() {
        let mut screen = Screen::new();
        screen.expect("water is wet", true);
        screen.expect_equal("two and two", &5, &4);
        assert_eq!(screen.score(), (1, 1));
    }

    #[test]
    fn a_command_is_run_to_its_end() {
        let status = Screen::new().run("sh", Command::new("sh").args(["-c", "echo data; echo talk >&2; exit 3"])).unwrap();
        assert_eq!(status.code(), Some(3));
    }
}
