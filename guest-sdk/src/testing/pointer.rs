//! JSON pointers (RFC 6901), which say where lists, keys and locks are, and the keys that values make.

use serde_json::{Number, Value};

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
    text(value, pointer).filter(|key| (1..=256).contains(&key.len()))
}

/// The text that the pointer leads to, or the number, as text.
pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(spelled(number)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Both values say the same: `1` and `1.0` do.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => spelled(one) == spelled(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in_other = |(name, one): (&String, &Value)| other.get(name).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(is_in_other)
        }
        (one, other) => one == other,
    }
}

/// A number as RFC 8785 spells it, which is how the host spells keys: `1` for `1.0` and `1e0`.
fn spelled(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    if float == 0.0 {
        return "0".to_owned();
    }
    // Rust writes the shortest digits that mean the float, as ECMAScript does; only the places of point and zeros differ.
    let exponential = format!("{:e}", float.abs());
    let (digits, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if float < 0.0 { "-" } else { "" };
    match exponent {
        -6..=20 => format!("{float}"),
        _ => format!("{sign}{digits}e{exponent:+}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_05_a_key_is_spelled_as_the_host_spells_it() {
        let spellings = [
            ("0", "0 -0 0.0 -0.0e7"),
            ("1", "1 1.0 1e0 10e-1"),
            ("-1.5", "-1.5 -1.50 -15e-1"),
            ("100", "100 1e2 100.0"),
            ("9007199254740993", "9007199254740993"),
            ("100000000000000000000", "1e20 100000000000000000000"),
            ("1e+21", "1e21 1000000000000000000000"),
            ("1.5e+300", "1.5e300"),
            ("0.000001", "0.000001 1e-6"),
            ("1e-7", "1e-7 0.0000001"),
            ("-1.25e-8", "-1.25e-8 -125e-10"),
        ];
        for (key_of_all, written) in spellings {
            for text in written.split(' ') {
                let value = serde_json::from_str::<Value>(text).unwrap_or_default();
                assert_eq!(key(&value, "").as_deref(), Some(key_of_all), "{text}");
            }
        }
    }
}
