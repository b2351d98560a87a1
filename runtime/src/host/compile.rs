//! Compilation, kept away from the host: a child process that can be limited and killed.
//!
//! A compiler that is given hostile code may take any time and any memory; here it takes its own. See [`super::compile_worker`].

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Condvar, Mutex, PoisonError, mpsc},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};

use super::{
    compile_worker::{self, LIMITS},
    fault::cut,
    limits::Limits,
    settings,
};

/// Who compiles.
#[derive(Clone, Debug)]
pub enum Compile {
    /// A child process for each compilation: this program with these arguments must call [`super::compile_worker::main`].
    Worker {
        /// The executable: this process's own, also after its file was replaced.
        program: PathBuf,
        /// Its arguments, as `compile-worker`.
        args: Vec<OsString>,
    },
    /// This process, without a limit: only for tests and for bytes that one has made oneself.
    InProcess,
}

/// Why a component was not compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CompileError {
    /// It is not a valid component.
    Invalid(String),
    /// It took more than it may.
    Limit(String),
    /// The host cannot compile now.
    Host(String),
    /// The compiler fails over it, which is a bug. The log has its words: they name the places of its source.
    Bug,
}

/// Standard error of a worker beyond this is not kept.
const WORDS_BYTES_MAX: u64 = 64 << 10;

/// Signals that end a worker: by the kernel for the time that it took, by the kernel for want of memory or by somebody, and for
/// its stack.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;

/// How often a worker is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Compiles, no more than a few at once.
pub(super) struct Compiler {
    how: Compile,
    free: Mutex<u32>,
    freed: Condvar,
}

impl Compiler {
    pub(super) fn new(how: Compile, limits: &Limits) -> Self {
        Self { how, free: Mutex::new(limits.compiles_max.max(1)), freed: Condvar::new() }
    }

    /// The machine code of a component. Blocks.
    pub(super) fn compile(&self, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        drop(free);
        let _place = Place(self);
        match &self.how {
            Compile::InProcess => in_process(wasm),
            Compile::Worker { program, args } => {
                let mut command = Command::new(program);
                command.args(args);
                in_worker(command, wasm, limits)
            }
        }
    }
}

struct Place<'a>(&'a Compiler);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

fn in_process(wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    let engine = settings::compiler().map_err(|error| CompileError::Host(format!("{error:#}")))?;
    compile_worker::compile(&engine, wasm).map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

fn in_worker(mut command: Command, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let told = format!("{},{}", limits.compile_memory.as_u64(), limits.compile_cpu.as_secs().max(1));
    let child = command
        // Its executable may have a name of the kernel's, which says nothing in a list of processes.
        .arg0("amends")
        .env_clear()
        .env(LIMITS, told)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| CompileError::Host(format!("the compile worker {program} cannot be started: {error}")))?;
    let mut worker = Worker(child);
    let end = attend(&mut worker, wasm, limits)
        .map_err(|error| CompileError::Host(format!("the compile worker cannot be attended: {error}")))?;
    match end {
        End::Exited(status, code, words) => judge(status, code, &words, limits),
        End::TooLong => {
            Err(CompileError::Limit(format!("compiling it takes over {:?} (`compile_wall` in [guest])", limits.compile_wall)))
        }
        End::TooMuch => Err(CompileError::Limit(format!("its machine code is over {}", limits.compile_output))),
    }
}

/// A worker that does not outlive the compilation.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and waiting takes its remains away.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum End {
    Exited(ExitStatus, Vec<u8>, String),
    TooLong,
    TooMuch,
}

fn attend(worker: &mut Worker, wasm: &[u8], limits: &Limits) -> io::Result<End> {
    let until = Instant::now() + limits.compile_wall;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (worker.0.stdin.take(), worker.0.stdout.take(), worker.0.stderr.take())
    else {
        return Err(io::Error::other("its streams are missing"));
    };
    let output_max = limits.compile_output.as_u64();
    thread::scope(|scope| {
        let (send_words, words) = mpsc::channel();
        let (send_code, code) = mpsc::channel();
        let spawned = spawn(scope, move || drop(send_words.send(read(stderr, WORDS_BYTES_MAX))))
            .and_then(|()| spawn(scope, move || drop(send_code.send(read(stdout, output_max + 1)))))
            // A worker that was killed leaves a broken pipe; the exit status says why.
            .and_then(|()| spawn(scope, move || drop(stdin.write_all(wasm))));
        if let Err(error) = spawned {
            // Those that were spawned end with the worker.
            worker.0.kill()?;
            return Err(error);
        }
        let code = match code.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(code) if code.len() as u64 > output_max => {
                worker.0.kill()?;
                return Ok(End::TooMuch);
            }
            Ok(code) => code,
            Err(_) => {
                worker.0.kill()?;
                return Ok(End::TooLong);
            }
        };
        let status = loop {
            match worker.0.try_wait()? {
                Some(status) => break status,
                None if Instant::now() >= until => {
                    worker.0.kill()?;
                    return Ok(End::TooLong);
                }
                None => thread::sleep(LOOK),
            }
        };
        let words = words.recv().unwrap_or_default();
        Ok(End::Exited(status, code, String::from_utf8_lossy(&words).into_owned()))
    })
}

/// The scope's own way panics where there is no room for a thread.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    thread::Builder::new().spawn_scoped(scope, work).map(drop)
}

/// What comes out of a pipe, up to a limit; the rest stays in it and holds its writer.
fn read(pipe: impl Read, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read before an error is what there is; the exit status decides.
    let _ = pipe.take(bytes_max).read_to_end(&mut bytes);
    bytes
}

fn judge(status: ExitStatus, code: Vec<u8>, words: &str, limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let words = cut(words.trim());
    let memory = || match address_space().filter(|allowed| *allowed < limits.compile_memory.as_u64()) {
        Some(allowed) => CompileError::Host(format!(
            "compiling it takes more memory than this host may use: {} (`ulimit -v`), where `compile_memory` in [guest] is {}",
            ByteSize::b(allowed),
            limits.compile_memory
        )),
        None => CompileError::Limit(format!(
            "compiling it takes over {} of memory (`compile_memory` in [guest])",
            limits.compile_memory
        )),
    };
    let time = || {
        CompileError::Limit(format!(
            "compiling it takes over {:?} of processor time (`compile_cpu` in [guest])",
            limits.compile_cpu
        ))
    };
    // A failed allocation aborts; some are reported as an error first.
    let out_of_memory =
        ["memory allocation of", "Cannot allocate memory", "out of memory"].iter().any(|text| words.contains(text));
    match (status.code(), status.signal()) {
        (Some(0), _) if !code.is_empty() => Ok(code),
        _ if out_of_memory => Err(memory()),
        (Some(compile_worker::INVALID), _) => Err(CompileError::Invalid(words)),
        (Some(compile_worker::UNABLE), _) => Err(CompileError::Host(format!("the compile worker failed: {words}"))),
        _ if words.contains("has overflowed its stack") => Err(too_deep()),
        (Some(compile_worker::PANICKED), _) => {
            tracing::error!(words, "the compile worker panicked; please report it, with the component");
            Err(CompileError::Bug)
        }
        (_, Some(SIGXCPU)) => Err(time()),
        (_, Some(SIGKILL)) => Err(CompileError::Host(
            "the compile worker was killed by somebody else, as the kernel does when the machine is out of memory".to_owned(),
        )),
        (_, Some(SIGSEGV)) => Err(too_deep()),
        // What it said may be anything.
        _ => {
            tracing::error!(%status, words, "the compile worker failed");
            Err(CompileError::Host(format!("the compile worker failed ({status})")))
        }
    }
}

fn too_deep() -> CompileError {
    CompileError::Limit("it is nested too deeply to compile".to_owned())
}

/// What this process may have of address space, and each of its children at most.
fn address_space() -> Option<u64> {
    getrlimit(Resource::As).maximum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a shell stand in for the worker.
    fn with_shell(script: &str, limits: &Limits) -> Result<Vec<u8>, CompileError> {
        let how = Compile::Worker { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        Compiler::new(how, limits).compile(b"wasm", limits)
    }

    #[test]
    fn a_worker_gets_the_bytes_and_its_limits_and_gives_the_code() {
        let limits = Limits::default();
        assert_eq!(with_shell("cat", &limits), Ok(b"wasm".to_vec()));
        assert_eq!(with_shell("printf \"$AMENDS_COMPILE_LIMITS $HOME\"", &limits), Ok(b"2147483648,60 ".to_vec()));
    }

    #[test]
    fn a_worker_that_takes_too_long_or_says_too_much_is_killed() {
        let mut limits = Limits { compile_wall: Duration::from_millis(50), ..Limits::default() };
        let Err(CompileError::Limit(text)) = with_shell("exec sleep 1000", &limits) else { panic!() };
        assert!(text.contains("50ms"), "{text}");
        limits = Limits { compile_output: ByteSize::kib(4), ..Limits::default() };
        let Err(CompileError::Limit(text)) = with_shell("exec cat /dev/zero", &limits) else { panic!() };
        assert!(text.contains("4.0 KiB"), "{text}");
        // Its talk is not kept beyond a limit either.
        let Err(CompileError::Host(text)) = with_shell("exec cat /dev/zero >&2", &limits) else { panic!() };
        assert!(text.len() < 8_192, "{}", text.len());
    }

    /// The limit of processor time ended a worker by signal 9, as the kernel does when memory is out: whoever ran out of memory was
    /// told to raise `compile_cpu`. Now time has its own signal.
    #[test]
    fn a_worker_that_somebody_killed_did_not_take_too_much_time() {
        let Err(CompileError::Host(text)) = with_shell("kill -KILL $$", &Limits::default()) else { panic!() };
        assert!(text.contains("out of memory") && !text.contains("compile_cpu"), "{text}");
    }

    /// The panic of a worker was the answer to a deploy, with the path of a source file on the machine that had built the host, and
    /// as the component's fault. The kind: words of which nobody knows what they say. They are in the log; the answer has none.
    #[test]
    fn c2_11_a_panic_of_the_worker_is_a_bug_of_the_host_and_its_words_are_not_shown() {
        let panic = "thread 'main' panicked at /build/wasmtime/src/compile.rs:1:2";
        assert_eq!(with_shell(&format!("echo \"{panic}\" >&2; exit 70"), &Limits::default()), Err(CompileError::Bug));
        for end in ["exit 101", "exit 1", "kill -ABRT $$"] {
            let Err(CompileError::Host(text)) = with_shell(&format!("echo \"{panic}\" >&2; {end}"), &Limits::default()) else {
                panic!("{end}")
            };
            assert!(!text.contains("panicked") && !text.contains("/build"), "{text}");
        }
        // A stack that is used up ends a program of Rust by an abort, and the component is nested too deeply.
        let end = with_shell("echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$", &Limits::default());
        assert_eq!(end, Err(too_deep()));
    }

    #[test]
    fn how_a_worker_ends_says_whose_fault_it_is() {
        let limits = Limits::default();
        assert_eq!(with_shell("echo bad bytes >&2; exit 65", &limits), Err(CompileError::Invalid("bad bytes".to_owned())));
        for (script, word) in [
            ("kill -XCPU $$", "processor time"),
            ("echo memory allocation of 8 bytes failed >&2; kill -ABRT $$", "memory"),
            ("kill -SEGV $$", "nested"),
        ] {
            let Err(CompileError::Limit(text)) = with_shell(script, &limits) else { panic!("{script}") };
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(
            with_shell("echo no room >&2; exit 71", &limits),
            Err(CompileError::Host("the compile worker failed: no room".to_owned()))
        );
        assert!(matches!(with_shell("exit 7", &limits), Err(CompileError::Host(_))));
        assert!(matches!(with_shell("exit 0", &limits), Err(CompileError::Host(_))));
        let missing = Compile::Worker { program: "/nonexistent/amends".into(), args: Vec::new() };
        let Err(CompileError::Host(text)) = Compiler::new(missing, &limits).compile(b"", &limits) else { panic!() };
        assert!(text.contains("/nonexistent/amends"), "{text}");
    }
}
