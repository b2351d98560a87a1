//! The description of the API, generated from its handlers.

use utoipa::OpenApi;

use super::routes::{definitions, events, grants, host, modules, sagas, start, verbs, watch};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Amends",
        description = "A durable saga runtime. The namespace is the header `Amends-Namespace`, else `default`. \
        Every answer to a write carries `Amends-Position`, which reads take as `at_least`."
    ),
    paths(
        modules::list,
        modules::deploy,
        modules::show,
        modules::deploy_as,
        modules::activate,
        modules::remove,
        grants::show,
        grants::set,
        definitions::list,
        definitions::show,
        start::start,
        sagas::list,
        sagas::show,
        sagas::journal,
        watch::saga,
        watch::all,
        verbs::cancel,
        verbs::retry,
        verbs::skip,
        verbs::unlock,
        verbs::move_to,
        verbs::resolve,
        verbs::abandon,
        events::signal,
        events::publish,
        host::alive,
        host::ready,
        host::metrics,
        host::openapi,
    )
)]
struct Description;

/// OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
