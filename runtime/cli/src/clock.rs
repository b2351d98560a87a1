//! The one clock of the command line.

use std::time::{SystemTime, UNIX_EPOCH};

use amends_wire::Time;
use jiff::tz::TimeZone;

use super::render::time::Now;

/// The moment and the place, for lists and journals.
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { at: Time::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)), zone: zone() }
}

/// The place, with the host's moment: how long something still lasts is a matter of the host's clock.
pub(crate) fn as_of(at: Time) -> Now {
    Now { at, zone: zone() }
}

fn zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}
