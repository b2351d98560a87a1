//! Where in a JSON text something is, which key a value makes, and whether two texts say the same.
//!
//! What is found keeps its spelling: no number or string is read and written again. A key has one spelling, however its value was
//! written. Text that is not JSON is survived: nothing is found in it.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, HashMap},
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// A member's name, borrowed where it has no escapes.
#[derive(PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The value at an RFC 6901 pointer; the empty pointer is the whole text.
///
/// Of several members with one name it is the last, as for parsers that keep one.
pub(crate) fn find<'a>(text: &'a [u8], pointer: &str) -> Option<&'a [u8]> {
    let mut value: &RawValue = serde_json::from_slice(text).ok()?;
    let mut rest = pointer;
    while !rest.is_empty() {
        let (token, after) = first_token(rest)?;
        value = Inside::of(value)?.at(&token)?;
        rest = after;
    }
    Some(value.get().as_bytes())
}

/// The values at these pointers, in their order. However many there are, the text and each object and list on the way are read once.
pub(crate) fn find_all<'a>(text: &'a [u8], pointers: &[&str]) -> Vec<Option<&'a [u8]>> {
    let mut found = vec![None; pointers.len()];
    let whole: Option<&RawValue> = serde_json::from_slice(text).ok();
    // What is to be found in which values: whose pointer it is, and the rest of it. No recursion: who writes a pointer says how deep
    // it goes.
    let mut open: Vec<(&RawValue, Vec<(usize, &str)>)> = Vec::new();
    open.extend(whole.map(|whole| (whole, pointers.iter().copied().enumerate().collect())));
    while let Some((value, wanted)) = open.pop() {
        let mut by_token: BTreeMap<Cow<'_, str>, Vec<(usize, &str)>> = BTreeMap::new();
        for (index, rest) in wanted {
            match first_token(rest) {
                Some((token, after)) => by_token.entry(token).or_default().push((index, after)),
                None if rest.is_empty() => found[index] = Some(value.get().as_bytes()),
                None => {}
            }
        }
        if let Some(inside) = (!by_token.is_empty()).then(|| Inside::of(value)).flatten() {
            open.extend(by_token.into_iter().filter_map(|(token, wanted)| Some((inside.at(&token)?, wanted))));
        }
    }
    found
}

/// The first token of a pointer as a name reads, and the rest of the pointer.
fn first_token(pointer: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = pointer.strip_prefix('/')?;
    let (token, rest) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
    let token = if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() };
    Some((token, rest))
}

/// What is in a value.
enum Inside<'a> {
    Object(HashMap<Name<'a>, &'a RawValue>),
    List(Vec<&'a RawValue>),
}

impl<'a> Inside<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        match value.get().as_bytes().first()? {
            b'{' => serde_json::from_str(value.get()).ok().map(Self::Object),
            b'[' => serde_json::from_str(value.get()).ok().map(Self::List),
            _ => None,
        }
    }

    fn at(&self, token: &str) -> Option<&'a RawValue> {
        match self {
            Self::Object(members) => members.get(token).copied(),
            Self::List(items) if token == "0" || !token.starts_with(['0', '+']) => {
                items.get(token.parse::<usize>().ok()?).copied()
            }
            Self::List(_) => None,
        }
    }
}

/// The items of an array, in order; none if the value is no array.
pub(crate) fn items(value: &[u8]) -> Option<Vec<&[u8]>> {
    let items: Vec<&RawValue> = serde_json::from_slice(value).ok()?;
    Some(items.into_iter().map(|item| item.get().as_bytes()).collect())
}

/// The key that a value makes: a string as it reads, or a number as RFC 8785 spells it. None if the value is neither.
///
/// Every key that is made of a JSON value is made here, so that equal values are one key: `1`, `1.0` and `1e0`, or `"a"` and
/// `"\u0061"`.
pub(crate) fn key(value: &[u8]) -> Option<String> {
    match value.first()? {
        b'"' => serde_json::from_slice(value).ok(),
        b'-' | b'0'..=b'9' => number(str::from_utf8(value).ok()?),
        _ => None,
    }
}

/// A number in the spelling of RFC 8785, which is that of ECMAScript.
///
/// It is computed on the decimal digits and not through a float. For each number that a float holds, the result is the same. Two
/// numbers that one float would stand for stay two keys: outputs of guests may hold such numbers, inputs may not.
fn number(token: &str) -> Option<String> {
    let (sign, token) = token.strip_prefix('-').map_or(("", token), |rest| ("-", rest));
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let written = format!("{whole}{fraction}");
    let digits = written.trim_start_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    // The value is 0.DIGITS times ten to the power of `point`. An exponent that i64 cannot hold makes no key.
    let leading_zeros = i64::try_from(written.len() - digits.len()).ok()?;
    let point = exponent.parse::<i64>().ok()?.checked_add(i64::try_from(whole.len()).ok()?)?.checked_sub(leading_zeros)?;
    let digits = digits.trim_end_matches('0');
    let count = i64::try_from(digits.len()).ok()?;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
    let text = match point {
        1..=21 if count <= point => format!("{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point.checked_sub(1)?)
        }
    };
    Some(format!("{sign}{text}"))
}

/// Both texts say the same: members in any order, numbers and strings in any spelling. Of several members with one name the last
/// counts. A text that is not JSON is the same as nothing but its own bytes.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || same_value(one, other).unwrap_or(false)
}

fn same_value(one: &[u8], other: &[u8]) -> Option<bool> {
    let kind = |text: &[u8]| match text.first() {
        Some(b'-') => b'0',
        Some(b'0'..=b'9') => b'0',
        Some(byte) => *byte,
        None => b' ',
    };
    Some(match (kind(one), kind(other)) {
        (b'{', b'{') => {
            let one: HashMap<Name, &RawValue> = serde_json::from_slice(one).ok()?;
            let other: HashMap<Name, &RawValue> = serde_json::from_slice(other).ok()?;
            let is_in_other = |(name, value): (&Name, &&RawValue)| {
                other.get(name).is_some_and(|other| same(value.get().as_bytes(), other.get().as_bytes()))
            };
            one.len() == other.len() && one.iter().all(is_in_other)
        }
        (b'[', b'[') => {
            let (one, other) = (items(one)?, items(other)?);
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (a @ (b'"' | b'0'), b) if a == b => key(one)? == key(other)?,
        _ => false,
    })
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
    fn several_pointers_find_together_what_each_of_them_finds_alone() {
        let text = r#" {"a": [1.0, {"b/c": "x\"]"}, []], "~": null, "é": 1e2, "a\u0062": true, "a": [[7], {"b/c": 8}]} "#;
        let pointers =
            ["/a/1/b~1c", "/ab", "", "/a", "/a/0/0", "/~0", "/b", "/a/00", "a", "/a/0", "/a/0", "/é", "/~0/x", "/a/1/b~1c/x"];
        let alone: Vec<_> = pointers.iter().map(|pointer| find(text.as_bytes(), pointer)).collect();
        assert_eq!(find_all(text.as_bytes(), &pointers), alone);
        assert_eq!((find_all(b"{\"a\":", &["", "/a"]), find_all(b"{}", &[])), (vec![None, None], vec![]));
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
    fn a_key_is_a_string_as_it_reads_or_a_number() {
        let key = |text: &str| key(text.as_bytes());
        assert_eq!(key(r#""a\u00e9\n\ud83d\ude00""#).as_deref(), Some("aé\n😀"));
        assert_eq!(key(r#""1.0""#).as_deref(), Some("1.0"));
        assert_eq!((key("true"), key("[1]"), key("null"), key(""), key(r#""\ud83d""#)), (None, None, None, None, None));
    }

    /// The kind: a key was the text between two commas, and one value has many texts. Clients write numbers as their language
    /// does, so two of them locked one object by two keys, though their inputs counted as equal.
    #[test]
    fn c2_05_a_number_has_one_spelling_as_a_key() {
        let spellings = [
            ("0", "0 -0 0.0 -0.0e7 0e99999999999999999999"),
            ("1", "1 1.0 1e0 1E+0 10e-1 0.1e1 0.0001e4 1.000"),
            ("-1.5", "-1.5 -1.50 -15e-1 -0.15e+1"),
            ("100", "100 1e2 1.00E2 100.0"),
            ("9007199254740992", "9007199254740992 9007199254740992.0 9.007199254740992e15"),
            ("9007199254740993", "9007199254740993 9007199254740993.0"),
            ("100000000000000000000", "1e20 100000000000000000000"),
            ("1e+21", "1e21 1000000000000000000000 10e20"),
            ("1.5e+300", "1.5e300 15e299"),
            ("0.000001", "0.000001 1e-6 0.0000010"),
            ("1e-7", "1e-7 0.0000001 0.00000010"),
            ("1.25e-8", "1.25e-8 125e-10 0.0000000125"),
            ("1e+400", "1e400 10e399"),
        ];
        for (key_of_all, written) in spellings {
            for text in written.split(' ') {
                assert_eq!(key(text.as_bytes()).as_deref(), Some(key_of_all), "{text}");
            }
        }
        for endless in ["1e99999999999999999999", "1e-99999999999999999999", "1e9223372036854775807"] {
            assert_eq!(key(endless.as_bytes()), None, "{endless}");
        }
    }

    /// RFC 8785 is the spelling by which the API compares inputs. What is one input must be one key, and the other way round.
    #[test]
    fn c2_05_a_float_has_the_same_spelling_through_its_digits_as_through_ecmascript() {
        let mut seed = 0u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let float = f64::from_bits(seed);
            if !float.is_finite() {
                continue;
            }
            let written = key(format!("{float:e}").as_bytes()).unwrap();
            assert_eq!(written.parse::<f64>().unwrap().to_bits(), float.to_bits(), "{written}");
            assert_eq!(key(float.to_string().as_bytes()).as_deref(), Some(&*written), "{float}");
            assert_eq!(key(written.as_bytes()).as_deref(), Some(&*written), "a key of a key");
        }
    }

    #[test]
    fn texts_that_say_the_same_are_the_same() {
        let same = |one: &str, other: &str| same(one.as_bytes(), other.as_bytes());
        assert!(same(r#"{"a":1,"b":["x",null]}"#, r#"{ "b" : [ "\u0078" , null ], "\u0061": 1.0 }"#));
        for (one, other) in [
            ("1", r#""1""#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("true", "false"),
            ("[]", "{}"),
            ("9007199254740993", "9007199254740992"),
            ("[", "[ "),
        ] {
            assert!(!same(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_survived() {
        let deep = "[".repeat(100_000);
        for text in ["", "[", "[1", "[,", "{\"a\"", "{\"a\":", "{\"a\" 1}", "\"", "\"\\", "]", ":", "[1 2]", "{1}", deep.as_str()]
        {
            for pointer in ["", "/a", "/0", "/0/0"] {
                let _ = at(text, pointer);
            }
            let _ = (items(text.as_bytes()), key(text.as_bytes()), same(text.as_bytes(), b"[1]"));
        }
    }
}
