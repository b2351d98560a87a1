//! Holds answers against the description: what a client's validator would say of them. For tests.

#![allow(clippy::unwrap_used, reason = "only tests call it, of this crate and of others")]

use boon::{Compiler, Draft, Schemas};
use serde_json::Value;

use super::description;

const AT: &str = "https://amends.example/openapi.json";

/// Whether a value is as the schema of this name says.
pub fn value(schema: &str, value: &Value) -> Result<(), String> {
    validate(&document(), &format!("/components/schemas/{schema}"), value)
}

/// One answer, as it came.
pub struct Answered<'a> {
    /// In upper case.
    pub method: &'a str,
    /// With its query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// With its parameters; empty if there is none.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Whether an answer is as its operation says. What is no operation answers an error.
pub fn answer(answered: &Answered<'_>) -> Result<(), String> {
    let Answered { method, path, status, content_type, body } = *answered;
    let document = document();
    let operation = operation(&document, method, path);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let Some((template, operation)) = operation else {
        return validate(&document, "/components/schemas/ErrorBody", &json(body)?);
    };
    let described = operation["responses"].get(status.to_string()).ok_or(format!("{status} is not described"))?;
    // The structure's tests say which answers have no described body.
    if described.get("content").is_none() {
        return Ok(());
    }
    if described["content"].get(media_type).is_none() {
        return Err(format!("{status} as `{media_type}` is not described"));
    }
    let escaped = |text: &str| text.replace('/', "~1").replace('{', "%7B").replace('}', "%7D");
    let at = format!(
        "/paths/{}/{}/responses/{status}/content/{}/schema",
        escaped(template),
        method.to_lowercase(),
        escaped(media_type)
    );
    match media_type {
        "application/json" => validate(&document, &at, &json(body)?),
        _ => validate(&document, &at, &Value::String(String::from_utf8_lossy(body).into_owned())),
    }
}

/// The name of the operation that a request is for.
pub fn operation_id(method: &str, path: &str) -> Option<String> {
    let document = document();
    let (_, operation) = operation(&document, method, path)?;
    operation["operationId"].as_str().map(str::to_owned)
}

/// The operation that a request is for, with the template of its path.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<(&'a String, &'a Value)> {
    let path = path.split('?').next().unwrap_or(path);
    let templates = document["paths"].as_object().into_iter().flatten();
    let of_path = templates.filter(|(template, _)| is_of(template, path));
    of_path.filter_map(|(template, item)| Some((template, item.get(method.to_lowercase())?))).next()
}

/// The description as a client gets it.
pub fn document() -> Value {
    serde_json::to_value(description()).unwrap()
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

fn is_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(part, text)| part.starts_with('{') || *part == text)
}

fn validate(document: &Value, pointer: &str, value: &Value) -> Result<(), String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource(AT, document.clone()).map_err(|error| error.to_string())?;
    let schema = compiler.compile(&format!("{AT}#{pointer}"), &mut schemas).map_err(|error| format!("{error:#}"))?;
    schemas.validate(value, schema).map_err(|error| format!("{error:#}: {value}"))
}
