//! The values inside every answer: payloads as raw JSON, moments as RFC 3339.

use std::{borrow::Cow, fmt};

use amends_core::value::{Format, Instant, Payload};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::SchemaType},
};

/// One JSON value, kept as the text it came in. Bytes that are not JSON are `{"base64":"…"}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(pub Box<RawValue>);

impl Json {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<&Payload> for Json {
    fn from(payload: &Payload) -> Self {
        let text = match payload.format {
            Format::Json => str::from_utf8(&payload.bytes).ok().map(str::trim).map(Cow::Borrowed),
            Format::Bytes => None,
        };
        // Checked again, because a guest's word that this is JSON must not break an answer.
        let raw = text.and_then(|text| RawValue::from_string(text.into_owned()).ok());
        match raw.map_or_else(|| RawValue::from_string(format!("{{\"base64\":\"{}\"}}", base64(&payload.bytes))), Ok) {
            Ok(raw) => Self(raw),
            Err(_) => Self(RawValue::NULL.to_owned()),
        }
    }
}

impl PartialSchema for Json {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("any JSON value")).into()
    }
}

impl ToSchema for Json {}

/// A moment; on the wire `2026-01-01T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Instant);

impl Time {
    /// From milliseconds since 1970.
    pub fn from_ms(ms: u64) -> Self {
        Self(Instant(ms))
    }

    /// The moment for the calendar; the far future is clamped.
    pub fn timestamp(self) -> jiff::Timestamp {
        i64::try_from(self.0.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl From<Instant> for Time {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: jiff::fmt::temporal::DateTimePrinter = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
        f.write_str(&PRINTER.timestamp_to_string(&self.timestamp()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Self(Instant(u64::try_from(timestamp.as_millisecond()).unwrap_or(0))))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        use utoipa::openapi::{KnownFormat, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as RFC 4648 base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// The bytes of a padded base64 text; none if it is not one.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut word, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0u32);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        word = word << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    // Bits that belong to no byte are zero, or two texts would mean the same bytes.
    (word & ((1 << bits) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_everybody_else_writes() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(from_base64(coded).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["Zg", "Zg=", "Zh==", "Z===", "Zm9v!", "=Zg="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_read_back_as_written() {
        let time = Time::from_ms(1_767_225_600_120);
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2026-01-01T00:00:00.120Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time);
        assert!(Time::from_ms(u64::MAX).to_string().starts_with("9999"));
    }

    #[test]
    fn what_only_claims_to_be_json_is_shown_as_bytes() {
        assert_eq!(Json::from(&Payload::json(" {\"a\": 1} ")).as_str(), "{\"a\": 1}");
        assert_eq!(Json::from(&Payload::json("{oops")).as_str(), "{\"base64\":\"e29vcHM=\"}");
        assert_eq!(Json::from(&Payload::opaque("foo")).as_str(), "{\"base64\":\"Zm9v\"}");
    }
}
