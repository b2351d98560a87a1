//! The C functions through which each module would link most of wasi-libc: to report a panic, `std` calls `write`, and asks
//! `getenv` whether to print a backtrace.
//!
//! In wasi-libc the first opens a table of files, and the second reads the environment. Together they import a dozen interfaces of
//! WASI, through an adapter if `cargo component` makes the component, and the host would set them up at every attempt. A module has
//! neither files nor an environment, so the functions below do the same without them.
//!
//! The linker takes a function of libc only where nothing else defines it. If a later `std` calls other functions, they come from
//! libc with their imports, and a module works as it would without this file. A file or a clock that a module uses is imported too.

#![allow(unsafe_code, reason = "functions with the names and the types of C's")]

use std::ffi::{c_char, c_int};
use std::{ptr, slice};

use wasip2::cli::{stderr, stdout};

/// The most that `blocking-write-and-flush` takes at once.
const WRITE_BYTES_MAX: usize = 4096;

/// Writes to standard output or standard error; a module cannot open another file.
#[unsafe(no_mangle)]
extern "C" fn write(file: c_int, bytes: *const u8, len: usize) -> isize {
    let stream = match file {
        1 => stdout::get_stdout(),
        2 => stderr::get_stderr(),
        _ => return -1,
    };
    let len = len.min(WRITE_BYTES_MAX);
    // SAFETY: `write` is called with the address of at least `len` bytes.
    let bytes = unsafe { slice::from_raw_parts(bytes, len) };
    stream.blocking_write_and_flush(bytes).map_or(-1, |()| len as isize)
}

/// No variable is set: the host passes none, and `setenv` adds none.
#[unsafe(no_mangle)]
extern "C" fn getenv(_: *const c_char) -> *const c_char {
    ptr::null()
}

/// libc's would succeed, and `getenv` would not find the variable.
#[unsafe(no_mangle)]
extern "C" fn setenv(_: *const c_char, _: *const c_char, _: c_int) -> c_int {
    panic!("a module has no environment, so it cannot set a variable")
}
