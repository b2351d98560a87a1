//! Whether bytes are a module that this host can run, and what is in it. Every way of being wrong has its own words.

use std::fmt;

use super::{
    compile::CompileError,
    describe::Description,
    fault::{Charge, Fault, FaultCode, is_of_the_system},
};
use crate::{engine::guests::ModuleDigest, trouble::Trouble};

/// A component that this host can run.
#[derive(Clone, Debug)]
pub struct Verified {
    /// SHA-256 of its bytes.
    pub digest: ModuleDigest,
    /// Its name and sagas, as it says; the rules of names and definitions are checked by the caller.
    pub description: Description,
    /// Interfaces that it imports, by name and version.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
}

/// Why bytes are no module for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// For programs, and for who says what helps.
    pub problem: Problem,
    /// What is wrong.
    pub message: String,
}

/// Kinds of problems with bytes that were to be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// More bytes than this host takes.
    TooLarge,
    /// No WebAssembly, or of a version that this host does not know.
    NotWasm,
    /// A core module and no component.
    CoreModule,
    /// The bytes end too early.
    Truncated,
    /// Machine code.
    Precompiled,
    /// WebAssembly as text.
    TextWasm,
    /// A component that is not valid.
    InvalidWasm,
    /// Its compilation takes more memory or time than it may.
    CompileLimit,
    /// It needs more than a guest may have from its beginning.
    TooDemanding,
    /// It imports an interface that this host does not offer.
    UnknownImport,
    /// It imports an interface that this host offers with other types.
    ImportMismatch,
    /// It exports sagas with other types than the contract's.
    WrongWorld,
    /// It exports no sagas of a version of the contract that this host speaks.
    NoSagaExport,
    /// It could not describe itself.
    DescribeFailed,
    /// The host cannot say now whether it can run.
    HostUnable,
    /// The host's program fails over it.
    HostBug,
}

impl Problem {
    /// Its name for machines, which never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotWasm => "not_wasm",
            Self::CoreModule => "core_module",
            Self::Truncated => "truncated",
            Self::Precompiled => "precompiled",
            Self::TextWasm => "text_wasm",
            Self::InvalidWasm => "invalid_wasm",
            Self::CompileLimit => "compile_limit",
            Self::TooDemanding => "too_demanding",
            Self::UnknownImport | Self::ImportMismatch => "unknown_import",
            Self::WrongWorld => "wrong_world",
            Self::NoSagaExport => "no_saga_export",
            Self::DescribeFailed => "describe_failed",
            Self::HostUnable => "host_unable",
            Self::HostBug => "host_bug",
        }
    }

    /// Where the trouble lies.
    pub fn trouble(self) -> Trouble {
        match self {
            Self::TooLarge
            | Self::NotWasm
            | Self::CoreModule
            | Self::Truncated
            | Self::Precompiled
            | Self::TextWasm
            | Self::InvalidWasm
            | Self::CompileLimit
            | Self::TooDemanding
            | Self::UnknownImport
            | Self::ImportMismatch
            | Self::WrongWorld
            | Self::NoSagaExport
            | Self::DescribeFailed => Trouble::Component,
            Self::HostUnable => Trouble::Host,
            Self::HostBug => Trouble::Bug,
        }
    }
}

impl VerifyError {
    pub(super) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }

    /// The host cannot say now whether the component can run.
    pub(super) fn of_host(message: impl Into<String>) -> Self {
        Self::new(Problem::HostUnable, message)
    }

    /// The host's program fails over the component.
    pub(super) fn of_bug(message: impl Into<String>) -> Self {
        Self::new(Problem::HostBug, message)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for VerifyError {}

/// The package and track of the contract.
const CONTRACT: &str = "amends:module/";
const CONTRACT_TRACK: &str = "0.1.";

/// What can be said without compiling.
pub(super) fn look(bytes: &[u8], bytes_max: u64) -> Result<(), VerifyError> {
    if bytes.len() as u64 > bytes_max {
        let message = format!("the component has {} bytes, and {bytes_max} is the limit", bytes.len());
        return Err(VerifyError::new(Problem::TooLarge, message));
    }
    let text = bytes.trim_ascii_start();
    match bytes {
        [] => Err(VerifyError::new(Problem::NotWasm, "the file is empty")),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            Err(VerifyError::new(Problem::CoreModule, "this is a core WebAssembly module, and Amends runs components"))
        }
        [0, b'a', b's', b'm', _, _, _, _, ..] => {
            Err(VerifyError::new(Problem::NotWasm, "this is WebAssembly of a version that this host does not know"))
        }
        _ if b"\0asm\x0d\0\x01\0".starts_with(bytes) => {
            Err(VerifyError::new(Problem::Truncated, format!("the file ends after {} bytes", bytes.len())))
        }
        [0x7f, b'E', b'L', b'F', ..] => Err(VerifyError::new(
            Problem::Precompiled,
            "this is machine code (a precompiled .cwasm or an ELF file), which is never accepted",
        )),
        _ if text.starts_with(b"(") || text.starts_with(b";;") => {
            Err(VerifyError::new(Problem::TextWasm, "this is WebAssembly text"))
        }
        _ => Err(VerifyError::new(Problem::NotWasm, "this is not WebAssembly")),
    }
}

impl From<CompileError> for VerifyError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Invalid(text) if is_cut_off(&text) => {
                Self::new(Problem::Truncated, format!("the component is cut off: {text}"))
            }
            CompileError::Invalid(text) => Self::new(Problem::InvalidWasm, format!("the component is not valid: {text}")),
            CompileError::Limit(text) => Self::new(Problem::CompileLimit, text),
            CompileError::Host(text) => Self::of_host(text),
            CompileError::Bug => Self::of_bug("the compiler of this host fails over the component"),
        }
    }
}

/// The parser's words for bytes that end too early.
fn is_cut_off(text: &str) -> bool {
    ["unexpected end", "extends past end", "is out of bounds (bound"].iter().any(|words| text.contains(words))
}

/// Names every import that this host does not offer.
pub(super) fn imports(names: &[String]) -> Result<(), VerifyError> {
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_offered(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let message = format!("the component imports what no host of Amends offers: {}", unknown.join(", "));
    Err(VerifyError::new(Problem::UnknownImport, message))
}

fn is_offered(import: &str) -> bool {
    let Some((interface, version)) = import.rsplit_once('@') else { return false };
    let Some((package, name)) = interface.split_once('/') else { return false };
    match package {
        "amends:module" => {
            matches!(name, "types" | "context" | "log" | "config" | "secrets" | "messages" | "view")
                && version.starts_with(CONTRACT_TRACK)
        }
        "wasi:io" | "wasi:cli" | "wasi:clocks" | "wasi:random" | "wasi:filesystem" | "wasi:sockets" | "wasi:http" => {
            version.starts_with("0.2.")
        }
        _ => false,
    }
}

/// A module has sagas, aggregates, projections or policies, of a version of the contract that this host speaks.
pub(super) fn exports(names: &[String]) -> Result<(), VerifyError> {
    let ours: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.starts_with(CONTRACT)).collect();
    let version = |name: &str| {
        let interfaces =
            ["amends:module/saga@", "amends:module/aggregate@", "amends:module/projection@", "amends:module/policy@"];
        interfaces.iter().find_map(|interface| name.strip_prefix(interface)).map(str::to_owned)
    };
    if ours.iter().filter_map(|name| version(name)).any(|version| version.starts_with(CONTRACT_TRACK)) {
        return Ok(());
    }
    let other = ours.iter().find(|name| version(name).is_some());
    let message = match (other, names) {
        (Some(name), _) => format!("the component exports {name}, and this host speaks amends:module@0.1"),
        (None, []) => {
            "the component exports nothing; a module exports amends:module/saga@0.1.0, amends:module/aggregate@0.1.0, amends:module/projection@0.1.0 or amends:module/policy@0.1.0".to_owned()
        }
        (None, names) => format!(
            "the component exports none of amends:module/saga@0.1.0, amends:module/aggregate@0.1.0, amends:module/projection@0.1.0 and amends:module/policy@0.1.0; it exports {}",
            names.join(", ")
        ),
    };
    Err(VerifyError::new(Problem::NoSagaExport, message))
}

/// The component's interfaces have the right names and the wrong types.
pub(super) fn wrong_world(error: &wasmtime::Error) -> VerifyError {
    let text = format!("{error:#}");
    match text.contains("import") {
        true => VerifyError::new(Problem::ImportMismatch, format!("an import does not fit what this host offers: {text}")),
        false => VerifyError::new(Problem::WrongWorld, format!("the component does not fit the contract: {text}")),
    }
}

/// Compiled code does not become a component that can run.
pub(super) fn not_loaded(error: &wasmtime::Error) -> VerifyError {
    if is_of_the_system(error) {
        return VerifyError::of_host(format!("the host cannot load machine code: {error:#}"));
    }
    // What the pool cannot hold is refused here: a memory that begins larger than it may grow, too many tables.
    VerifyError::new(Problem::TooDemanding, format!("the component needs more than a guest may have: {error:#}"))
}

/// `describe` did not end well.
pub(super) fn not_described(fault: &Fault) -> VerifyError {
    let (code, message) = (fault.code.as_str(), &fault.message);
    match (fault.code.charge(), fault.code) {
        (Charge::Guest, _) => {
            VerifyError::new(Problem::DescribeFailed, format!("the module cannot describe itself ({code}): {message}"))
        }
        (Charge::Host, FaultCode::HostBug) => {
            VerifyError::of_bug(format!("the host cannot ask the module what is in it ({code}): {message}"))
        }
        (Charge::Host, _) => VerifyError::of_host(format!("the host cannot ask the module what is in it ({code}): {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_is_told_apart_by_its_first_bytes() {
        let code = |bytes: &[u8]| look(bytes, 100).map_err(|error| error.problem.code());
        assert_eq!(code(b"\0asm\x0d\0\x01\0rest"), Ok(()));
        assert_eq!(code(b"\0asm\x01\0\0\0rest"), Err("core_module"));
        assert_eq!(code(b"\0asm\x07\0\0\0rest"), Err("not_wasm"));
        assert_eq!(code(b"\0asm\x0d"), Err("truncated"));
        assert_eq!(code(b"\0as"), Err("truncated"));
        assert_eq!(code(b"\n  (component)"), Err("text_wasm"));
        assert_eq!(code(b";; a component"), Err("text_wasm"));
        assert_eq!(code(b"\x7fELF\x02"), Err("precompiled"));
        assert_eq!(code(b"#!/bin/sh"), Err("not_wasm"));
        assert_eq!(code(b""), Err("not_wasm"));
        assert_eq!(code(&[0; 101]), Err("too_large"));
    }

    /// Where no descriptor is left, memory is short, or what was written may not be run, a deploy was refused as if the component
    /// were at fault. The kind: an error of the kernel in the middle of a verification. It says that the host is unable, and that
    /// the same bytes may be taken later.
    #[test]
    fn c2_09_what_the_kernel_refuses_is_trouble_of_the_host() {
        let trouble = |error: VerifyError| (error.problem.trouble(), error.problem.code());
        let of_kernel = [
            wasmtime::Error::from(std::io::Error::from(rustix::io::Errno::ACCESS)),
            wasmtime::Error::from(rustix::io::Errno::NOMEM).context("cannot map code"),
        ];
        for error in of_kernel {
            assert_eq!(trouble(not_loaded(&error)), (Trouble::Host, "host_unable"), "{error:?}");
        }
        let too_demanding = not_loaded(&wasmtime::Error::msg("memory index 0 is too large"));
        assert_eq!(trouble(too_demanding), (Trouble::Component, "too_demanding"));
        for code in [FaultCode::HostBusy, FaultCode::ModuleNotLoaded] {
            assert_eq!(trouble(not_described(&Fault::new(code, "later"))), (Trouble::Host, "host_unable"));
        }
        assert_eq!(trouble(not_described(&Fault::new(FaultCode::HostBug, "a panic"))), (Trouble::Bug, "host_bug"));
        assert_eq!(trouble(not_described(&Fault::new(FaultCode::Trap, "a trap"))), (Trouble::Component, "describe_failed"));
        assert_eq!(trouble(CompileError::Host("no descriptor".to_owned()).into()), (Trouble::Host, "host_unable"));
        assert_eq!(trouble(CompileError::Bug.into()), (Trouble::Bug, "host_bug"));
        assert_eq!(trouble(CompileError::Limit("too long".to_owned()).into()), (Trouble::Component, "compile_limit"));
    }

    #[test]
    fn imports_are_compared_by_track_and_strangers_are_named() {
        let check = |names: &[&str]| imports(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            check(&[
                "amends:module/context@0.1.0",
                "amends:module/secrets@0.1.0",
                "amends:module/messages@0.1.0",
                "wasi:io/poll@0.2.3",
                "wasi:http/types@0.2.99",
                "wasi:sockets/tcp@0.2.0",
            ]),
            Ok(())
        );
        let strangers = [
            "wasi:keyvalue/store@0.2.0",
            "wasi:http/types@0.3.0",
            "amends:module/types@0.2.0",
            "amends:module/queries@0.1.0",
            "env",
            "my:own/api@1.0.0",
        ];
        let error = check(&strangers).unwrap_err();
        for stranger in strangers {
            assert!(error.message.contains(stranger), "{}", error.message);
        }
    }

    #[test]
    fn a_missing_export_is_named() {
        let check = |names: &[&str]| {
            exports(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).map_err(|error| error.message)
        };
        assert_eq!(check(&["amends:module/saga@0.1.0"]), Ok(()));
        assert!(
            check(&["wasi:http/incoming-handler@0.2.3"]).unwrap_err().contains("it exports wasi:http/incoming-handler@0.2.3")
        );
        assert!(check(&["amends:module/saga@0.2.0"]).unwrap_err().contains("speaks amends:module@0.1"));
        assert!(check(&[]).unwrap_err().contains("exports nothing"));
    }
}
