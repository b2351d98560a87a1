//! How much work a schema can make: it refers to nothing outside of itself and not to itself in a circle, and has a bounded
//! number of parts, each counted as often as it is referred to.

use regex::RegexBuilder;
use serde_json::Value;

/// Parts that an input is held against; few schemas have 200.
const PARTS_MAX: usize = 2_000;

/// Patterns of a schema.
const PATTERNS_MAX: usize = 32;

/// What a pattern may take when it is compiled. One that counts far, as `(a{90}){90}`, takes more, and as much longer to match.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// How often a part of a schema may be held against a part of an input: some tens of milliseconds of the shard's time.
const WORK_MAX: usize = 1_000_000;

/// How many bytes may be held against patterns, each counted once a pattern.
const MATCHED_BYTES_MAX: usize = 64 << 10;

/// As deep as an input may be.
const DEPTH_MAX: usize = 64;

/// What an input costs to check, from what a schema holds it against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    parts: usize,
    patterns: usize,
}

impl Cost {
    /// Whether an input can be checked, or why not.
    pub(super) fn allows(self, input: &Value) -> Result<(), String> {
        let (mut values, mut bytes) = (0, 0);
        measure(input, &mut values, &mut bytes);
        if values * self.parts > WORK_MAX {
            let most = WORK_MAX / self.parts;
            return Err(format!("it has {values} values, and the schema's {} parts are held against {most} at most", self.parts));
        }
        if bytes * self.patterns > MATCHED_BYTES_MAX {
            let most = MATCHED_BYTES_MAX / self.patterns;
            return Err(format!(
                "it has {bytes} bytes of text, and the schema's {} patterns match {most} at most",
                self.patterns
            ));
        }
        Ok(())
    }
}

/// Adds up values and bytes of text, names included. An input is at most 64 levels deep.
fn measure(value: &Value, values: &mut usize, bytes: &mut usize) {
    *values += 1;
    match value {
        Value::String(text) => *bytes += text.len(),
        Value::Array(items) => items.iter().for_each(|item| measure(item, values, bytes)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            *bytes += name.len();
            measure(member, values, bytes);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What it costs to use a schema, or why it cannot be used.
pub(super) fn hold(schema: &Value) -> Result<Cost, String> {
    let mut bounds = Bounds { root: schema, parts: 0, patterns: 0, followed: Vec::new() };
    bounds.hold(schema, 0)?;
    Ok(Cost { parts: bounds.parts.max(1), patterns: bounds.patterns })
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
            ("pattern", Value::String(pattern)) => self.patterns(std::iter::once(pattern)),
            // Values, not parts.
            ("const" | "enum" | "default" | "examples", _) => Ok(()),
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies",
                Value::Object(named),
            ) => {
                if keyword == "patternProperties" {
                    self.patterns(named.keys())?;
                }
                named.values().try_for_each(|part| self.hold(part, depth + 1))
            }
            _ => self.hold(value, depth + 1),
        }
    }

    fn patterns<'p>(&mut self, patterns: impl Iterator<Item = &'p String>) -> Result<(), String> {
        for pattern in patterns {
            self.patterns += 1;
            if self.patterns > PATTERNS_MAX {
                return Err(format!("it has more than {PATTERNS_MAX} patterns"));
            }
            let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            // What else is wrong with it, the validator says with the place.
            if let Err(regex::Error::CompiledTooBig(_)) = compiled {
                return Err(format!("the pattern {pattern:?} is too large when it is compiled; count less in it"));
            }
        }
        Ok(())
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
