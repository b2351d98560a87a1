//! Cron expressions with a time zone: which moments they name. Pure: the moment to look from is an argument.
//!
//! Where clocks are put forward or back, it matters what an expression says of the hour:
//!
//! - Hours that begin with `*` count hours as they pass: the hour that is left out does not happen, and the one that is there twice
//!   happens twice.
//! - Any other hours are times of day, which happen once a day: one that is left out happens as the gap ends, and one that is there
//!   twice happens the first time.
//!
//! Zones come from the machine's database, which its operator keeps up to date, and from one in this binary where it has none.

use std::fmt;

use amends_core::Instant;
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::field::{self, Field};

/// A parsed expression in its zone.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    zone: TimeZone,
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadCron {
    /// It is no cron expression: what is wrong with which field.
    Expression(String),
    /// It is one, and names no day that exists.
    NeverFires,
    /// There is no such time zone; the one that was perhaps meant.
    UnknownZone(Option<String>),
}

impl fmt::Display for BadCron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expression(why) => f.write_str(why),
            Self::NeverFires => f.write_str("it names a day that no month has"),
            Self::UnknownZone(_) => f.write_str("there is no such time zone"),
        }
    }
}

/// Longer ones are no schedule that a person can read.
const EXPRESSION_BYTES_MAX: usize = 255;

/// Years after which a day that exists has come: the 29th of February is on a given weekday every 28 years, and every 40 where a
/// century has no leap year.
const YEARS_MAX: i16 = 41;

impl Cron {
    /// Reads an expression of five fields, or a name as `@daily`, in an IANA time zone.
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Self, BadCron> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(BadCron::Expression(format!("it is longer than {EXPRESSION_BYTES_MAX} bytes")));
        }
        let zone = TimeZone::get(zone).map_err(|_| BadCron::UnknownZone(nearest_zone(zone)))?;
        let [minutes, hours, days, months, weekdays] = field::parse(expression).map_err(BadCron::Expression)?;
        let cron = Self { minutes, hours, days, months, weekdays, zone };
        match cron.day_from(jiff::civil::date(2000, 1, 1)) {
            Some(_) => Ok(cron),
            None => Err(BadCron::NeverFires),
        }
    }

    /// The zone's name as its database spells it.
    pub(crate) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first moment after this one; none only at the end of the calendar.
    pub(crate) fn after(&self, moment: Instant) -> Option<Instant> {
        let moment = Timestamp::from_millisecond(i64::try_from(moment.0).ok()?).ok()?;
        let next = if self.hours.begins_with_star { self.after_as_it_passes(moment) } else { self.after_once_a_day(moment) };
        u64::try_from(next?.as_millisecond()).ok().map(Instant)
    }

    /// Walks from change to change of the clock, between which hours pass as they are called.
    fn after_as_it_passes(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut from = moment.checked_add(1.millisecond()).ok()?;
        loop {
            let offset = self.zone.to_offset(from);
            let next = offset.to_timestamp(self.from(offset.to_datetime(from))?).ok()?;
            match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= next => from = change.timestamp(),
                _ => return Some(next),
            }
        }
    }

    /// Later times of day are later moments, or the same one at the end of a gap.
    fn after_once_a_day(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut from = self.zone.to_datetime(moment);
        loop {
            let time = self.from(from)?;
            let next = self.first_at(time)?;
            if next > moment {
                return Some(next);
            }
            from = time.checked_add(1.minute()).ok()?;
        }
    }

    /// The first moment at which a clock on the wall shows this time or a later one.
    fn first_at(&self, time: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(time).ok()
            }
            AmbiguousOffset::Gap { before, .. } => {
                let in_it = before.to_timestamp(time).ok()?.checked_add(1.second()).ok()?;
                self.zone.preceding(in_it).next().map(|change| change.timestamp())
            }
        }
    }

    /// The first time at or after this one, on a clock that is never put forward or back.
    fn from(&self, time: DateTime) -> Option<DateTime> {
        let second_up = time.second() > 0 || time.subsec_nanosecond() > 0;
        let time = if second_up { time.checked_add(1.minute()).ok()? } else { time };
        let (hour, minute) = (time.hour().unsigned_abs(), time.minute().unsigned_abs());
        let day = self.day_from(time.date())?;
        let today = if day == time.date() { self.time_from(hour, minute) } else { self.time_from(0, 0) };
        match today {
            Some((hour, minute)) => Some(day.at(hour, minute, 0, 0)),
            None => {
                let (hour, minute) = self.time_from(0, 0)?;
                Some(self.day_from(day.tomorrow().ok()?)?.at(hour, minute, 0, 0))
            }
        }
    }

    fn time_from(&self, hour: u8, minute: u8) -> Option<(i8, i8)> {
        let same_hour = self.hours.has(hour).then(|| self.minutes.from(minute)).flatten().map(|minute| (hour, minute));
        let (hour, minute) = same_hour.or_else(|| Some((self.hours.from(hour + 1)?, self.minutes.from(0)?)))?;
        Some((hour.cast_signed(), minute.cast_signed()))
    }

    fn day_from(&self, mut day: Date) -> Option<Date> {
        let last_year = day.year().saturating_add(YEARS_MAX);
        while day.year() <= last_year {
            if !self.months.has(day.month().unsigned_abs()) {
                day = day.last_of_month().tomorrow().ok()?;
            } else if self.has_day(day) {
                return Some(day);
            } else {
                day = day.tomorrow().ok()?;
            }
        }
        None
    }

    /// As every cron has it: two days that are both spelled out are alternatives, and else both must fit.
    fn has_day(&self, day: Date) -> bool {
        let of_month = self.days.has(day.day().unsigned_abs());
        let of_week = self.weekdays.has(day.weekday().to_sunday_zero_offset().unsigned_abs());
        match self.days.begins_with_star || self.weekdays.begins_with_star {
            true => of_month && of_week,
            false => of_month || of_week,
        }
    }
}

/// The name that is most like this one, if any is.
fn nearest_zone(name: &str) -> Option<String> {
    let known = jiff::tz::db().available().map(|known| known.to_string());
    let like = |known: String| (strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase()), known);
    known.map(like).filter(|(alike, _)| *alike > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
