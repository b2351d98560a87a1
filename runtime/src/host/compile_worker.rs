//! The compile worker: a process that limits itself, reads a component, and writes its machine code.
//!
//! `amends compile-worker` calls [`main`]. It must not know the data folder, the network or the host's environment.

use std::{
    io::{self, Read, Write},
    panic,
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use wasmtime::Engine;

use super::settings;

/// The one argument of this program that makes it a worker.
pub const ARGUMENT: &str = "compile-worker";

/// The environment variable with the limits: bytes of address space and seconds of processor time, as `2147483648,60`.
pub(super) const LIMITS: &str = "AMENDS_COMPILE_LIMITS";

/// The exit code for a component that is not valid; the reason is on standard error.
pub(super) const INVALID: i32 = 65;

/// The exit code for trouble that the host has, as with its limits; what it is is on standard error.
pub(super) const UNABLE: i32 = 71;

/// The exit code for a panic, whose words are on standard error: a bug of the compiler, or of this file.
pub(super) const PANICKED: i32 = 70;

/// How far the worker stands back behind the host.
const NICE: i32 = 10;

/// Reads a component on standard input and writes its machine code to standard output.
pub fn main() -> ExitCode {
    let worked = confine().map_err(|error| Failure::Io(io::Error::other(format!("it cannot limit itself: {error}"))));
    let worked = worked.and_then(|()| panic::catch_unwind(work).unwrap_or(Err(Failure::Panicked)));
    let (words, code) = match worked {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Invalid(error)) => (format!("{error:#}"), INVALID),
        Err(Failure::Io(error)) => (error.to_string(), UNABLE),
        Err(Failure::Panicked) => ("it panicked".to_owned(), PANICKED),
    };
    // Talk goes to standard error, which the host reads; if that fails there is nobody to tell.
    let _ = writeln!(io::stderr(), "{words}");
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

enum Failure {
    Invalid(wasmtime::Error),
    Io(io::Error),
    Panicked,
}

fn confine() -> io::Result<()> {
    let missing =
        || io::Error::other(format!("{LIMITS} must say how much memory and time it may take; it is started by the host"));
    let told = std::env::var(LIMITS).map_err(|_| missing())?;
    let (memory, seconds) = told.split_once(',').ok_or_else(missing)?;
    let (memory, seconds) = (memory.parse::<u64>().map_err(|_| missing())?, seconds.parse::<u64>().map_err(|_| missing())?);
    // The soft limit of time comes first, with a signal of its own: whatever kills without one is somebody else.
    let limits = [
        (Resource::As, memory, memory),
        (Resource::Cpu, seconds, seconds.saturating_add(1)),
        (Resource::Fsize, 0, 0),
        (Resource::Core, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        // The host itself may be limited more tightly, and no process raises what it was given.
        let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(resource, Rlimit { current: Some(soft.min(allowed)), maximum: Some(hard.min(allowed)) })?;
    }
    // Standing back is a courtesy: where it is not allowed, the limits above still hold.
    let _ = nice(NICE);
    Ok(())
}

fn work() -> Result<(), Failure> {
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm).map_err(Failure::Io)?;
    let engine = settings::compiler().map_err(|error| Failure::Io(io::Error::other(format!("{error:#}"))))?;
    let code = compile(&engine, &wasm).map_err(Failure::Invalid)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(Failure::Io)
}

/// Text is refused by the engine: it is built without a parser for it.
pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    engine.precompile_component(wasm)
}
