//! How an attempt ends when the guest does not end it: a code for machines and a sentence for people.
//!
//! A fault travels as a wasmtime error from where a limit is met to where the attempt is reported.

use std::{borrow::Cow, fmt};

use amends_core::{outcome::Outcome, value::Failure};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::plain::escape;

/// The longest message that is kept of a guest's or wasmtime's words.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Why the host ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `trap`, `deadline`, `cpu_limit`, `memory_limit`, `table_limit`, `bad_output`, `bad_input`, `limit`, `host_busy`, `host_bug`, `module_not_loaded`.
    pub(super) code: &'static str,
    /// What, and what helps.
    pub(super) message: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the guest returned is not what its contract says.
    pub(super) fn bad_output(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("bad_output", message)
    }

    /// Reads wasmtime's error. `last_words` is the end of the guest's standard error: a panic says there why.
    pub(super) fn of(error: &wasmtime::Error, last_words: &str) -> Self {
        if let Some(fault) = error.downcast_ref::<Self>() {
            return fault.clone();
        }
        let said = match last_words {
            "" => String::new(),
            words => format!("; it said: {words}"),
        };
        if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
            return Self::new("trap", cut(&format!("the guest exited with {code} instead of returning an outcome{said}")));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let frames = frames(error);
            return Self::new("trap", cut(&format!("{}{said}{frames}", trap_text(*trap))));
        }
        // The contexts around it are a backtrace with addresses; what happened is at the root.
        let text = error.root_cause().to_string();
        let pool_is_full = error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some();
        if pool_is_full {
            return Self::new("host_busy", cut(&format!("no slot is free for this component: {text}")));
        }
        if text.contains("(os error ") {
            return Self::new("host_busy", cut(&format!("the host lacks what a guest takes: {text}")));
        }
        if text.contains("hostcall fuel") || text.contains("too much data") {
            return Self::bad_output(cut(&format!("the guest passed more data in one call than is allowed: {text}")));
        }
        Self::new("trap", cut(&format!("{text}{said}{}", frames(error))))
    }

    /// The attempt's outcome: the guest's fault, or the host's.
    pub(super) fn into_outcome(self) -> Outcome {
        let failure = Failure::new(self.code, self.message);
        match self.code {
            "host_busy" | "host_bug" | "module_not_loaded" => Outcome::HostFault(failure),
            _ => Outcome::Trapped(failure),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

/// At most so much of a text as a record should hold, without what could fool a terminal.
pub(super) fn cut(text: &str) -> String {
    let safe = text.split('\n').map(escape).collect::<Vec<_>>().join("\n");
    if safe.len() <= MESSAGE_BYTES_MAX {
        return safe;
    }
    let mut end = MESSAGE_BYTES_MAX;
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &safe[..end])
}

fn trap_text(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "the guest panicked or aborted (`unreachable` executed)".to_owned(),
        Trap::StackOverflow => "the guest used up its stack: it recurses too deeply".to_owned(),
        other => other.to_string(),
    }
}

/// Where it happened, innermost first, by the names that the component carries.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return String::new() };
    let names: Vec<&str> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(8).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; in {}", names.join(" < ")),
    }
}
