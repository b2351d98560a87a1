//! How an attempt ends when the guest does not end it: a code for machines and a sentence for people.
//!
//! A fault travels as a wasmtime error from where a limit is met to where the attempt is reported.

use std::{borrow::Cow, fmt, io};

use amends_core::{outcome::Outcome, value::Failure};
use rustix::io::Errno;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::plain::escape;

/// The longest message that is kept of a guest's or wasmtime's words.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Why the host ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What kind of fault.
    pub(super) code: FaultCode,
    /// What, and what helps.
    pub(super) message: Cow<'static, str>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultCode {
    /// The guest trapped, exited, or did what the contract forbids.
    Trap,
    /// The attempt ran past its deadline.
    Deadline,
    /// The guest used up its processor time.
    CpuLimit,
    /// The guest asked for more memory than it may have.
    MemoryLimit,
    /// The guest asked for more table elements than it may have.
    TableLimit,
    /// The guest returned something else than its contract says, or too much of it.
    BadOutput,
    /// What was recorded cannot be passed to the guest.
    BadInput,
    /// The host refused a call.
    Denied,
    /// The host or the machine has no room for the guest now.
    HostBusy,
    /// The host panicked.
    HostBug,
    /// The host cannot load the component.
    ModuleNotLoaded,
}

/// Whose budget of attempts a fault uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// The step's: the guest failed.
    Guest,
    /// Nobody's: the host failed, and the step is tried again when the host can run it.
    Host,
}

impl FaultCode {
    /// Its name in records, which never changes.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::TableLimit => "table_limit",
            Self::BadOutput => "bad_output",
            Self::BadInput => "bad_input",
            Self::Denied => "denied",
            Self::HostBusy => "host_busy",
            Self::HostBug => "host_bug",
            Self::ModuleNotLoaded => "module_not_loaded",
        }
    }

    pub(super) fn charge(self) -> Charge {
        match self {
            Self::Trap
            | Self::Deadline
            | Self::CpuLimit
            | Self::MemoryLimit
            | Self::TableLimit
            | Self::BadOutput
            | Self::BadInput
            | Self::Denied => Charge::Guest,
            Self::HostBusy | Self::HostBug | Self::ModuleNotLoaded => Charge::Host,
        }
    }
}

impl Fault {
    pub(super) fn new(code: FaultCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the guest returned is not what its contract says.
    pub(super) fn bad_output(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FaultCode::BadOutput, message)
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
            return Self::new(
                FaultCode::Trap,
                cut(&format!("the guest exited with {code} instead of returning an outcome{said}")),
            );
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let frames = frames(error);
            return Self::new(FaultCode::Trap, cut(&format!("{}{said}{frames}", trap_text(*trap))));
        }
        // The contexts around it are a backtrace with addresses; what happened is at the root.
        let text = error.root_cause().to_string();
        let pool_is_full = error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some();
        if pool_is_full {
            return Self::new(FaultCode::HostBusy, cut(&format!("no slot is free for this component: {text}")));
        }
        if is_of_the_system(error) {
            return Self::new(FaultCode::HostBusy, cut(&format!("the host lacks what a guest takes: {text}")));
        }
        // wasmtime keeps the type of this error to itself. Either code is charged to the guest.
        if text.contains("hostcall fuel") || text.contains("too much data") {
            return Self::bad_output(cut(&format!("the guest passed more data in one call than is allowed: {text}")));
        }
        Self::new(FaultCode::Trap, cut(&format!("{text}{said}{}", frames(error))))
    }

    /// What a guest asked for could not be had, though it was within its limit: the machine has no more, or the guest's own
    /// declaration forbids it.
    pub(super) fn cannot_grow(limit: FaultCode, what: &str, error: &wasmtime::Error) -> Self {
        let code = if is_of_the_system(error) { FaultCode::HostBusy } else { limit };
        Self::new(code, format!("the guest's {what} cannot grow: {error:#}"))
    }

    /// The attempt's outcome: the guest's fault, or the host's.
    pub(super) fn into_outcome(self) -> Outcome {
        let failure = Failure::new(self.code.as_str(), self.message);
        match self.code.charge() {
            Charge::Guest => Outcome::Trapped(failure),
            Charge::Host => Outcome::HostFault(failure),
        }
    }
}

/// An operation of the operating system failed, as a mapping of memory: neither a guest nor its component caused this.
pub(super) fn is_of_the_system(error: &wasmtime::Error) -> bool {
    let is_errno = |cause: &(dyn std::error::Error + 'static)| cause.is::<Errno>();
    let is_io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_some())
    };
    error.chain().any(|cause| is_errno(cause) || is_io(cause))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const ALL: [FaultCode; 11] = [
        FaultCode::Trap,
        FaultCode::Deadline,
        FaultCode::CpuLimit,
        FaultCode::MemoryLimit,
        FaultCode::TableLimit,
        FaultCode::BadOutput,
        FaultCode::BadInput,
        FaultCode::Denied,
        FaultCode::HostBusy,
        FaultCode::HostBug,
        FaultCode::ModuleNotLoaded,
    ];

    #[test]
    fn every_fault_is_charged_to_the_guest_or_to_the_host() {
        let charged = ALL.map(|code| match Fault::new(code, "why").into_outcome() {
            Outcome::Trapped(failure) => format!("{}: guest\n", failure.code),
            Outcome::HostFault(failure) => format!("{}: host\n", failure.code),
            other => panic!("{other:?}"),
        });
        expect![[r#"
            trap: guest
            deadline: guest
            cpu_limit: guest
            memory_limit: guest
            table_limit: guest
            bad_output: guest
            bad_input: guest
            denied: guest
            host_busy: host
            host_bug: host
            module_not_loaded: host
        "#]]
        .assert_eq(&charged.concat());
    }

    /// A failed operation of the system was told by the words `(os error` in a message, and messages hold words of guests.
    #[test]
    fn a_failure_of_the_system_is_told_by_its_type_and_not_by_its_words() {
        let code = |error: wasmtime::Error| Fault::of(&error, "").code;
        assert_eq!(code(wasmtime::Error::from(Errno::NOMEM).context("mmap failed")), FaultCode::HostBusy);
        assert_eq!(code(io::Error::from_raw_os_error(12).into()), FaultCode::HostBusy);
        assert_eq!(code(io::Error::other("a stream of the guest's own").into()), FaultCode::Trap);
        assert_eq!(code(wasmtime::Error::msg("Cannot allocate memory (os error 12)")), FaultCode::Trap);
        let grow = |error| Fault::cannot_grow(FaultCode::MemoryLimit, "memory", &error).code;
        assert_eq!(grow(wasmtime::Error::from(Errno::NOMEM)), FaultCode::HostBusy);
        assert_eq!(grow(wasmtime::Error::msg("over its maximum")), FaultCode::MemoryLimit);
    }
}
