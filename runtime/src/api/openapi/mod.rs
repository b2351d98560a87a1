//! The OpenAPI description of the API, made from the handlers' own descriptions and from the types of `amends-wire`.
//!
//! Each handler describes what is its own. What holds for many operations (headers, errors) and what code generators need of a
//! schema is added here, once.

mod operations;

mod schemas;

#[cfg(any(test, feature = "testing"))]
pub mod described;

#[cfg(test)]
mod tests;

use utoipa::OpenApi;

use self::{
    operations::{Bodies, Errors, Headers},
    schemas::{Nullability, Unions},
};
use super::routes::{definitions, events, grants, host, jobs, modules, sagas, schedules, start, stuck, verbs, watch};

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
        modules::breaks,
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
        schedules::list,
        schedules::show,
        schedules::put,
        schedules::remove,
        schedules::pause,
        schedules::resume,
        schedules::trigger,
        stuck::show,
        jobs::ask,
        jobs::list,
        jobs::show,
        jobs::stop,
        host::alive,
        host::ready,
        host::metrics,
        host::openapi,
    ),
    servers((url = "/", description = "the host that answers this")),
    modifiers(&Bodies, &Headers, &Errors, &Nullability, &Unions)
)]
struct Description;

/// OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
