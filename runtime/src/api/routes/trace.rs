//! Chains of causes.

use std::sync::Arc;

use amends_wire::{
    error::ErrorBody,
    trace::{self, TraceIdKind, TraceNodeKind, TraceViewState},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Routes, journal::actor, sagas::included};
use crate::{
    api::{
        Api,
        caller::{Caller, InPath, InQuery},
        error::ApiError,
        mint,
        position::Positions,
        present::value::{status, time},
    },
    service::reader::{Found, IdKind, Node, NodeKind, Reader, ReadingState, Trace, TraceCandidate, TraceQuery, ViewReading},
};

pub(super) fn routes() -> Routes {
    routes![get]
}

/// No id is longer: an event's source and its id have some hundred bytes each.
const ID_BYTES_MAX: usize = 4 << 10;

/// Things of one id that are named.
const NAMED_MAX: usize = 8;

/// Which chain.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct GetQuery {
    /// What the id is of: `saga`, `command`, `aggregate`, `event` or `published`. Needed where several things have the id.
    #[serde(rename = "as")]
    #[param(rename = "as")]
    kind: Option<String>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// What followed from a request, as a tree: commands, their events and the versions that decided them, the views that have the events,
/// sagas with their steps and undos.
///
/// `id` is the id of a saga; the idempotency key of a command or of a start; an aggregate as TYPE/ID (its last command), one of its
/// events as TYPE/ID/NUMBER, one of its commands as TYPE/ID/KEY; a published event as SOURCE/ID. A slash in it is sent as `%2F`. The
/// tree begins with the request that began the chain, whichever part of it is asked for.
#[utoipa::path(
    get, operation_id = "get_trace", path = "/v1/trace/{id}", tag = "events", params(("id" = String, Path), GetQuery),
    responses(
        (status = 200, body = trace::Trace),
        (status = 400, description = "a bad id or kind", body = ErrorBody),
        (status = 404, description = "`trace_not_found`: nothing that is recorded has this id", body = ErrorBody),
        (status = 409, description = "`ambiguous`: several things have this id, which are named", body = ErrorBody),
    )
)]
async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<GetQuery>,
) -> Result<Json<trace::Trace>, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    if id.len() > ID_BYTES_MAX {
        return Err(ApiError::bad_request(format!("an id of {} bytes is too long", id.len())));
    }
    let kind = query.kind.as_deref().map(kind_named).transpose()?;
    let (asked, namespace, views) = (id.clone(), caller.origin.namespace, api.views.clone());
    let read = move |reader: &Reader| {
        // A start under an idempotency key has an id that is made of both.
        let keyed =
            reader.definitions(&namespace)?.into_iter().map(|offered| mint::saga_id_from_key(&offered.definition.name, &asked));
        let query = TraceQuery { id: asked.clone(), kind, keyed: keyed.collect::<Result<_, _>>()? };
        let readers = views.readers(&namespace);
        Ok::<_, ApiError>(reader.trace(&namespace, &query, &|event_type, position| readers.of(event_type, position))?)
    };
    match api.read(read).await? {
        Found::Nothing => Err(not_found(&id)),
        Found::Several(candidates) => Err(ambiguous(&id, &candidates)),
        Found::Tree(tree) => Ok(Json(shown(*tree, api.positions()))),
    }
}

fn kind_named(name: &str) -> Result<IdKind, ApiError> {
    let kind = TraceIdKind::named(name).ok_or_else(|| {
        let kinds: Vec<&str> = TraceIdKind::ALL.iter().map(|kind| kind.as_str()).collect();
        ApiError::bad_request(format!("`{}` is nothing that an id is of", name.escape_debug()))
            .hint(format!("use one of {}", kinds.join(", ")))
    })?;
    Ok(match kind {
        TraceIdKind::Saga => IdKind::Saga,
        TraceIdKind::Command => IdKind::Command,
        TraceIdKind::Aggregate => IdKind::Aggregate,
        TraceIdKind::Event => IdKind::Event,
        TraceIdKind::Published => IdKind::Published,
    })
}

fn not_found(id: &str) -> ApiError {
    let message = format!("nothing that is recorded in this namespace has the id `{}`", id.escape_debug());
    ApiError::new(StatusCode::NOT_FOUND, "trace_not_found", message).hint(
        "give a saga's id, the key of a command, an aggregate as TYPE/ID, its event as TYPE/ID/NUMBER, or an event as SOURCE/ID; \
         `amends events` and `amends list` show what there is",
    )
}

fn ambiguous(id: &str, candidates: &[TraceCandidate]) -> ApiError {
    let named = |candidate: &TraceCandidate| format!("{} {}", id_kind(candidate.kind), candidate.id);
    let names: Vec<String> = candidates.iter().take(NAMED_MAX).map(named).collect();
    let more = if candidates.len() > NAMED_MAX { ", …" } else { "" };
    let message = format!("`{}` is the id of {} things: {}{more}", id.escape_debug(), candidates.len(), names.join(", "));
    let mut kinds: Vec<TraceIdKind> = candidates.iter().map(|candidate| id_kind(candidate.kind)).collect();
    kinds.dedup();
    let example = candidates.iter().find(|candidate| candidate.id != id).map(|candidate| candidate.id.as_str());
    ApiError::new(StatusCode::CONFLICT, "ambiguous", message).hint(match (kinds.first(), example) {
        (Some(kind), _) if kinds.len() > 1 => format!("say which, as `--as {kind}` (`?as={kind}`)"),
        (_, Some(example)) => format!("name one in full, as {example}"),
        _ => "name one in full".to_owned(),
    })
}

fn id_kind(kind: IdKind) -> TraceIdKind {
    match kind {
        IdKind::Saga => TraceIdKind::Saga,
        IdKind::Command => TraceIdKind::Command,
        IdKind::Aggregate => TraceIdKind::Aggregate,
        IdKind::Event => TraceIdKind::Event,
        IdKind::Published => TraceIdKind::Published,
    }
}

fn shown(trace: Trace, positions: Positions) -> trace::Trace {
    let open = trace.open.into_iter().map(|(saga, stands)| trace::TraceOpen { saga, status: status(stands) });
    trace::Trace {
        found: id_kind(trace.found.kind),
        id: trace.found.id,
        nodes: trace.nodes,
        cut: trace.is_cut,
        open: open.collect(),
        root: node(trace.root, positions),
    }
}

/// The tree is as deep as a chain of streams is long, and a node of one stream has few levels.
fn node(node: Node, positions: Positions) -> trace::TraceNode {
    let (module, version) = node.code.map_or((None, None), |(module, version)| (module, Some(version)));
    trace::TraceNode {
        kind: node_kind(node.kind),
        what: node.what,
        id: node.id,
        module,
        version,
        at: time(node.at),
        ended_at: node.ended_at.map(time),
        position: positions.show(node.position),
        by: node.actor.as_ref().map(actor),
        outcome: node.outcome,
        failure: node.failure.map(|failure| trace::TraceFailure { code: failure.code, message: failure.message }),
        attempts: Some(node.attempts).filter(|attempts| *attempts > 0),
        asked: node.is_asked,
        views: node.views.into_iter().map(view).collect(),
        children: node.children.into_iter().map(|child| self::node(child, positions)).collect(),
    }
}

fn view(reading: ViewReading) -> trace::TraceView {
    let ViewReading { view, generation, module, version, state, taken_at, why } = reading;
    let state = match state {
        ReadingState::Taken => TraceViewState::Taken,
        ReadingState::Skipped => TraceViewState::Skipped,
        ReadingState::Behind => TraceViewState::Behind,
        ReadingState::Stopped => TraceViewState::Stopped,
    };
    trace::TraceView { view, generation, module, version, state, taken_at: taken_at.map(time), why }
}

fn node_kind(kind: NodeKind) -> TraceNodeKind {
    match kind {
        NodeKind::Request => TraceNodeKind::Request,
        NodeKind::Schedule => TraceNodeKind::Schedule,
        NodeKind::Command => TraceNodeKind::Command,
        NodeKind::Event => TraceNodeKind::Event,
        NodeKind::Published => TraceNodeKind::Published,
        NodeKind::Saga => TraceNodeKind::Saga,
        NodeKind::Step => TraceNodeKind::Step,
        NodeKind::Undo => TraceNodeKind::Undo,
        NodeKind::Check => TraceNodeKind::Check,
        NodeKind::Rollback => TraceNodeKind::Rollback,
        NodeKind::Act => TraceNodeKind::Act,
        NodeKind::Arrived => TraceNodeKind::Arrived,
        NodeKind::Woke => TraceNodeKind::Woke,
        NodeKind::NotStarted => TraceNodeKind::NotStarted,
        NodeKind::Policy => TraceNodeKind::Policy,
    }
}
