//! The elements of a fan-out: a list in the input or in an earlier output, each item with its key.

use std::collections::{HashMap, hash_map::Entry};

use serde::{Deserialize, Serialize};

use super::definition::Each;
use crate::{
    json,
    value::{Failure, Format, Payload},
};

/// A fan-out has at most so many elements, counted before equal ones are told apart.
pub const ELEMENTS_MAX: usize = 100_000;

/// A key is at most this long.
pub const KEY_BYTES_MAX: usize = 256;

/// One element of a fan-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Its declared key, or its index; unique in the list.
    pub key: String,
    /// The item, which is its steps' input.
    pub value: Payload,
}

/// The elements of a fan-out over what `source` finds for the first token of the list's pointer and the rest of it.
///
/// Equal keys are one element if their items say the same; otherwise they clash, because which of the two is meant cannot be
/// known. The failure's code is `no_list`, `too_many_elements`, `no_key` or `clashing_keys`.
pub(crate) fn elements(each: &Each, source: impl Fn(&str) -> Option<(Payload, String)>) -> Result<Vec<Element>, Failure> {
    let no_list = |what: &str| Failure::new("no_list", format!("there is {what} at `{}`", each.items));
    let (payload, rest) = source(&each.items).ok_or_else(|| no_list("nothing"))?;
    let text = if payload.format == Format::Json { &payload.bytes[..] } else { b"null" };
    let list = json::find(text, &rest).ok_or_else(|| no_list("nothing"))?;
    let items = json::items(list).ok_or_else(|| no_list("no list"))?;
    if items.len() > ELEMENTS_MAX {
        let message = format!("the list at `{}` has {} elements; at most {ELEMENTS_MAX}", each.items, items.len());
        return Err(Failure::new("too_many_elements", message));
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut elements: Vec<Element> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let key = key_of(each, index, item)?;
        match seen.entry(key.clone()) {
            Entry::Vacant(free) => {
                free.insert(elements.len());
                elements.push(Element { key, value: Payload::json(payload.bytes.slice_ref(item)) });
            }
            Entry::Occupied(taken) if json::same(&elements[*taken.get()].value.bytes, item) => {}
            Entry::Occupied(_) => {
                let message = format!("two different elements of `{}` have the key `{key}`", each.items);
                return Err(Failure::new("clashing_keys", message));
            }
        }
    }
    Ok(elements)
}

fn key_of(each: &Each, index: usize, item: &[u8]) -> Result<String, Failure> {
    let Some(pointer) = &each.key else { return Ok(index.to_string()) };
    let key = json::find(item, pointer).and_then(json::key);
    key.filter(|key| is_key(key)).ok_or_else(|| {
        let rule = format!("a string of 1 to {KEY_BYTES_MAX} bytes, or a number");
        Failure::new("no_key", format!("element {index} of `{}` has no key at `{pointer}`: {rule}", each.items))
    })
}

pub(crate) fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}

/// A key as a step path holds it: what has a meaning in paths, or is hard to see, is percent-encoded, so that no two are alike.
pub(crate) fn in_path(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for c in key.chars() {
        if c.is_control() || c.is_whitespace() || "[]/%".contains(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;
    use crate::definition::EachMode;

    fn keys(key: Option<&str>, list: &str) -> String {
        let each = Each { items: "/input".into(), key: key.map(Into::into), mode: EachMode::Collect, concurrency: 1 };
        match elements(&each, |_| Some((Payload::json(list.to_owned()), String::new()))) {
            Ok(elements) => elements.into_iter().map(|element| element.key).collect::<Vec<_>>().join(" "),
            Err(failure) => format!("{}: {}", failure.code, failure.message),
        }
    }

    #[test]
    fn elements_are_named_by_their_index_or_their_key() {
        assert_eq!(keys(None, r#"["a", "a", 3]"#), "0 1 2");
        assert_eq!(keys(Some("/id"), r#"[{"id":"x"}, {"id":7}]"#), "x 7");
        assert_eq!(keys(Some(""), r#"["x", "y"]"#), "x y");
    }

    #[test]
    fn equal_elements_are_one_and_different_ones_with_one_key_clash() {
        assert_eq!(keys(Some("/id"), r#"[{"id":1}, {"id":1}]"#), "1");
        let clash = "clashing_keys: two different elements of `/input` have the key `1`";
        assert_eq!(keys(Some("/id"), r#"[{"id":1,"n":2}, {"id":1,"n":3}]"#), clash);
    }

    /// The kind: see `json::key`. An order that came from two systems held one item twice, under `sku[1]` and `sku[1.0]`.
    #[test]
    fn c2_05_an_element_has_one_key_however_its_value_is_spelled() {
        let spelled = r#"[{"id":1,"n":2}, {"n":2.0,"id":1.0}, { "id" : 10e-1, "n": 2 }, {"id":"\u0061"}, {"id":"a"}, {"id":-0}]"#;
        assert_eq!(keys(Some("/id"), spelled), "1 a 0");
        assert_eq!(keys(Some(""), "[1e2, 100, 100.0, 1e-7]"), "100 1e-7");
        let clash = "clashing_keys: two different elements of `/input` have the key `1`";
        assert_eq!(keys(Some("/id"), r#"[{"id":1}, {"id":1.0,"n":3}]"#), clash);
        assert_eq!(keys(Some("/id"), r#"[{"id":1}, {"id":"1"}]"#), clash);
    }

    #[test]
    fn what_is_no_list_and_an_element_without_a_key_say_so() {
        assert_eq!(keys(None, "{}"), "no_list: there is no list at `/input`");
        let no_key = "no_key: element 0 of `/input` has no key at `/id`: a string of 1 to 256 bytes, or a number";
        assert_eq!(keys(Some("/id"), "[{}]"), no_key);
        assert_eq!(keys(Some("/id"), r#"[{"id":""}]"#), no_key);
    }

    #[test]
    fn a_list_has_at_most_a_hundred_thousand_elements() {
        let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        assert_eq!(keys(None, &list(ELEMENTS_MAX)).split(' ').count(), ELEMENTS_MAX);
        let many = "too_many_elements: the list at `/input` has 100001 elements; at most 100000";
        assert_eq!(keys(None, &list(ELEMENTS_MAX + 1)), many);
    }

    #[test]
    fn no_two_keys_look_alike_in_a_path() {
        assert_eq!(in_path("sku-7"), "sku-7");
        assert_eq!(in_path("a]/b[c d%"), "a%5D%2Fb%5Bc%20d%25");
    }
}
