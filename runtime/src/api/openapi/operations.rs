//! What many operations have in common: optional bodies, headers, and the errors that any of them may answer.

use amends_wire::error::ErrorBody;
use utoipa::{
    Modify, ToSchema,
    openapi::{
        Content, Object, OpenApi, Ref, RefOr, Required, Response,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
        schema::Type,
    },
};

use super::schemas;

/// Whether an operation changes something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes,
}

/// What a write makes of the header `Idempotency-Key`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// It keeps the key with the request, and refuses another request under it.
    Compared,
    /// What is there says whether it was done under the key before.
    Known,
    /// It does not read the header: its names, or its body, say what is the same.
    Unread,
}

impl Key {
    fn of(operation: &Operation) -> Self {
        match operation.operation_id.as_deref().unwrap_or_default() {
            "start_saga" | "send_signal" | "send_command" | "create_job" => Self::Compared,
            "cancel_saga" | "retry_saga" | "skip_compensation" | "unlock_key" | "move_saga" | "resolve_step" | "abandon_saga" => {
                Self::Compared
            }
            "pause_policy" | "resume_policy" | "reset_policy" | "redrive_letters" | "drop_letter" => Self::Compared,
            "trigger_schedule" | "put_schedule" => Self::Known,
            _ => Self::Unread,
        }
    }
}

/// Each operation with its path.
fn operations(described: &mut OpenApi) -> impl Iterator<Item = (&str, Effect, &mut Operation)> {
    described.paths.paths.iter_mut().flat_map(|(path, item)| {
        let reads = item.get.iter_mut().map(|operation| (Effect::Reads, operation));
        let writes = [&mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
        let all = reads.chain(writes.map(|operation| (Effect::Writes, operation)));
        all.map(|(effect, operation)| (path.as_str(), effect, operation))
    })
}

/// Marks request bodies that may be left out. utoipa describes them as `null` or a body, and nobody sends `null`.
pub(super) struct Bodies;

impl Modify for Bodies {
    fn modify(&self, described: &mut OpenApi) {
        let bodies = operations(described).filter_map(|(.., operation)| operation.request_body.as_mut());
        for body in bodies {
            for schema in body.content.values_mut().filter_map(|content| content.schema.as_mut()) {
                if schemas::without_null(schema) {
                    body.required = Some(Required::False);
                }
            }
        }
    }
}

/// Adds the headers that requests under `/v1/` may carry, and those that their answers carry.
pub(super) struct Headers;

impl Modify for Headers {
    fn modify(&self, described: &mut OpenApi) {
        for (_, effect, operation) in operations(described).filter(|(path, ..)| path.starts_with("/v1/")) {
            take(operation, "Amends-Namespace", "The namespace; `default` if left out.");
            if effect == Effect::Writes {
                if Key::of(operation) != Key::Unread {
                    take(operation, "Idempotency-Key", "The same key with the same request is the same write.");
                }
                take(operation, "Amends-By", "Who asks, for people; recorded and not verified.");
                answers_with_position(operation);
            }
        }
    }
}

fn take(operation: &mut Operation, name: &str, meaning: &str) {
    let header: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(meaning))
        .schema(Some(Object::with_type(Type::String)))
        .build();
    operation.parameters.get_or_insert_default().push(header);
}

fn answers_with_position(write: &mut Operation) {
    let position = || {
        let header = HeaderBuilder::new().schema(Object::with_type(Type::String));
        header.description(Some("What a read takes as `at_least` to include this write.")).build()
    };
    for (_, answer) in write.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
        if let RefOr::T(answer) = answer {
            answer.headers.insert("Amends-Position".to_owned(), position());
        }
    }
}

/// Adds the errors that an operation may answer and does not describe itself, and words where it has none.
pub(super) struct Errors;

impl Modify for Errors {
    fn modify(&self, described: &mut OpenApi) {
        for (path, effect, operation) in operations(described) {
            for answer in operation.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer
                    && answer.description.is_empty()
                {
                    answer.description = "done, or as asked".to_owned();
                }
            }
            for (status, meaning) in errors(path, effect, operation) {
                let answer = operation.responses.responses.entry(status.to_owned()).or_insert_with(|| error(meaning).into());
                let RefOr::T(answer) = answer else { continue };
                if status == "503" {
                    let seconds = HeaderBuilder::new().schema(Object::with_type(Type::Integer));
                    let seconds = seconds.description(Some("In how many seconds to come again."));
                    answer.headers.insert("Retry-After".to_owned(), seconds.build());
                }
            }
        }
    }
}

/// Every status of an error that the operation may answer, with what it means if the operation does not say.
fn errors(path: &str, effect: Effect, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let parameters = operation.parameters.iter().flatten();
    let names_a_place = parameters.clone().any(|parameter| ["at_least", "cursor"].contains(&parameter.name.as_str()));
    let names_a_thing = parameters.clone().any(|parameter| parameter.parameter_in == ParameterIn::Path);
    let mut errors =
        vec![("421", "`misdirected`: `Host` or `Origin` is not a name of this host"), ("500", "`internal`: a bug of the host")];
    if path.starts_with("/v1/") {
        errors.push(("400", "the path, the query, a header or the body is not as described"));
        errors.push(("503", "the host is overloaded, stops, or its storage failed"));
    }
    if names_a_thing {
        errors.push(("404", "what the path names is not there"));
    }
    if effect == Effect::Reads && names_a_place {
        errors.push(("409", "`restored`: the position or cursor is of another life of the journal"));
    }
    if effect == Effect::Writes {
        errors.push(("408", "`body_timeout`: the body came too slowly"));
        errors.push(("409", "it does not fit what is there"));
        errors.push(("413", "`payload_too_large`"));
        errors.push(match Key::of(operation) {
            Key::Compared => {
                ("422", "`key_reused`: the Idempotency-Key came with another request before; or the request cannot be fulfilled")
            }
            Key::Known | Key::Unread => ("422", "the request cannot be fulfilled"),
        });
        errors.push(("507", "`low_space`: the disk is almost full"));
    }
    errors
}

fn error(meaning: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
    ResponseBuilder::new().description(meaning).content("application/json", body).build()
}
