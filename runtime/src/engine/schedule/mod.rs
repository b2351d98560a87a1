//! Schedules: sagas that are started at a time, after a delay, or by a cron expression.
//!
//! A schedule as the fold of its stream, and what is to be done with it at a moment, is the core's.
//!
//! - `calendar`: which moments a schedule names; `cron`: which an expression names; both pure
//! - [`check`]: what can be said against one without knowing what there is
//! - [`request`]: what may be asked of one; `requests`: what it means
//! - `firing`: what becomes of one whose time has come
//! - `kept`: its row, its records; [`recover`]: start-up
//! - [`look`]: one as it is shown

pub(crate) mod cron;

pub(crate) mod request;

mod calendar;

pub(crate) mod check;

mod kept;

mod requests;

mod firing;

pub(crate) mod recover;

pub(crate) mod look;

pub(crate) use self::kept::{Held, Schedules};

use amends_core::id::Namespace;

use crate::journal::{StreamId, StreamKind};

/// Which schedule: names are unique in a namespace.
pub(crate) type ScheduleKey = (Namespace, String);

/// The name of a schedule's stream.
pub(crate) fn stream(key: &ScheduleKey) -> StreamId {
    StreamId { namespace: key.0.clone(), kind: StreamKind::Schedule, id: key.1.clone() }
}

/// The longest jitter: what comes later than an hour is another schedule.
pub(crate) const JITTER_MS_MAX: u64 = 3_600_000;

/// The catch-up window when none is asked for.
pub const CATCH_UP_MS: u64 = 3_600_000;

/// The shortest and the longest catch-up window. A host that is busy, or starts again, takes seconds; after a month nobody means
/// the moment any more.
pub(crate) const CATCH_UP_MS_RANGE: std::ops::RangeInclusive<u64> = 10_000..=31 * 86_400_000;
