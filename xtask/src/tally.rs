//! Adds up the closing lines of `cargo test`, one per test binary, to the one line that a person or CI reads, and ends tests that hang.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// No test and no build of a crate takes so long without a line. A hang that only CI's own limit ends says nothing of its place.
const SILENCE_MAX: Duration = Duration::from_secs(20 * 60);

/// The tests that libtest called slow and that have not ended.
#[derive(Debug, Default)]
struct Slow(BTreeSet<String>);

impl Slow {
    /// `test a::b has been running for over 60 seconds`, and later `test a::b ... ok`.
    fn add(&mut self, line: &str) {
        let Some(test) = line.strip_prefix("test ") else { return };
        if let Some((name, _)) = test.split_once(" has been running") {
            self.0.insert(name.to_owned());
        } else if let Some((name, _)) = test.split_once(" ... ") {
            self.0.remove(name);
        }
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        write!(out, "still running: {}", names.join(", "))
    }
}

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
        self.run_for(test, screen, SILENCE_MAX)
    }

    fn run_for(&mut self, test: &mut Command, screen: &mut dyn Write, silence_max: Duration) -> Result<()> {
        let mut child = test.stdout(Stdio::piped()).spawn().with_context(|| process::cannot_start(test))?;
        let stdout = child.stdout.take().context("the tests have no stdout")?;
        let (send, lines) = sync_channel(1_024);
        // It ends with the tests' stdout, or when nobody takes its lines any more.
        thread::spawn(move || BufReader::new(stdout).split(b'\n').try_for_each(|line| send.send(line)));
        let mut slow = Slow::default();
        loop {
            let line = match lines.recv_timeout(silence_max) {
                Ok(line) => line?,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    bail!("the tests hang: not a line for {} s; {slow}", silence_max.as_secs());
                }
            };
            screen.write_all(&line)?;
            screen.write_all(b"\n")?;
            let line = String::from_utf8_lossy(&line);
            self.add(&line);
            slow.add(&line);
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
    fn tests_that_hang_are_ended_and_named() {
        let script = "echo 'test a has been running for over 60 seconds'; echo 'test b has been running for over 60 seconds'; \
                      echo 'test a ... ok'; exec sleep 1000";
        let mut tally = Tally::default();
        let hang = tally.run_for(Command::new("sh").args(["-c", script]), &mut Vec::new(), Duration::from_millis(500));
        assert_eq!(hang.unwrap_err().to_string(), "the tests hang: not a line for 0 s; still running: b");
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
