//! JSON pointers (RFC 6901), which say where lists, keys and locks are.

use serde_json::Value;

/// Whether this is a JSON pointer; if not, what is wrong with it.
pub(super) fn check(pointer: &str) -> Result<(), String> {
    let begins = pointer.is_empty() || pointer.starts_with('/');
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    match begins && escapes {
        true => Ok(()),
        false => Err(format!("`{pointer}` is no JSON pointer; it is empty or begins with `/`, and writes `~` as `~0`")),
    }
}

/// What the pointer leads to, if it can name something: a string of 1 to 256 bytes, or a number.
pub(super) fn key(value: &Value, pointer: &str) -> Option<String> {
    let key = match value.pointer(pointer)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (1..=256).contains(&key.len()).then_some(key)
}
