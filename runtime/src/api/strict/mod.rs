//! JSON that means the same to everybody: no duplicate keys, no depth without end, no number that a float would change.
//!
//! Owns the hash of a canonical input (RFC 8785). It must not know what the JSON is for.

mod number;

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

/// Deeper is refused: a recursive reader on either side must not run out of stack.
pub const DEPTH_MAX: usize = 64;

/// What is wrong with a JSON text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadJson(pub String);

/// Checks a text.
pub fn check(text: &[u8]) -> Result<(), BadJson> {
    parse(text).map(drop)
}

/// Checks a text and returns the SHA-256 of its canonical form: equal values have equal hashes.
pub fn hash(text: &[u8]) -> Result<[u8; 32], BadJson> {
    let node = parse(text)?;
    let mut canonical = Vec::with_capacity(text.len());
    node.write(&mut canonical).map_err(|error| BadJson(error.to_string()))?;
    Ok(Sha256::digest(canonical).into())
}

/// The hash of bytes that are not JSON. No canonical JSON text begins with the byte 0, so the two never meet.
pub fn hash_opaque(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn parse(text: &[u8]) -> Result<Node<'_>, BadJson> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let node = Seed(Place { parent: None, step: Step::Root, depth: 0 })
        .deserialize(&mut reader)
        .and_then(|node| reader.end().map(|()| node))
        .map_err(|error| BadJson(error.to_string()))?;
    number::all_survive(text)?;
    Ok(node)
}

/// A parsed text that borrows its strings where it can.
enum Node<'de> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'de, str>),
    List(Vec<Node<'de>>),
    Object(Vec<(Cow<'de, str>, Node<'de>)>),
}

impl Node<'_> {
    /// The canonical form of RFC 8785. Numbers and strings are written by others; what is ours is the order of keys.
    fn write(&self, into: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Null => into.extend_from_slice(b"null"),
            Self::Bool(value) => into.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(value) => match *value {
                // As most are: ECMAScript writes a whole number of less than 2^53 by its digits.
                whole if whole.trunc() == whole && whole.abs() < WHOLE_MAX => serde_json::to_writer(&mut *into, &(whole as i64))?,
                other => into.extend_from_slice(&serde_json_canonicalizer::to_vec(&other)?),
            },
            Self::Text(text) => serde_json::to_writer(&mut *into, text.as_ref())?,
            Self::List(items) => {
                into.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        into.push(b',');
                    }
                    item.write(into)?;
                }
                into.push(b']');
            }
            Self::Object(entries) => {
                let mut sorted: Vec<&(Cow<'_, str>, Node<'_>)> = entries.iter().collect();
                // By UTF-16, as the RFC says; for ASCII that is the order of the bytes.
                sorted.sort_unstable_by(|(a, _), (b, _)| match a.is_ascii() && b.is_ascii() {
                    true => a.as_bytes().cmp(b.as_bytes()),
                    false => a.encode_utf16().cmp(b.encode_utf16()),
                });
                into.push(b'{');
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    if at > 0 {
                        into.push(b',');
                    }
                    serde_json::to_writer(&mut *into, key.as_ref())?;
                    into.push(b':');
                    value.write(into)?;
                }
                into.push(b'}');
            }
        }
        Ok(())
    }
}

/// Below this every whole number is a 64-bit float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Where the parser stands; shown as a JSON pointer when something is wrong there.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    fn child(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step, depth: self.depth + 1 }
    }

    fn may_nest<E: de::Error>(&self) -> Result<(), E> {
        match self.depth < DEPTH_MAX {
            true => Ok(()),
            false => Err(E::custom(format_args!("nested deeper than {DEPTH_MAX} levels"))),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) => write!(f, "/{key}"),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

struct Seed<'a>(Place<'a>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }
    // Whether a number survives this is checked on its text, where nothing is lost yet.
    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value as f64))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        self.0.may_nest()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Seed(self.0.child(Step::Index(items.len()))))? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node<'de>, A::Error> {
        self.0.may_nest()?;
        let mut entries: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some(key) = object.next_key_seed(Key)? {
            let value = object.next_value_seed(Seed(self.0.child(Step::Key(&key))))?;
            entries.push((key, value));
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(de::Error::custom(format_args!("key `{}` twice in {}", pair[0], Where(&self.0)))),
            None => Ok(Node::Object(entries)),
        }
    }
}

struct Where<'a>(&'a Place<'a>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parent {
            None => f.write_str("the outermost object"),
            Some(_) => write!(f, "{}", self.0),
        }
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        check(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn equal_values_have_equal_hashes_whatever_their_spelling() {
        let hash = |text: &str| hash(text.as_bytes()).unwrap();
        assert_eq!(hash(r#"{"b":1.0,"a":"\u00e4"}"#), hash(" {\"a\":\"ä\", \"b\":1}\n"));
        assert_eq!(hash("100000000000000000000"), hash("1e20"));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":2}"#));
        assert_ne!(hash("[1,2]"), hash("[2,1]"));
        assert_ne!(super::hash(b"{}").unwrap(), hash_opaque(b"{}"));
    }

    /// The hash is kept in journals: it is that of the canonical form of RFC 8785, as the library writes it.
    #[test]
    fn the_canonical_form_is_that_of_the_rfc() {
        let texts = [
            r#"{"\ue000":1,"\ud83d\ude00":2,"b":[],"a":{},"\u0001":"\u0001\b\f\n\r\t\\\/\"\u007f\u20ac","aa":null,"A":true}"#,
            "[0,-0,-0.0,1.0,-1,1e2,9007199254740991,-9007199254740992,1e20,1e21,1e-6,1e-7,0.1,5e-324,1.7976931348623157e308]",
            r#"{"nested":{"z":[{"y":1,"x":[1,{"b":"","a":"\u00e4"}]}],"":false},"\u00f6":"x","o":"y"}"#,
        ];
        for text in texts {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let mut written = Vec::new();
            parse(text.as_bytes()).unwrap().write(&mut written).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }

    #[test]
    fn a_key_twice_is_refused_and_its_place_named() {
        assert_eq!(error(r#"{"a":1,"a":2}"#), "key `a` twice in the outermost object at line 1 column 13");
        assert_eq!(error(r#"{"items":[0,{"sku":1,"x":2,"\u0073ku":3}]}"#), "key `sku` twice in /items/1 at line 1 column 40");
    }

    #[test]
    fn depth_is_limited() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        check(nested(DEPTH_MAX).as_bytes()).unwrap();
        assert!(error(&nested(DEPTH_MAX + 1)).starts_with("nested deeper than 64 levels"));
        assert!(error(&nested(200_000)).starts_with("nested deeper than 64 levels"));
    }

    #[test]
    fn a_number_that_a_float_would_change_is_refused() {
        for good in ["0", "-0.0", "9007199254740992", "0.1", "1e300", "123456789.123456", "0.30000000000000004", "5e-324"] {
            check(good.as_bytes()).unwrap_or_else(|error| panic!("{good}: {error:?}"));
        }
        for bad in ["9007199254740993", "0.1000000000000000055", "12345678901234567890123", "1e-400", "1.7976931348623159e308"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(
            error("{\n \"amount\": 9007199254740993}"),
            "number 9007199254740993 does not survive a 64-bit float; send it as a string, at line 2 column 12"
        );
        check(br#""9007199254740993 \" 9007199254740993""#).unwrap();
    }

    #[test]
    fn malformed_text_is_refused_with_its_place() {
        for bad in ["", "{", "{'a':1}", "[1,]", "01", "nul", "\"\\ud800\"", "{} {}", "\u{feff}{}", "\"\u{1}\"", "NaN"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(check(b"\"\xff\"").is_err());
        assert_eq!(error("{} {}"), "trailing characters at line 1 column 4");
    }
}
