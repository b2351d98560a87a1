//! Adds up the closing lines of `cargo test`, one per test binary, to the one line that a person or CI reads.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;

/// Tests that ran.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Runs `test`, copies what it prints to `screen`, and adds what it closes with; if it failed, fails after that.
    pub(crate) fn run(&mut self, test: &mut Command, screen: &mut dyn Write) -> Result<()> {
        let mut child = test.stdout(Stdio::piped()).spawn().with_context(|| process::cannot_start(test))?;
        for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
            let line = line?;
            screen.write_all(&line)?;
            screen.write_all(b"\n")?;
            self.add(&String::from_utf8_lossy(&line));
        }
        process::checked(test, child.wait()?)
    }

    /// `test result: ok. 4 passed; 0 failed; 1 ignored; …`, perhaps coloured; any other line counts for nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up_and_other_lines_do_not_count() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.08s");
        tally.add("test result: \u{1b}[31mFAILED\u{1b}[m. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.add("test tests::nine_passed ... ok");
        assert_eq!(tally.to_string(), "6 passed, 3 failed, 1 skipped");
    }

    #[test]
    fn a_failed_run_is_an_error_after_its_lines_were_counted() {
        let mut tally = Tally::default();
        let script = "echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 101";
        let mut screen = Vec::new();
        assert!(tally.run(Command::new("sh").args(["-c", script]), &mut screen).is_err());
        assert_eq!(screen, b"test result: FAILED. 1 passed; 1 failed; 0 ignored\n");
        assert_eq!(tally, Tally { passed: 1, failed: 1, ignored: 0 });
    }
}
