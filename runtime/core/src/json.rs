//! Where in a JSON text something is. What is found keeps its spelling: no number or string is read and written again.
//!
//! Text that is no JSON is survived: nothing is found in it.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

/// A member's name, borrowed where it has no escapes.
#[derive(PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value at an RFC 6901 pointer; the empty pointer is the whole text.
///
/// Of several members with one name it is the last, as for parsers that keep one.
pub(crate) fn find<'a>(text: &'a [u8], pointer: &str) -> Option<&'a [u8]> {
    let mut value: &RawValue = serde_json::from_slice(text).ok()?;
    if !pointer.is_empty() {
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            value = match value.get().as_bytes().first()? {
                b'{' => serde_json::from_str::<HashMap<Name, _>>(value.get()).ok()?.remove(&Name(token.into()))?,
                b'[' if token == "0" || !token.starts_with(['0', '+']) => {
                    *serde_json::from_str::<Vec<_>>(value.get()).ok()?.get(token.parse::<usize>().ok()?)?
                }
                _ => return None,
            };
        }
    }
    Some(value.get().as_bytes())
}

/// The items of an array, in order; none if the value is no array.
pub(crate) fn items(value: &[u8]) -> Option<Vec<&[u8]>> {
    let items: Vec<&RawValue> = serde_json::from_slice(value).ok()?;
    Some(items.into_iter().map(|item| item.get().as_bytes()).collect())
}

/// A string as it reads, or a number as it is spelled; none for what has no one spelling.
pub(crate) fn scalar(value: &[u8]) -> Option<String> {
    match value.first()? {
        b'"' => serde_json::from_slice(value).ok(),
        b'-' | b'0'..=b'9' => String::from_utf8(value.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    fn at(text: &str, pointer: &str) -> Option<String> {
        find(text.as_bytes(), pointer).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_pointer_finds_what_it_names_in_its_own_spelling() {
        let text = r#" {"a": [1.0, {"b/c": "x\"]"}, []], "~": null, "é": 1e2, "a\u0062": true} "#;
        assert_eq!(at(text, "/a/0").as_deref(), Some("1.0"));
        assert_eq!(at(text, "/a/1/b~1c").as_deref(), Some(r#""x\"]""#));
        assert_eq!(at(text, "/~0").as_deref(), Some("null"));
        assert_eq!(at(text, "/é").as_deref(), Some("1e2"));
        assert_eq!(at(text, "/ab").as_deref(), Some("true"));
        assert_eq!(at(text, "").as_deref(), Some(text.trim()));
        for nothing in ["/b", "/a/3", "/a/00", "/a/+1", "/a/x", "/~0/x", "a"] {
            assert_eq!(at(text, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn items_are_cut_at_their_commas() {
        let cut = |text: &str| items(text.as_bytes()).map(|items| items.len());
        assert_eq!(cut("[]"), Some(0));
        assert_eq!(cut("[ ]"), Some(0));
        assert_eq!(cut(r#"[1, "a,b]", [2,3], {"c":[4]} ]"#), Some(4));
        assert_eq!(cut("{}"), None);
    }

    #[test]
    fn a_key_is_a_string_as_it_reads_or_a_number_as_it_is_spelled() {
        let key = |text: &str| scalar(text.as_bytes());
        assert_eq!(key(r#""a\u00e9\n\ud83d\ude00""#).as_deref(), Some("aé\n😀"));
        assert_eq!(key("-1.50").as_deref(), Some("-1.50"));
        assert_eq!((key("true"), key("[1]"), key("null"), key("")), (None, None, None, None));
    }

    #[test]
    fn text_that_is_no_json_is_survived() {
        let deep = "[".repeat(100_000);
        for text in ["", "[", "[1", "[,", "{\"a\"", "{\"a\":", "{\"a\" 1}", "\"", "\"\\", "]", ":", "[1 2]", "{1}", deep.as_str()]
        {
            for pointer in ["", "/a", "/0", "/0/0"] {
                let _ = at(text, pointer);
            }
            let _ = (items(text.as_bytes()), scalar(text.as_bytes()));
        }
    }
}
