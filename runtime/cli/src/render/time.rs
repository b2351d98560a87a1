//! Moments and durations as people say them.

use amends_wire::Time;
use jiff::{Timestamp, tz::TimeZone};

/// The moment and the place of the reader.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    /// The moment.
    pub(crate) at: Time,
    /// The place.
    pub(crate) zone: TimeZone,
}

impl Now {
    /// `12:00:00`; with the date if it is not today's; `14:00` for a full minute in `until`-phrases.
    pub(crate) fn clock(&self, time: Time) -> String {
        self.format(time, "%H:%M:%S")
    }

    /// As [`Now::clock`], without seconds when they are zero.
    pub(crate) fn clock_short(&self, time: Time) -> String {
        let full_minute = time.ms().is_multiple_of(60_000);
        self.format(time, if full_minute { "%H:%M" } else { "%H:%M:%S" })
    }

    /// `12:00:00.123`.
    pub(crate) fn clock_ms(&self, time: Time) -> String {
        self.format(time, "%H:%M:%S%.3f")
    }

    /// `in 58m`, or `now` when it is past.
    pub(crate) fn until(&self, time: Time) -> String {
        match time.since(self.at) {
            0..500 => "now".to_owned(),
            ms => format!("in {}", roughly(ms)),
        }
    }

    /// `5m ago`.
    pub(crate) fn ago(&self, time: Time) -> String {
        match self.at.since(time) {
            0..500 => "just now".to_owned(),
            ms => format!("{} ago", roughly(ms)),
        }
    }

    fn format(&self, time: Time, clock: &str) -> String {
        let there = timestamp(time).to_zoned(self.zone.clone());
        let today = timestamp(self.at).to_zoned(self.zone.clone()).date();
        if there.date() == today {
            there.strftime(clock).to_string()
        } else {
            format!("{} {}", there.date(), there.strftime(clock))
        }
    }
}

/// The moment for the calendar; what is later than the calendar's end is its end.
fn timestamp(time: Time) -> Timestamp {
    i64::try_from(time.ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// How long something took: `41ms`, `1.3s`, `2m 5s`, `3h 5m`, `2d 3h`.
pub(crate) fn duration_text(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1_000 => format!("{ms}ms"),
        // Tenths, cut and not rounded: 9.99 s must not read as 10 s when it is the deadline that matters.
        1_000..60_000 if ms % 1_000 < 100 => format!("{seconds}s"),
        1_000..60_000 => format!("{seconds}.{}s", ms % 1_000 / 100),
        60_000..3_600_000 => two(minutes, "m", seconds % 60, "s"),
        3_600_000..86_400_000 => two(hours, "h", minutes % 60, "m"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// The same to one unit, or two from an hour up.
fn roughly(ms: u64) -> String {
    match ms {
        0..59_500 => format!("{}s", (ms + 500) / 1_000),
        59_500..60_000 => "1m".to_owned(),
        60_000..3_570_000 => format!("{}m", (ms + 30_000) / 60_000),
        // Rounded to minutes, so that an hour less a second is an hour.
        _ => duration_text((ms + 30_000) / 60_000 * 60_000),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit} {small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_long_as_they_need_to_be() {
        let printed: Vec<String> =
            [0, 41, 1_000, 1_349, 59_999, 60_000, 125_000, 3_600_000, 11_100_000, 183_600_000].map(duration_text).into();
        assert_eq!(printed, ["0ms", "41ms", "1s", "1.3s", "59.9s", "1m", "2m 5s", "1h", "3h 5m", "2d 3h"]);
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let now = Now { at: Time::from_ms(1_767_268_800_000), zone: TimeZone::UTC };
        assert_eq!(now.clock(Time::from_ms(1_767_268_801_000)), "12:00:01");
        assert_eq!(now.clock_short(Time::from_ms(1_767_276_000_000)), "14:00");
        assert_eq!(now.clock_short(Time::from_ms(1_767_355_200_000)), "2026-01-02 12:00");
        assert_eq!(now.until(Time::from_ms(1_767_272_330_000)), "in 59m");
        assert_eq!(now.until(Time::from_ms(1_767_272_398_000)), "in 1h");
        assert_eq!(now.until(Time::from_ms(0)), "now");
        assert_eq!(now.ago(Time::from_ms(1_767_268_500_000)), "5m ago");
    }
}
