//! Moments as RFC 3339 text.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type, schema::SchemaType},
};

const DAY_MS: u64 = 86_400_000;

/// The last millisecond of the year 9999, the last year that RFC 3339 can write.
pub(crate) const LAST_MS: u64 = 253_402_300_799_999;

/// A moment in milliseconds since 1970; in JSON `2026-01-01T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// From milliseconds since 1970.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0
    }

    /// The milliseconds since 1970 of a text, negative before.
    pub(crate) fn ms_of(text: &str) -> Result<i64, BadTime> {
        let mut rest = Digits(text.as_bytes());
        rest.time().filter(|_| rest.0.is_empty()).ok_or(BadTime)
    }

    /// The milliseconds between `earlier` and this moment; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.min(LAST_MS);
        let (days, in_day) = (ms / DAY_MS, ms % DAY_MS);
        let (year, month, day) = date_of(i64::try_from(days).unwrap_or(i64::MAX));
        let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", in_day % 1_000)
    }
}

/// The text is not an RFC 3339 date and time with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTime;

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00")
    }
}

impl std::error::Error for BadTime {}

impl FromStr for Time {
    type Err = BadTime;

    /// Reads RFC 3339; seconds may be left out. Times before 1970 become 1970.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        Ok(Self(u64::try_from(Self::ms_of(text)?).unwrap_or(0)))
    }
}

/// The part of a text that is not read yet.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// Milliseconds since 1970, negative before.
    fn time(&mut self) -> Option<i64> {
        let (year, month, day) = (self.number(4)?, self.after(b"-", 2)?, self.after(b"-", 2)?);
        let (hour, minute) = (self.after(b"Tt ", 2)?, self.after(b":", 2)?);
        let second = if self.0.first() == Some(&b':') { self.after(b":", 2)? } else { 0 };
        let fraction_ms = if self.0.first() == Some(&b'.') { self.fraction_ms()? } else { 0 };
        let offset_minutes = self.offset_minutes()?;
        let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        // Second 60 is a leap second, which Unix time does not count: it is read as the second before.
        if !is_date || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let minutes = days_since_1970(year, month, day) * 1_440 + hour * 60 + minute - offset_minutes;
        Some((minutes * 60 + second.min(59)) * 1_000 + fraction_ms)
    }

    /// So many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    }

    /// One of these characters, then so many digits.
    fn after(&mut self, separators: &[u8], digits: usize) -> Option<i64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        separators.contains(first).then(|| self.number(digits))?
    }

    /// A point and digits, of which those beyond milliseconds are dropped.
    fn fraction_ms(&mut self) -> Option<i64> {
        let digits = self.0[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0[1..].split_at_checked(digits)?;
        self.0 = rest;
        let padded = fraction.iter().copied().chain([b'0'; 3]).take(3);
        (digits > 0).then(|| padded.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')))
    }

    /// `Z`, or hours and minutes east of Greenwich.
    fn offset_minutes(&mut self) -> Option<i64> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match sign {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (self.number(2)?, self.after(b":", 2)?);
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this date. Years begin in March here, so that the leap day is the last day of a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The date so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // 146,097 days are 400 years.
    let (era, day_of_era) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_after_march = (5 * day_of_year + 2) / 153;
    let month = (months_after_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * months_after_march + 2) / 5 + 1)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("a moment, as RFC 3339 writes it"))
            .into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calendar is our own, so that clients need no crate for it. Here it is held against one that many use.
    #[test]
    fn times_are_written_and_read_as_jiff_does() {
        let days = (0..LAST_MS / DAY_MS - 2).step_by(97).chain(0..1_000).chain(10_950..11_100);
        for day in days {
            let ms = day * DAY_MS + day * 7_919 % DAY_MS;
            let theirs = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            let ours = Time::from_ms(ms).to_string();
            assert_eq!(ours, format!("{theirs:.3}"));
            assert_eq!(ours.parse(), Ok(Time::from_ms(ms)));
        }
    }

    #[test]
    fn what_others_write_is_read() {
        for text in [
            "2026-11-22T03:00:00+01:00",
            "2026-11-22T03:00+01:00",
            "2026-11-22t02:00:00.000000001z",
            "2026-11-22 02:00:00Z",
            "2026-11-21T20:30:00.0-05:30",
        ] {
            assert_eq!(text.parse::<Time>().map(|time| time.to_string()).as_deref(), Ok("2026-11-22T02:00:00.000Z"), "{text}");
        }
        assert_eq!("2016-12-31T23:59:60Z".parse::<Time>().map(Time::ms), Ok(1_483_228_799_000));
        assert_eq!("1969-12-31T23:59:59Z".parse(), Ok(Time::from_ms(0)));
        assert_eq!("2024-02-29T00:00:00.5Z".parse::<Time>().map(Time::ms), Ok(1_709_164_800_500));
        assert!(Time::from_ms(u64::MAX).to_string().starts_with("9999-12-31"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T03:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T23:60:00Z",
            "2026-11-22T23:00:61Z",
            "2026-11-22T23:00:00.Z",
            "2026-11-22T23:00:00+24:00",
            "2026-11-22T23:00:00+1:00",
            "2026-11-22T23:00:00Zulu",
            "+026-11-22T23:00:00Z",
            "2026-11-2\u{661}T23:00:00Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(BadTime), "{text}");
        }
    }
}
