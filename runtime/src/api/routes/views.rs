//! Views: questions to them, how they stand, and what operators do with them.

use std::{sync::Arc, time::Duration};

use amends_core::{event::Act, id::Namespace, value::Payload};
use amends_wire::{
    error::ErrorBody,
    view::{
        Generation, GenerationRole, GenerationStop, Projection, ProjectionAct, Projections, SkippedEvent, ViewAnswer, ViewQuery,
    },
};
use axum::{Json, body::Body, extract::State, http::StatusCode, response::Response};
use serde_json::{Map, Value};

use super::{
    Routes,
    verbs::{NOTE_BYTES_MAX, checked_note},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::{ApiError, Part},
        position::Positions,
        present::value::{json, time},
    },
    service::views::{Answered, GenerationView, ProjectionView, Question, Role, Stopped, Verb},
};

pub(super) fn routes() -> Routes {
    routes![query, list, show, rebuild, switch, stop, resume, skip]
}

/// How long a view is waited for that has not read far enough. It mostly takes some milliseconds.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// Beside the note, a body holds an event's id.
const BODY_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX + 4_096;

/// Asks a view. What stands in the URL is a parameter of the query, but for `at_least`.
///
/// A parameter is text; where the query's schema wants a number, a truth value, a list or an object, it is read as JSON. The answer is of
/// one generation of the view, as of one moment. With `at_least` it includes everything up to that position: the view is waited for, up to
/// five seconds.
#[utoipa::path(
    get, operation_id = "query_view", path = "/v1/views/{view}/{query}", tag = "views",
    params(
        ("view" = String, Path, description = "the projection's name"), ("query" = String, Path),
        ("at_least" = Option<String>, Query, description = "an `Amends-Position` that the answer must include"),
    ),
    responses(
        (status = 200, body = ViewAnswer),
        (status = 400, description = "a bad name, parameter or position", body = ErrorBody),
        (status = 404, description = "`no_such_view`; `no_such_query`; `not_found`: the query's own answer", body = ErrorBody),
        (status = 409, description = "`restored`: the position is of another life of the journal", body = ErrorBody),
        (status = 422, description = "`input_does_not_fit`: the query's schema says otherwise; another code is the query's own", body = ErrorBody),
        (status = 500, description = "`guest_failed`: the query failed", body = ErrorBody),
        (status = 503, description = "`behind`: the view has not read so far, with the reason if it stopped; overloaded or stopping", body = ErrorBody),
    )
)]
async fn query(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((view, query)): InPath<(String, String)>,
    InQuery(given): InQuery<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    caller::name(&view)?;
    caller::name(&query)?;
    let namespace = caller.origin.namespace;
    arrived(&api, &namespace, &view).await?;
    let schema = api.views.schema(&namespace, &view, &query)?;
    let (parameters, at_least) = parameters(given, schema.as_deref())?;
    let at_least = at_least.map(|position| api.positions().read(&position)).transpose()?;
    let parameters = Payload::json(Value::Object(parameters).to_string());
    let parameters = caller::fitting(Part::Data, parameters, api.options.payload_bytes_max)?;
    let question = Question { namespace, view: view.clone(), query: query.clone(), parameters, at_least };
    let Answered { said, through, generation, module, version } = api.views.ask(question, given_up(&api)).await?;
    let data = match said {
        Ok(data) => json(&data),
        Err(failure) => return Err(unanswered(failure)),
    };
    let position = api.positions().show(through);
    Ok(written(&api, through, Json(ViewAnswer { view, query, data, position, generation, module, version })))
}

/// Ends when it is time to answer without what is waited for. Who waits for a view counts as one who waits.
async fn given_up(api: &Api) {
    let _time_is_up = api.waits.wait(std::future::pending::<()>(), BEHIND_MAX, api.stopped()).await;
}

/// A view of a module that was deployed a moment ago is there when this ends.
async fn arrived(api: &Api, namespace: &Namespace, view: &str) -> Result<(), ApiError> {
    Ok(api.views.arrived(namespace, view, given_up(api)).await?)
}

/// The query's own refusal.
fn unanswered(failure: amends_core::Failure) -> ApiError {
    let status = if failure.code == "not_found" { StatusCode::NOT_FOUND } else { StatusCode::UNPROCESSABLE_ENTITY };
    ApiError::refused(&failure.code, &failure.message, failure.data.as_ref().map(json)).with_status(status)
}

/// The parameters as the JSON object that the query's code gets, and `at_least`.
fn parameters(given: Vec<(String, String)>, schema: Option<&str>) -> Result<(Map<String, Value>, Option<String>), ApiError> {
    let schema: Option<Value> = schema.and_then(|text| serde_json::from_str(text).ok());
    let (mut parameters, mut at_least) = (Map::new(), None);
    for (name, text) in given {
        let before = match name.as_str() {
            "at_least" => at_least.replace(text).map(drop),
            _ => {
                let value = value(&text, schema.as_ref().and_then(|schema| schema.pointer(&format!("/properties/{name}/type"))));
                parameters.insert(name.clone(), value).map(drop)
            }
        };
        if before.is_some() {
            return Err(ApiError::bad_request(format!("`{}` is given twice", name.escape_debug())));
        }
    }
    Ok((parameters, at_least))
}

/// A text as the schema wants it: one that is not of that type stays text, and the schema says what is wrong with it. Where text is one
/// of several types, it is text.
fn value(text: &str, wanted: Option<&Value>) -> Value {
    let is_other = |wanted: &Value| wanted.as_str().is_some_and(|wanted| wanted != "string");
    let is_read = match wanted {
        Some(Value::Array(several)) => !several.is_empty() && several.iter().all(is_other),
        Some(one) => is_other(one),
        None => false,
    };
    let read = is_read.then(|| serde_json::from_str(text).ok()).flatten();
    read.unwrap_or_else(|| Value::from(text))
}

/// Lists the views, by name.
#[utoipa::path(
    get, operation_id = "list_projections", path = "/v1/projections", tag = "views", responses((status = 200, body = Projections))
)]
async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Projections>, ApiError> {
    let (views, positions) = (api.views.clone(), api.positions());
    let found = api.read(move |_| views.list(&caller.origin.namespace)).await?;
    Ok(Json(Projections { projections: found.into_iter().map(|view| shown(view, positions)).collect() }))
}

/// Shows a view: its generations, how far each is, and what stands in its way.
#[utoipa::path(
    get, operation_id = "get_projection", path = "/v1/projections/{name}", tag = "views", params(("name" = String, Path)),
    responses((status = 200, body = Projection), (status = 404, description = "`no_such_view`", body = ErrorBody))
)]
async fn show(State(api): State<Arc<Api>>, caller: Caller, InPath(name): InPath<String>) -> Result<Json<Projection>, ApiError> {
    caller::name(&name)?;
    arrived(&api, &caller.origin.namespace, &name).await?;
    let (views, positions) = (api.views.clone(), api.positions());
    let found = api.read(move |_| views.show(&caller.origin.namespace, &name)).await?;
    Ok(Json(shown(found, positions)))
}

/// Builds a view again from the first event on, aside, with the active code; it answers when it has read everything.
#[utoipa::path(
    post, operation_id = "rebuild_projection", path = "/v1/projections/{name}/rebuild", tag = "views", params(("name" = String, Path)),
    request_body = Option<ProjectionAct>,
    responses((status = 200, body = Projection), (status = 404, description = "`no_such_view`", body = ErrorBody))
)]
async fn rebuild(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Json<Projection>, ApiError> {
    act(&api, caller, name, body, |_| Ok(Verb::Rebuild)).await
}

/// Answers from the generation that answered before, at once; the two change their places.
#[utoipa::path(
    post, operation_id = "switch_projection", path = "/v1/projections/{name}/switch", tag = "views", params(("name" = String, Path)),
    request_body = Option<ProjectionAct>,
    responses(
        (status = 200, body = Projection), (status = 404, description = "`no_such_view`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: there is none", body = ErrorBody),
    )
)]
async fn switch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Json<Projection>, ApiError> {
    act(&api, caller, name, body, |_| Ok(Verb::SwitchBack)).await
}

/// Ends the build of a view; without one, the view takes no more events, and goes on answering.
#[utoipa::path(
    post, operation_id = "stop_projection", path = "/v1/projections/{name}/stop", tag = "views", params(("name" = String, Path)),
    request_body = Option<ProjectionAct>,
    responses(
        (status = 200, body = Projection), (status = 404, description = "`no_such_view`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: it is stopped", body = ErrorBody),
    )
)]
async fn stop(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Json<Projection>, ApiError> {
    act(&api, caller, name, body, |_| Ok(Verb::Stop)).await
}

/// Lets a view go on that stopped; the event at which it stopped is tried again.
#[utoipa::path(
    post, operation_id = "resume_projection", path = "/v1/projections/{name}/resume", tag = "views", params(("name" = String, Path)),
    request_body = Option<ProjectionAct>,
    responses(
        (status = 200, body = Projection), (status = 404, description = "`no_such_view`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: it is not stopped", body = ErrorBody),
    )
)]
async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Json<Projection>, ApiError> {
    act(&api, caller, name, body, |_| Ok(Verb::Resume)).await
}

/// Leaves out the event at which a view stopped, and lets it go on. The note says why.
#[utoipa::path(
    post, operation_id = "skip_event", path = "/v1/projections/{name}/skip", tag = "views", params(("name" = String, Path)),
    request_body = ProjectionAct,
    responses(
        (status = 200, body = Projection),
        (status = 400, description = "the event or the note is missing", body = ErrorBody),
        (status = 404, description = "`no_such_view`", body = ErrorBody),
        (status = 409, description = "`verb_does_not_fit`: it did not stop at this event", body = ErrorBody),
    )
)]
async fn skip(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<String>,
    body: Body,
) -> Result<Json<Projection>, ApiError> {
    act(&api, caller, name, body, |asked| {
        let missing =
            |what: &str| ApiError::bad_request(format!("`{what}` is missing: an event is left out by name, and with a reason"));
        if asked.note.as_deref().unwrap_or_default().is_empty() {
            return Err(missing("note"));
        }
        asked.event.clone().map(|event| Verb::Skip { event }).ok_or_else(|| missing("event"))
    })
    .await
}

async fn act(
    api: &Api,
    caller: Caller,
    name: String,
    body: Body,
    verb: impl FnOnce(&ProjectionAct) -> Result<Verb, ApiError>,
) -> Result<Json<Projection>, ApiError> {
    caller::name(&name)?;
    let asked: ProjectionAct = caller::read_json(body, BODY_BYTES_MAX, &api.held.bodies).await?;
    let verb = verb(&asked)?;
    let act = Act { note: checked_note(asked.note)?, by: caller.by };
    let (namespace, views, positions) = (caller.origin.namespace, api.views.clone(), api.positions());
    arrived(api, &namespace, &name).await?;
    views.act(&namespace, &name, verb, act).await?;
    let found = api.read(move |_| views.show(&namespace, &name)).await?;
    Ok(Json(shown(found, positions)))
}

fn shown(view: ProjectionView, positions: Positions) -> Projection {
    let generations = view.generations.into_iter().map(|generation| of_generation(generation, positions)).collect();
    Projection { name: view.name, generations, failed: view.failed }
}

fn of_generation(view: GenerationView, positions: Positions) -> Generation {
    let query = |query: amends_core::projection::QueryDefinition| ViewQuery {
        name: query.name,
        schema: query.schema.map(|text| json(&Payload::json(text))),
    };
    Generation {
        number: view.number,
        role: match view.role {
            Role::Active => GenerationRole::Active,
            Role::Building => GenerationRole::Building,
            Role::Previous => GenerationRole::Previous,
        },
        module: view.module,
        version: view.version,
        reads: view.definition.reads.into_iter().map(|reading| reading.event_type).collect(),
        queries: view.definition.queries.into_iter().map(query).collect(),
        begun_at: time(view.begun_at),
        events: view.events,
        position: positions.show(view.through),
        lag: view.lag,
        waiting_since: view.waiting_since.map(time),
        rate: view.rate,
        stopped: view.stopped.map(|stopped| of_stop(stopped, positions)),
        delayed: view.delayed,
        skipped: view
            .skipped
            .into_iter()
            .map(|skipped| SkippedEvent {
                event: skipped.event,
                position: positions.show(skipped.position),
                note: skipped.note,
                by: skipped.by,
                at: time(skipped.at),
            })
            .collect(),
    }
}

fn of_stop(stopped: Stopped, positions: Positions) -> GenerationStop {
    match stopped {
        Stopped::Poison { position, event, failure } => GenerationStop {
            event: Some(event),
            position: Some(positions.show(position)),
            code: failure.code,
            message: failure.message,
            by: None,
        },
        Stopped::Asked { note, by } => {
            GenerationStop { event: None, position: None, code: "stopped".to_owned(), message: note, by: Some(by) }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_parameter_is_text_unless_the_schema_wants_something_else() {
        let schema = r#"{"properties": {"n": {"type": "integer"}, "open": {"type": "boolean"}, "id": {"type": "string"}}}"#;
        let read = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            match parameters(given, Some(schema)) {
                Ok((parameters, at_least)) => format!("{} {at_least:?}", Value::Object(parameters)),
                Err(error) => format!("{error:?}").split("message: ").nth(1).unwrap().chars().take_while(|c| *c != ',').collect(),
            }
        };
        let told = [
            read(&[("n", "7"), ("open", "true"), ("id", "7"), ("other", "7")]),
            read(&[("n", "seven"), ("at_least", "0-1-7")]),
            read(&[("n", "7"), ("n", "8")]),
            read(&[("at_least", "0-1-7"), ("at_least", "0-1-8")]),
        ];
        expect![[r#"
            {"id":"7","n":7,"open":true,"other":"7"} None
            {"n":"seven"} Some("0-1-7")
            "`n` is given twice"
            "`at_least` is given twice""#]]
        .assert_eq(&told.join("\n"));
    }
}
