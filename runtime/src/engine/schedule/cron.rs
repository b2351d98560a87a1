//! Cron expressions with a time zone: which moments they name. Pure: the moment to look from is an argument.
//!
//! `croner` reads and searches them, as the Open Cron Pattern Specification has it: five fields, names, `L`, `W` and `#`, and of two
//! days that are both spelled out either. Where clocks are put forward or back, it matters what an expression says of the hour:
//!
//! - One minute of one hour is a time of day, which happens once a day: one that is left out happens as the gap ends, and one that
//!   is there twice happens the first time.
//! - Any other expression counts time as it passes: what is left out does not happen, and what is there twice happens twice.
//!
//! Zones come from the machine's database, which its operator keeps up to date, and from one in this binary where it has none.

use std::fmt;

use amends_core::Instant;
use croner::{
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::engine::refusal::RefusalCode;

/// A parsed expression in its zone.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadCron {
    /// It is no cron expression: why.
    Expression(String),
    /// It is one, and names no day that exists.
    NeverFires,
    /// There is no such time zone; the one that was perhaps meant.
    UnknownZone(Option<String>),
}

impl BadCron {
    /// As it is told to machines.
    pub(crate) fn code(&self) -> RefusalCode {
        match self {
            Self::Expression(_) => RefusalCode::BadCron,
            Self::NeverFires => RefusalCode::NeverFires,
            Self::UnknownZone(_) => RefusalCode::UnknownZone,
        }
    }
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

/// The longest name of a zone has 32 bytes. A name is held against all of them, to find the one that was meant.
const ZONE_BYTES_MAX: usize = 64;

impl Cron {
    /// Reads an expression that somebody gives, and refuses one that never fires.
    ///
    /// That one is searched for thousands of years, which takes some tens of milliseconds.
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Self, BadCron> {
        let cron = Self::read(expression, zone)?;
        cron.after(Instant(0)).map(|_| cron).ok_or(BadCron::NeverFires)
    }

    /// Reads an expression of five fields, or a name as `@daily`, in an IANA time zone. It may never fire.
    pub(crate) fn read(expression: &str, zone: &str) -> Result<Self, BadCron> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(BadCron::Expression(format!("it is longer than {EXPRESSION_BYTES_MAX} bytes")));
        }
        if zone.len() > ZONE_BYTES_MAX {
            return Err(BadCron::UnknownZone(None));
        }
        let zone = TimeZone::get(zone).map_err(|_| BadCron::UnknownZone(nearest_zone(zone)))?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(expression).map_err(|error| BadCron::Expression(told(&error)))?;
        Ok(Self { pattern, zone })
    }

    /// The zone's name as its database spells it.
    pub(crate) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first moment after this one; none only at the end of the calendar.
    pub(crate) fn after(&self, moment: Instant) -> Option<Instant> {
        let from = Timestamp::from_millisecond(i64::try_from(moment.0).ok()?).ok()?;
        let next = self.pattern.find_next_occurrence(&from.to_zoned(self.zone.clone()), false).ok()?;
        let next = u64::try_from(next.timestamp().as_millisecond()).ok().map(Instant)?;
        // Whatever the library finds: what is not ahead would be due for ever.
        Some(next).filter(|next| *next > moment)
    }
}

/// The library's words without its names for things.
fn told(error: &CronError) -> String {
    let text = match error {
        CronError::EmptyPattern => "it is empty",
        CronError::InvalidPattern(_) => "it needs five fields: minute, hour, day of month, month and day of week",
        CronError::IllegalCharacters(why) | CronError::ComponentError(why) => why,
        CronError::InvalidDate | CronError::InvalidTime | CronError::TimeSearchLimitExceeded => "it names no moment",
    };
    let text = text.trim_end_matches('.').replace("CronPattern", "it");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The name that is most like this one, if any is.
fn nearest_zone(name: &str) -> Option<String> {
    let known = jiff::tz::db().available().map(|known| known.to_string());
    let like = |known: String| (strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase()), known);
    known.map(like).filter(|(alike, _)| *alike > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
