//! The `amends` binary: everything is in the library, so that tests can run it with other features.

fn main() -> std::process::ExitCode {
    amends::main()
}
