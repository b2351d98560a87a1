//! The description of the API, generated from its handlers.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Object, RefOr,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use super::routes::{definitions, events, grants, host, jobs, modules, sagas, start, stuck, verbs, watch};

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
    modifiers(&Headers)
)]
struct Description;

/// The headers that every request under `/v1/` may carry, and the one that answers to its writes do.
struct Headers;

impl Modify for Headers {
    fn modify(&self, described: &mut utoipa::openapi::OpenApi) {
        for (_, item) in described.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/v1/")) {
            item.get.iter_mut().for_each(|read| take(read, "Amends-Namespace", "The namespace; `default` if left out."));
            for write in [&mut item.post, &mut item.put, &mut item.delete].into_iter().flatten() {
                take(write, "Amends-Namespace", "The namespace; `default` if left out.");
                take(write, "Idempotency-Key", "The same key with the same request is the same write.");
                answers_with_position(write);
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

/// OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
