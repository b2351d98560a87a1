//! The elements of an `each`: found, named, and told apart.

use std::collections::HashMap;

use serde_json::Value;

use crate::bindings::saga::exports::amends::module::saga::Each;
use crate::stop::Failure;
use crate::testing::pointer;

const ELEMENTS_MAX: usize = 100_000;

/// The elements and their keys, or why the step is refused before it begins. `found` is what `/input` and `/outputs` hold.
pub(super) fn elements(each: &Each, found: &Value) -> Result<Vec<(String, Value)>, Failure> {
    let items = &each.items;
    let Some(list) = found.pointer(items).and_then(Value::as_array) else {
        return Err(Failure::new("no_list", format_args!("`{items}` leads to no list")));
    };
    if list.len() > ELEMENTS_MAX {
        let message = format_args!("`{items}` has {} elements; at most {ELEMENTS_MAX} are taken", list.len());
        return Err(Failure::new("too_many_elements", message));
    }
    let mut elements: Vec<(String, Value)> = Vec::with_capacity(list.len());
    let mut places = HashMap::new();
    for (index, element) in list.iter().enumerate() {
        let key = match &each.key {
            None => index.to_string(),
            Some(key) => pointer::key(element, key).ok_or_else(|| {
                Failure::new("no_key", format_args!("element {index} of `{items}` has no text or number at `{key}`"))
            })?,
        };
        match places.insert(key.clone(), element) {
            None => elements.push((key, element.clone())),
            Some(namesake) if pointer::same(namesake, element) => {}
            Some(_) => {
                let message = format_args!("two elements of `{items}` have the key `{key}` and are not equal");
                return Err(Failure::new("clashing_keys", message));
            }
        }
    }
    Ok(elements)
}

/// A key as a step's path holds it: what has a meaning in paths, or is hard to see, is percent-encoded.
pub(super) fn in_path(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for c in key.chars() {
        if c.is_control() || c.is_whitespace() || "[]/%".contains(c) {
            let mut bytes = [0; 4];
            text.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(c);
        }
    }
    text
}
