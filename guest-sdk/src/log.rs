//! Lines for the host's log. The host adds module, saga, step and attempt, and keeps 64 KiB of an attempt by default.
//!
//! ```
//! # use amends_sdk::testing::given;
//! # use amends_sdk::{Saga, Step};
//! # let step = Step::retriable("count", |seats: u32, _| {
//! use amends_sdk::log;
//!
//! log::info!("{seats} seats left");
//! # Ok(()) });
//! # assert_eq!(given(Saga::new("s").step(step)).when(3).logs(), ["info 3 seats left"]);
//! ```

use std::fmt;

use crate::host;

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step of the code.
    Trace,
    /// Details to find a fault.
    Debug,
    /// Normal progress.
    Info,
    /// Something unexpected.
    Warn,
    /// A failure.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        })
    }
}

/// Writes a line.
pub fn write(level: Level, message: &str) {
    host::log(level, message);
}

#[doc(inline)]
pub use crate::{__log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn};

/// Writes a line at level trace, with the arguments of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($arg)+)) };
}

/// Writes a line at level debug, with the arguments of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)+)) };
}

/// Writes a line at level info, with the arguments of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)+)) };
}

/// Writes a line at level warn, with the arguments of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)+)) };
}

/// Writes a line at level error, with the arguments of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)+)) };
}
