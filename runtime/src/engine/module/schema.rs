//! The JSON Schema of a definition's input: read once, checked at every start. It knows nothing of sagas.
//!
//! A schema comes from a guest, and a check runs on the shard's thread: it may take neither long nor for ever, read no file
//! and open no connection. So `bounds` looks at it first, and patterns are matched in linear time.

mod bounds;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use amends_core::value::{Format, Payload};
use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

/// Longer is a mistake: a large schema of the real world has a tenth of this.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// A reason from the validator may quote the input.
const REASON_CHARS_MAX: usize = 300;

/// What a schema without an address is called by the validator.
const ADDRESS: &str = "schema:input";

/// A schema, ready to check inputs.
pub(crate) struct Schema {
    schemas: Schemas,
    root: SchemaIndex,
    cost: bounds::Cost,
}

/// Where an input does not fit, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// A JSON pointer into the input; empty for all of it.
    pub(crate) path: String,
    /// In words.
    pub(crate) reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "at {path}: {}", self.reason),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

impl Schema {
    /// Reads a schema, or says what is wrong with it. Without `$schema` it is of draft 2020-12.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it is larger than {TEXT_BYTES_MAX} bytes"));
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let cost = bounds::hold(&schema)?;
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(Nothing));
        let mut schemas = Schemas::new();
        compiler.add_resource(ADDRESS, schema).map_err(|error| error.to_string())?;
        let root = compiler.compile(ADDRESS, &mut schemas).map_err(|error| invalid(&error))?;
        Ok(Self { schemas, root, cost })
    }

    /// The first place at which an input does not fit.
    pub(crate) fn misfit(&self, input: &Value) -> Option<Misfit> {
        if let Err(reason) = self.cost.allows(input) {
            return Some(Misfit { path: String::new(), reason });
        }
        self.schemas.validate(input, self.root).err().map(|error| first(&error))
    }
}

/// The schema of one definition of one version: read when the first input is checked, and kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<OnceLock<Result<Schema, String>>>);

impl Kept {
    /// The first place at which an input does not fit the schema of this text.
    pub(crate) fn misfit(&self, text: &str, input: &Payload) -> Option<Misfit> {
        let whole = |reason: String| Some(Misfit { path: String::new(), reason });
        let schema = match self.0.get_or_init(|| Schema::read(text)) {
            Ok(schema) => schema,
            // A deploy refuses such a schema: it was taken by an older host.
            Err(why) => return whole(format!("the schema cannot be used: {why}; deploy the module with a better one")),
        };
        if input.format != Format::Json {
            return whole("it is bytes, and the schema is of JSON".to_owned());
        }
        match serde_json::from_slice(&input.bytes) {
            Ok(input) => schema.misfit(&input),
            Err(error) => whole(format!("it is no JSON: {error}")),
        }
    }
}

/// The outermost error only says that there are others: the first leaf is what helps.
fn first(error: &ValidationError<'_, '_>) -> Misfit {
    match error.causes.first() {
        Some(cause) => first(cause),
        None => {
            let reason = error.kind.to_string().chars().take(REASON_CHARS_MAX).collect();
            Misfit { path: error.instance_location.to_string(), reason }
        }
    }
}

fn invalid(error: &boon::CompileError) -> String {
    match error {
        boon::CompileError::ValidationError { src, .. } => {
            let Misfit { path, reason } = first(src);
            if path.is_empty() { reason } else { format!("at {path}: {reason}") }
        }
        other => other.to_string(),
    }
}

/// Nothing outside of the schema is read.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is outside of the schema, and nothing outside is read").into())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn order() -> Value {
        json!({
            "type": "object",
            "required": ["sku", "qty"],
            "properties": {
                "sku": {"type": "string", "pattern": "^[A-Z][0-9]+$"},
                "qty": {"type": "integer", "minimum": 1},
                "ship_to": {"$ref": "#/$defs/address"},
            },
            "additionalProperties": false,
            "$defs": {"address": {"type": "object", "required": ["city"]}},
        })
    }

    #[test]
    fn an_input_that_does_not_fit_is_told_where_and_why() {
        let schema = Schema::read(&order().to_string()).unwrap();
        let told = |input: Value| match schema.misfit(&input) {
            Some(Misfit { path, reason }) => format!("{path}: {reason}\n"),
            None => "fits\n".to_owned(),
        };
        let inputs = [
            json!({"sku": "K1", "qty": 2, "ship_to": {"city": "Ulm"}}),
            json!({"sku": "K1"}),
            json!({"sku": "k1", "qty": 2}),
            json!({"sku": "K1", "qty": 0}),
            json!({"sku": "K1", "qty": "2"}),
            json!({"sku": "K1", "qty": 2, "ship_to": {}}),
            json!({"sku": "K1", "qty": 2, "note": ""}),
            json!([]),
        ];
        // Values in a schema are no parts of it, and a property may have the name of a keyword.
        let annotated =
            json!({"properties": {"id": {"type": "string"}, "default": {"const": 1}}, "examples": [{"id": "O-1", "$ref": "x"}]});
        let schema_of_names = Schema::read(&annotated.to_string()).unwrap();
        assert_eq!(schema_of_names.misfit(&json!({"id": "O-1", "default": 1})), None);
        assert_eq!(schema_of_names.misfit(&json!({"default": 2})).unwrap().path, "/default");
        expect![[r#"
            fits
            : missing properties 'qty'
            /sku: 'k1' does not match pattern '^[A-Z][0-9]+$'
            /qty: must be >=1, but got 0
            /qty: want integer, but got string
            /ship_to: missing properties 'city'
            : additionalProperties 'note' not allowed
            : want object, but got array
        "#]]
        .assert_eq(&inputs.into_iter().map(told).collect::<String>());
    }

    fn refused(schema: &Value, why: Expect) {
        why.assert_eq(&Schema::read(&schema.to_string()).unwrap_err());
    }

    #[test]
    fn a_schema_that_is_none_is_refused_with_the_place() {
        refused(
            &json!({"type": "text"}),
            expect!["at /type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'"],
        );
        refused(
            &json!({"properties": {"a": {"minimum": "1"}}}),
            expect!["at /properties/a/minimum: want number, but got string"],
        );
        refused(
            &json!({"pattern": "("}),
            expect![[r#"
            at /pattern: '(' is not valid regex: regex parse error:
                (
                ^
            error: unclosed group"#]],
        );
        assert!(Schema::read("{").unwrap_err().starts_with("it is no JSON: "));
    }

    #[test]
    fn a_schema_reads_nothing_outside_of_itself() {
        refused(
            &json!({"$ref": "file:///etc/passwd"}),
            expect![[r#"`$ref` "file:///etc/passwd" leads nowhere in it; refer with a pointer, as #/$defs/address"#]],
        );
        refused(
            &json!({"$ref": "http://127.0.0.1:1/schema"}),
            expect![[r#"`$ref` "http://127.0.0.1:1/schema" leads nowhere in it; refer with a pointer, as #/$defs/address"#]],
        );
        refused(&json!({"$schema": "file:///etc/passwd"}), expect!["error loading file:///etc/passwd"]);
        refused(
            &json!({"$id": "http://a.example/", "$ref": "#/$defs/a"}),
            expect!["it has `$id`; refer with `$ref` and a pointer, as #/$defs/address"],
        );
    }

    #[test]
    fn a_schema_that_could_hold_the_host_up_is_refused() {
        refused(&json!({"$ref": "#"}), expect![[r##"`$ref` "#" leads back to itself"##]]);
        let spelled_otherwise = json!({"$defs": {"a%62": {}, "ab": {"properties": {"x": {"$ref": "#/$defs/a%62"}}}}});
        refused(
            &spelled_otherwise,
            expect![[r##"`$ref` "#/$defs/a%62" leads nowhere in it; refer with a pointer, as #/$defs/address"##]],
        );
        refused(&json!({"properties": {"next": {"$ref": "#"}}}), expect![[r##"`$ref` "#" leads back to itself"##]]);
        let twice = |to: usize| json!({"allOf": [{"$ref": format!("#/$defs/{to}")}, {"$ref": format!("#/$defs/{to}")}]});
        let mut doubling: serde_json::Map<String, Value> = (1..15).map(|at| (at.to_string(), twice(at + 1))).collect();
        doubling.insert("15".to_owned(), json!(true));
        refused(
            &json!({"$ref": "#/$defs/1", "$defs": doubling}),
            expect!["it has more than 2000 parts, each counted as often as it is referred to"],
        );
        let patterns: Vec<Value> = (0..40).map(|at| json!({"pattern": format!("a{{{at}}}")})).collect();
        refused(&json!({"anyOf": patterns}), expect!["it has more than 32 patterns"]);
        refused(
            &json!({"pattern": "(?:x[a-z]{0,90}){0,150}Q"}),
            expect![[r#"the pattern "(?:x[a-z]{0,90}){0,150}Q" is too large when it is compiled; count less in it"#]],
        );
        let deep = (0..70).fold(json!({}), |inside, _| json!({"not": inside}));
        refused(&deep, expect!["it is more than 64 levels deep, references included"]);
        refused(&json!({"description": "a".repeat(TEXT_BYTES_MAX)}), expect!["it is larger than 262144 bytes"]);
    }

    /// Two thousand parts over half a million values held the shard, and with it every saga, for minutes; so did a pattern that
    /// counts far over a long text.
    #[test]
    fn an_input_that_would_take_long_to_check_is_refused() {
        let told = |schema: &Value, input: &Value| Schema::read(&schema.to_string()).unwrap().misfit(input).unwrap().reason;
        let parts: Vec<Value> = (0..1_000).map(|_| json!({"minimum": 0})).collect();
        let numbers = Value::Array(vec![json!(1); 2_000]);
        expect!["it has 2001 values, and the schema's 1002 parts are held against 998 at most"]
            .assert_eq(&told(&json!({"items": {"allOf": parts}}), &numbers));
        let text = json!({"note": "x".repeat(100_000)});
        expect!["it has 100004 bytes of text, and the schema's 1 patterns match 65536 at most"]
            .assert_eq(&told(&json!({"properties": {"sku": {"pattern": "^[A-Z]+$"}}}), &text));
    }
}
