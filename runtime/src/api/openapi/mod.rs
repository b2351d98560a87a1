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

use utoipa::{Modify, OpenApi};

use self::{
    operations::{Bodies, Errors, Headers},
    schemas::{Nullability, Unions},
};
use super::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Amends",
        description = "A durable saga runtime. The namespace is the header `Amends-Namespace`, else `default`. \
        Every answer to a write carries `Amends-Position`, which reads take as `at_least`."
    ),
    servers((url = "/", description = "the host that answers this")),
)]
struct Head;

/// OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut described = Head::openapi().merge_from(routes::described());
    let modifiers: [&dyn Modify; 5] = [&Bodies, &Headers, &Errors, &Nullability, &Unions];
    modifiers.iter().for_each(|modifier| modifier.modify(&mut described));
    described
}
