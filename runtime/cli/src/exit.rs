//! The exit codes, on which scripts rely.

use std::{fmt, process::ExitCode};

use amends_wire::saga::Status;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success.
    Fine = 0,
    /// The host refused, or the command failed: a repetition fails again.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// The saga ended compensated.
    Compensated = 3,
    /// The saga is stuck.
    Stuck = 4,
    /// The saga has not ended yet.
    Unfinished = 5,
    /// The saga was abandoned.
    Abandoned = 6,
    /// No host answers, or it cannot accept the request now: a repetition may succeed later.
    TryAgain = 7,
    /// `serve`: the storage failed.
    StorageFailed = 74,
    /// `serve`: another host uses the data folder.
    DataInUse = 75,
    /// `serve`: another process listens on the address.
    AddressInUse = 76,
}

/// The text of `--help`.
pub const HELP: &str = "\
Exit codes:
  0 success
  1 the host refused, or the command failed; with --all, the verb did not apply to some sagas;
    import refused some lines, or publish --batch some events
  2 wrong usage
  3 the saga is compensated
  4 the saga is stuck
  5 the saga has not ended yet
  6 the saga was abandoned
  7 no host answers, or it cannot accept the request now: try again later
With --json, an error is one JSON object on stderr, its last line.";

impl Exit {
    /// Of a command that waited for a saga.
    pub fn of(status: Status) -> Self {
        match status {
            Status::Completed => Self::Fine,
            Status::Compensated => Self::Compensated,
            Status::Stuck => Self::Stuck,
            Status::Abandoned => Self::Abandoned,
            Status::Running | Status::Waiting | Status::Compensating => Self::Unfinished,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Arguments that the parser accepts and the command cannot use.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Why a host cannot go on. Each has an exit code of its own.
#[derive(Debug)]
pub enum Fatal {
    /// 74: the host acknowledges nothing any more.
    StorageFailed(String),
    /// 75: another host uses the folder; names its process.
    DataInUse(String),
    /// 76: another process uses the address; names it.
    AddressInUse(String),
    /// 2: the folder is not a data folder, and is not changed.
    NotOurs(String),
    /// 1: anything else.
    Other(String),
}

impl Fatal {
    /// Its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::StorageFailed(_) => Exit::StorageFailed,
            Self::DataInUse(_) => Exit::DataInUse,
            Self::AddressInUse(_) => Exit::AddressInUse,
            Self::NotOurs(_) => Exit::Usage,
            Self::Other(_) => Exit::Failed,
        }
    }

    /// For machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::StorageFailed(_) => "storage_failed",
            Self::DataInUse(_) => "data_in_use",
            Self::AddressInUse(_) => "address_in_use",
            Self::NotOurs(_) => "not_ours",
            Self::Other(_) => "failed",
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorageFailed(what)
            | Self::DataInUse(what)
            | Self::AddressInUse(what)
            | Self::NotOurs(what)
            | Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fatal {}
