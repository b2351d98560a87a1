//! How much work a schema can make: it refers to nothing outside of itself and not to itself in a circle, and has a bounded
//! number of parts, each counted as often as it is referred to.

use serde_json::Value;

/// Parts that an input is held against. A check costs at most this many times the parts of the input, and few schemas have 200.
const PARTS_MAX: usize = 2_000;

/// Each may take 10 MiB when it is compiled.
const PATTERNS_MAX: usize = 32;

/// As deep as an input may be.
const DEPTH_MAX: usize = 64;

/// Whether a schema can be used, or why not.
pub(super) fn hold(schema: &Value) -> Result<(), String> {
    Bounds { root: schema, parts: 0, patterns: 0, followed: Vec::new() }.hold(schema, 0)
}

/// What was counted so far.
struct Bounds<'a> {
    root: &'a Value,
    parts: usize,
    patterns: usize,
    /// References that lead to where we are.
    followed: Vec<&'a str>,
}

impl<'a> Bounds<'a> {
    fn hold(&mut self, part: &'a Value, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is more than {DEPTH_MAX} levels deep, references included"));
        }
        match part {
            Value::Object(keywords) => {
                self.parts += 1;
                if self.parts > PARTS_MAX {
                    return Err(format!("it has more than {PARTS_MAX} parts, each counted as often as it is referred to"));
                }
                keywords.iter().try_for_each(|(keyword, value)| self.keyword(keyword, value, depth))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.hold(item, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value, depth: usize) -> Result<(), String> {
        match (keyword, value) {
            ("$ref", Value::String(reference)) => self.follow(reference, depth),
            // They move what a reference means, so that what is counted here would not be what is checked.
            ("$id" | "id" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$dynamicRef" | "$recursiveRef", _) => {
                Err(format!("it has `{keyword}`; refer with `$ref` and a pointer, as #/$defs/address"))
            }
            ("pattern", _) => self.patterns(1),
            // Values, not parts.
            ("const" | "enum" | "default" | "examples", _) => Ok(()),
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies",
                Value::Object(named),
            ) => {
                self.patterns(if keyword == "patternProperties" { named.len() } else { 0 })?;
                named.values().try_for_each(|part| self.hold(part, depth + 1))
            }
            _ => self.hold(value, depth + 1),
        }
    }

    fn patterns(&mut self, more: usize) -> Result<(), String> {
        self.patterns += more;
        match self.patterns > PATTERNS_MAX {
            true => Err(format!("it has more than {PATTERNS_MAX} patterns")),
            false => Ok(()),
        }
    }

    fn follow(&mut self, reference: &'a str, depth: usize) -> Result<(), String> {
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        // Escapes of URLs would be read there and not here.
        let pointer = pointer.filter(|pointer| !pointer.contains('%'));
        let Some(target) = pointer.and_then(|pointer| self.root.pointer(pointer)) else {
            return Err(format!("`$ref` {reference:?} leads nowhere in it; refer with a pointer, as #/$defs/address"));
        };
        if self.followed.contains(&reference) {
            return Err(format!("`$ref` {reference:?} leads back to itself"));
        }
        self.followed.push(reference);
        let held = self.hold(target, depth + 1);
        self.followed.pop();
        held
    }
}
