//! Which handler answers which path. One file a thing: it lists its handlers, and each is served where its own OpenAPI description
//! says. So a handler that is served is described, and a description is of what is served.

/// The handlers of a file.
macro_rules! routes {
    [$($handler:ident),+ $(,)?] => {
        $crate::api::routes::Routes::default()$(.serve(
            {
                #[derive(utoipa::OpenApi)]
                #[openapi(paths($handler))]
                struct Described;

                <Described as utoipa::OpenApi>::openapi()
            },
            $handler,
        ))+
    };
}

mod start;

mod sagas;

pub mod journal;

mod watch;

mod verbs;

mod stuck;

pub mod jobs;

mod filter;

mod events;

pub mod batch;

mod aggregates;

pub mod import;

mod recorded;

mod trace;

mod views;

mod policies;

mod schedules;

mod modules;

mod grants;

mod definitions;

mod host;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use utoipa::openapi::{OpenApi, PathItem};

use super::{Api, error::ApiError, guard, panics, text};

/// All that the host serves.
fn routes() -> Routes {
    Routes::default()
        .and(modules::routes())
        .and(grants::routes())
        .and(definitions::routes())
        .and(start::routes())
        .and(sagas::routes())
        .and(journal::routes())
        .and(watch::routes())
        .and(verbs::routes())
        .and(events::routes())
        .and(aggregates::routes())
        .and(import::routes())
        .and(recorded::routes())
        .and(trace::routes())
        .and(views::routes())
        .and(policies::routes())
        .and(schedules::routes())
        .and(stuck::routes())
        .and(jobs::routes())
        .and(host::routes())
}

pub(super) fn router(api: Arc<Api>) -> Router {
    routes()
        .router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), around))
        .with_state(api)
}

/// What holds for every route: a stranger's page is refused, a handler that panics is answered for, and what is large is counted.
async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if let Err(error) = guard::check(request.headers(), request.uri(), &api.options.hosts) {
        return error.into_response();
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let is_read = method == Method::GET;
    let response = panics::answered(method, uri, next.run(request)).await;
    text::bounded(response, &api.held.pages, is_read)
}

/// What the handlers say of themselves.
pub(super) fn described() -> OpenApi {
    routes().described
}

/// Some handlers and what they say of themselves.
#[derive(Default)]
struct Routes {
    router: Router<Arc<Api>>,
    described: OpenApi,
}

impl Routes {
    /// With a handler, at the method and path of its description.
    fn serve<T: 'static>(self, described: OpenApi, handler: impl Handler<T, Arc<Api>>) -> Self {
        let served = described.paths.paths.iter().flat_map(|(path, item)| methods(item).map(move |method| (path, method)));
        let router = served.fold(self.router, |router, (path, method)| router.route(path, on(method, handler.clone())));
        Self { router, described: self.described.merge_from(described) }
    }

    fn and(self, others: Self) -> Self {
        Self { router: self.router.merge(others.router), described: self.described.merge_from(others.described) }
    }
}

fn methods(item: &PathItem) -> impl Iterator<Item = MethodFilter> {
    let all = [
        (MethodFilter::GET, &item.get),
        (MethodFilter::POST, &item.post),
        (MethodFilter::PUT, &item.put),
        (MethodFilter::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.is_some().then_some(method))
}

async fn no_route(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(120).collect();
    ApiError::new(StatusCode::NOT_FOUND, "route_not_found", format!("no route `{path}`")).hint("GET /openapi.json lists them")
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(120).collect();
    let message = format!("`{path}` does not take {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).hint("GET /openapi.json lists what it takes")
}

/// An answer to a write: it carries the position that later reads may name.
fn written(api: &Api, position: u64, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(&api.positions().show(position)) {
        response.headers_mut().insert(HeaderName::from_static("amends-position"), value);
    }
    response
}
