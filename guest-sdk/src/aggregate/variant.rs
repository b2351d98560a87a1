//! What a variant of an enum holds, as JSON. Its name is not part of it: the host has that beside the data.

use std::fmt;

use serde::de::value::U64Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, EnumAccess, IgnoredAny, IntoDeserializer, MapAccess, VariantAccess, Visitor};
use serde::{Deserializer, Serialize, de, forward_to_deserialize_any};
use serde_json::de::StrRead;

/// What the variant holds; `null` if it holds nothing.
///
/// The derives allow only serde's own form of enums, `"Variant"` or `{"Variant":…}`, and the text is cut out of that: it keeps
/// the order of the fields, and every number as serde wrote it.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(pair) => after_name(pair).map(str::to_owned).ok_or_else(|| format!("`{text}` is not serde's form of an enum")),
        None => Ok("null".to_owned()),
    }
}

/// What follows the name and the colon.
fn after_name(pair: &str) -> Option<&str> {
    let mut names = serde_json::Deserializer::from_str(pair).into_iter::<String>();
    names.next()?.ok()?;
    pair.get(names.byte_offset()..)?.strip_prefix(':')
}

/// The variant of this number, counted from 0, with what it holds.
pub(crate) fn read<T: DeserializeOwned>(index: usize, data: &str) -> serde_json::Result<T> {
    read_with(index, data, Nothing::Is)
}

/// The same of a command: one that holds nothing takes fields that it does not know, as one with fields does. A saga sends all of
/// its commands its input.
pub(crate) fn read_command<T: DeserializeOwned>(index: usize, data: &str) -> serde_json::Result<T> {
    read_with(index, data, Nothing::IsTaken)
}

fn read_with<T: DeserializeOwned>(index: usize, data: &str, nothing: Nothing) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(data);
    let value = T::deserialize(Variant { index, nothing, json: &mut json })?;
    json.end()?;
    Ok(value)
}

/// An enum whose variant is known, before what it holds.
struct Variant<'a, 'de> {
    index: usize,
    nothing: Nothing,
    json: &'a mut serde_json::Deserializer<StrRead<'de>>,
}

impl<'de> Deserializer<'de> for Variant<'_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_enum<V: Visitor<'de>>(self, _: &str, _: &[&str], visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> serde_json::Result<V::Value> {
        Err(de::Error::custom("this type does not read itself as an enum, as serde derives it"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> serde_json::Result<(V::Value, Self)> {
        // By number and not by name: what serde calls the variant does not matter.
        let index: U64Deserializer<serde_json::Error> = (self.index as u64).into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> serde_json::Result<()> {
        self.json.deserialize_any(self.nothing)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> serde_json::Result<T::Value> {
        seed.deserialize(self.json)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> serde_json::Result<V::Value> {
        self.json.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> serde_json::Result<V::Value> {
        self.json.deserialize_map(visitor)
    }
}

/// What a variant without fields holds.
#[derive(Clone, Copy)]
enum Nothing {
    /// Null or an empty object.
    Is,
    /// Null or any object.
    IsTaken,
}

impl<'de> Visitor<'de> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Nothing::Is => "null or an empty object",
            Nothing::IsTaken => "null or an object",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match (self, map.next_key::<String>()?) {
            (_, None) => Ok(()),
            (Nothing::IsTaken, Some(_)) => {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
            (Nothing::Is, Some(field)) => {
                Err(de::Error::custom(format_args!("unexpected field `{field}`, expected null or an empty object")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Inner {
        name: String,
    }

    #[derive(Serialize, Deserialize)]
    enum Each {
        Unit,
        #[serde(rename_all = "camelCase")]
        Struct {
            z_first: u64,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            and_second: Option<f64>,
        },
        Newtype(Inner),
        Optional(Option<u8>),
        Pair(u8, String),
        #[serde(rename = "odd\"},:{ name")]
        Odd {
            text: String,
        },
        Flat {
            id: u8,
            #[serde(flatten)]
            inner: Inner,
        },
        #[serde(alias = "former")]
        Empty {},
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    enum Strict {
        Only { known: u8 },
    }

    /// What comes back after reading and writing, or why it is not read.
    fn again(index: usize, data: &str) -> String {
        match read::<Each>(index, data) {
            Ok(value) => write(&value).unwrap(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_variant_is_what_it_holds() {
        let same = [
            (0, "null"),
            (1, r#"{"zFirst":18446744073709551615,"andSecond":0.1}"#),
            (1, r#"{"zFirst":1}"#),
            (2, r#"{"name":"}\":{"}"#),
            (3, "7"),
            (3, "null"),
            (4, r#"[7,"seven"]"#),
            (5, r#"{"text":"{\"a\":1}"}"#),
            (6, r#"{"id":1,"name":"flat"}"#),
            (7, "{}"),
        ];
        for (index, data) in same {
            assert_eq!(again(index, data), data);
        }
        assert_eq!(again(0, "{}"), "null");
        assert_eq!(again(2, r#"{ "name" : "ada", "unknown": 1 }"#), r#"{"name":"ada"}"#);
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place() {
        assert_eq!(again(1, "{}"), "error: missing field `zFirst` at line 1 column 2");
        assert_eq!(again(1, r#"{"zFirst":"1"}"#), "error: invalid type: string \"1\", expected u64 at line 1 column 13");
        let strict = read::<Strict>(0, r#"{"known":1,"other":2}"#).err().unwrap().to_string();
        assert_eq!(strict, "unknown field `other`, expected `known` at line 1 column 18");
        assert_eq!(again(1, "[1]"), "error: invalid type: sequence, expected struct variant Each::Struct at line 1 column 0");
        assert_eq!(again(0, r#"{"a":1}"#), "error: unexpected field `a`, expected null or an empty object at line 1 column 4");
        assert_eq!(again(0, "7"), "error: invalid type: integer `7`, expected null or an empty object at line 1 column 1");
        assert_eq!(again(0, "null null"), "error: trailing characters at line 1 column 6");
        assert!(again(8, "null").starts_with("error: invalid value: integer `8`, expected variant index 0 <= i < 8"));
    }
}
