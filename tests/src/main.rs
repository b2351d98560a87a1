//! The host under test: the user's binary, built with failpoints and a clock that can be moved.

fn main() -> std::process::ExitCode {
    amends::main()
}
