//! What helps where a component cannot run on this host, in words. The host says what is wrong, and knows no command line.

use crate::host::Problem;

/// What to do about bytes that this host cannot run.
pub fn remedy(problem: Problem) -> &'static str {
    match problem {
        Problem::NotWasm | Problem::CoreModule | Problem::InvalidWasm => {
            "build it with `amends build`, or with `cargo build --release --target wasm32-wasip2`"
        }
        Problem::TooLarge => "strip it (`strip = true` and `opt-level = \"s\"` in its profile), or raise `wasm` in [limits]",
        Problem::Truncated => "copy or build it again",
        Problem::Precompiled => "deploy the .wasm that it was made from; the host compiles it",
        Problem::TextWasm => "make it binary with `wasm-tools parse FILE -o FILE.wasm`",
        Problem::CompileLimit => "make its functions fewer and smaller, or raise the limit",
        Problem::TooDemanding => "see [guest] in the host's configuration",
        Problem::UnknownImport => {
            "a module may import amends:module@0.1 and wasi:{io,cli,clocks,random,filesystem,sockets,http}@0.2; remove the dependency that needs more"
        }
        Problem::ImportMismatch | Problem::WrongWorld => "build it with a version of amends-sdk that fits this host",
        Problem::NoSagaExport => "call `amends_sdk::export!` in it, or target the world `amends:module/saga-module`",
        Problem::HostUnable => "try again; the component itself may be fine, and the host's log may say more",
        Problem::HostBug => "the component itself may be fine: please report it, with the component and the host's log",
        Problem::DescribeFailed => "`describe` runs without time, network or grants and returns data only",
    }
}
