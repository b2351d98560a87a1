//! Calls the module's steps, aggregates, projections and policies from the component's exports.

use crate::aggregate::Untyped;
use crate::bindings::aggregates::exports::amends::module::aggregate;
use crate::bindings::policies::exports::amends::module::policy;
use crate::bindings::projections::exports::amends::module::projection;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::bindings::triggers::exports::amends::module::triggers::Trigger;
use crate::stop::Failure;
use crate::{Call, Module, http};

pub use crate::aggregate::{CommandSpec, EventSpec, Presence, Upcast, upcast};
pub use crate::bindings::imports::amends::module::types::{Failure as WitFailure, Payload};

/// Exports a module: `amends_sdk::export!(saga: module);` with the function that returns it.
///
/// It says what the module has: `saga: module` if it has sagas, `aggregate: module` if it has aggregates, `projection: module` if it
/// has projections, `policy: module` if it has policies, and all that apply, with a comma between them. What the module has and the
/// macro does not say is refused at deploy.
///
/// Use it once in a crate of type `cdylib`. On targets other than wasm it only checks the type of the function, so that unit
/// tests can link several modules.
///
/// ```
/// use amends_sdk::{Module, Saga, Step};
///
/// fn module() -> Module {
///     let hello = Step::retriable("hello", |name: String, _| Ok(format!("hello, {name}"))).effect_free();
///     Module::new("hello").saga(Saga::new("hello").step(hello))
/// }
/// amends_sdk::export!(saga: module);
/// ```
///
/// ```
/// # use amends_sdk::{Aggregate, Command, Decision, Event, Module, Saga, Step, accept};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Command, Deserialize)] enum Do { Greet }
/// # #[derive(Event, Serialize, Deserialize)] enum Did { Greeted }
/// # fn hello() -> Saga<String> { Saga::new("hello").step(Step::retriable("hello", |name: String, _| Ok(name))) }
/// # fn guest() -> Aggregate<u32, Do, Did> {
/// #     Aggregate::new("guest", |_: &u32, _: Do| accept(Did::Greeted), |times: &mut u32, _: Did| *times += 1)
/// # }
/// fn module() -> Module {
///     Module::new("hello").saga(hello()).aggregate(guest())
/// }
/// amends_sdk::export!(saga: module, aggregate: module);
/// ```
///
/// ```compile_fail
/// # fn module() -> amends_sdk::Module { amends_sdk::Module::new("hello") }
/// amends_sdk::export!(sagas: module); // a module exports `saga`, `aggregate`, `projection` and `policy`
/// ```
#[macro_export]
macro_rules! export {
    ($($interface:ident: $module:path),+ $(,)?) => {
        $(
            const _: fn() -> $crate::Module = $module;
            $crate::export!(@known $interface);
        )+

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exports;

            /// The interfaces that the component exports.
            const EXPORTED: &[&str] = &[$(stringify!($interface)),+];

            $($crate::export!(@$interface Exports $module, EXPORTED);)+
        };
    };

    (@known saga) => {};
    (@known aggregate) => {};
    (@known projection) => {};
    (@known policy) => {};
    (@known $other:ident) => {
        compile_error!(concat!("a module exports `saga`, `aggregate`, `projection` and `policy`, and not `", stringify!($other), "`"));
    };

    (@saga $exports:ident $module:path, $exported:ident) => {
        use $crate::bindings::saga::exports::amends::module::saga as __saga;
        use $crate::bindings::triggers::exports::amends::module::triggers as __triggers;

        impl __saga::Guest for $exports {
            fn describe() -> __saga::Description {
                $crate::__exports::describe($module(), $exported)
            }

            fn execute(call: __saga::Call) -> __saga::Outcome {
                $crate::__exports::execute($module(), call)
            }

            fn compensate(call: __saga::Call) -> __saga::UndoOutcome {
                $crate::__exports::compensate($module(), call)
            }

            fn check(call: __saga::Call) -> __saga::CheckOutcome {
                $crate::__exports::check($module(), call)
            }
        }

        impl __triggers::Guest for $exports {
            fn triggers() -> Vec<__triggers::Trigger> {
                $crate::__exports::triggers($module())
            }
        }

        $crate::bindings::saga::export_saga!($exports with_types_in $crate::bindings::saga);
        $crate::bindings::triggers::export_triggers!($exports with_types_in $crate::bindings::triggers);
    };

    (@aggregate $exports:ident $module:path, $exported:ident) => {
        use $crate::bindings::aggregates::exports::amends::module::aggregate as __aggregate;

        impl __aggregate::Guest for $exports {
            fn describe() -> __aggregate::Description {
                $crate::__exports::describe_aggregates($module(), $exported)
            }

            fn decide(call: __aggregate::Call) -> __aggregate::Decided {
                $crate::__exports::decide($module(), call)
            }

            fn evolve(fold: __aggregate::Fold) -> $crate::__exports::Payload {
                $crate::__exports::evolve($module(), fold)
            }

            fn upcast(
                event_type: String,
                version: u32,
                data: $crate::__exports::Payload,
            ) -> Result<$crate::__exports::Payload, $crate::__exports::WitFailure> {
                $crate::__exports::upcast_event($module(), &event_type, version, &data)
            }
        }

        $crate::bindings::aggregates::export_aggregates!($exports with_types_in $crate::bindings::aggregates);
    };

    (@projection $exports:ident $module:path, $exported:ident) => {
        use $crate::bindings::projections::exports::amends::module::projection as __projection;

        impl __projection::Guest for $exports {
            fn describe() -> __projection::Description {
                $crate::__exports::describe_projections($module(), $exported)
            }

            fn project(batch: __projection::Batch) -> Result<(), $crate::__exports::WitFailure> {
                $crate::__exports::project($module(), &batch)
            }

            fn query(question: __projection::Question) -> Result<$crate::__exports::Payload, $crate::__exports::WitFailure> {
                $crate::__exports::query($module(), &question)
            }
        }

        $crate::bindings::projections::export_projections!($exports with_types_in $crate::bindings::projections);
    };

    (@policy $exports:ident $module:path, $exported:ident) => {
        use $crate::bindings::policies::exports::amends::module::policy as __policy;

        impl __policy::Guest for $exports {
            fn describe() -> __policy::Description {
                $crate::__exports::describe_policies($module(), $exported)
            }

            fn handle(call: __policy::Call) -> Result<__policy::Reaction, $crate::__exports::WitFailure> {
                $crate::__exports::handle($module(), call)
            }
        }

        $crate::bindings::policies::export_policies!($exports with_types_in $crate::bindings::policies);
    };
}

/// The description of the module. Like those below it panics, and the deploy is refused, if the module has what the component does
/// not export.
pub fn describe(module: Module, exported: &[&str]) -> wit::Description {
    exports_all(&module, exported);
    module.description()
}

fn exports_all(module: &Module, exported: &[&str]) {
    let exports = |interface| exported.contains(&interface);
    // Texts that are ready: this is in each component.
    assert!(module.sagas().is_empty() || exports("saga"), "this module has sagas; add `saga: …` to its export!");
    assert!(
        module.aggregates().is_empty() || exports("aggregate"),
        "this module has aggregates; add `aggregate: …` to its export!"
    );
    assert!(
        module.projections().is_empty() || exports("projection"),
        "this module has projections; add `projection: …` to its export!"
    );
    assert!(module.policies().is_empty() || exports("policy"), "this module has policies; add `policy: …` to its export!");
}

/// Which events start which of its sagas.
pub fn triggers(module: Module) -> Vec<Trigger> {
    module.triggers()
}

/// Runs a step.
pub fn execute(module: Module, call: wit::Call) -> wit::Outcome {
    http::begin();
    match module.step(&call.definition, &call.path) {
        Some(step) => step.execute(&Call::new(call)),
        None => wit::Outcome::Transient(no_such_step(&call).into()),
    }
}

/// Runs a step's compensation.
pub fn compensate(module: Module, call: wit::Call) -> wit::UndoOutcome {
    http::begin();
    match module.step(&call.definition, &call.path) {
        Some(step) => step.compensate(&Call::new(call)),
        None => wit::UndoOutcome::Transient(no_such_step(&call).into()),
    }
}

/// Runs a step's check.
pub fn check(module: Module, call: wit::Call) -> wit::CheckOutcome {
    http::begin();
    match module.step(&call.definition, &call.path) {
        Some(step) => step.check(&Call::new(call)),
        None => wit::CheckOutcome::Unknown(no_such_step(&call).into()),
    }
}

/// The description of the module's aggregates.
pub fn describe_aggregates(module: Module, exported: &[&str]) -> aggregate::Description {
    exports_all(&module, exported);
    module.aggregates_description()
}

/// Decides the commands of an aggregate.
pub fn decide(module: Module, call: aggregate::Call) -> aggregate::Decided {
    found(&module, &call.fold.aggregate).decide(call)
}

/// Folds events.
pub fn evolve(module: Module, fold: aggregate::Fold) -> Payload {
    found(&module, &fold.aggregate).evolve(fold)
}

/// Brings data of an older form into the current one.
pub fn upcast_event(module: Module, event_type: &str, version: u32, data: &Payload) -> Result<Payload, WitFailure> {
    let name = event_type.split_once('.').map_or(event_type, |(name, _)| name);
    Ok(found(&module, name).upcast(event_type, version, data)?)
}

/// The host calls only aggregates that `describe` returned.
fn found<'a>(module: &'a Module, name: &str) -> &'a dyn Untyped {
    let found = module.aggregates().iter().find(|aggregate| aggregate.name() == name);
    &**found.unwrap_or_else(|| panic!("this module has no aggregate {name}"))
}

/// The description of the module's projections.
pub fn describe_projections(module: Module, exported: &[&str]) -> projection::Description {
    exports_all(&module, exported);
    module.projections_description()
}

/// Takes events into the rows of a projection.
pub fn project(module: Module, batch: &projection::Batch) -> Result<(), WitFailure> {
    Ok(found_projection(&module, &batch.projection).project(&batch.events)?)
}

/// Answers a question.
pub fn query(module: Module, question: &projection::Question) -> Result<Payload, WitFailure> {
    Ok(found_projection(&module, &question.projection).query(question)?)
}

/// The host calls only projections that `describe` returned.
fn found_projection<'a>(module: &'a Module, name: &str) -> &'a dyn crate::projection::Untyped {
    let found = module.projections().iter().find(|projection| projection.name() == name);
    &**found.unwrap_or_else(|| panic!("this module has no projection {name}"))
}

/// The description of the module's policies.
pub fn describe_policies(module: Module, exported: &[&str]) -> policy::Description {
    exports_all(&module, exported);
    for policy in module.policies() {
        assert!(policy.problems().is_empty(), "policy `{}`: {}", policy.name(), policy.problems().join("; "));
    }
    module.policies_description()
}

/// Lets a policy react to a cause.
pub fn handle(module: Module, call: policy::Call) -> Result<policy::Reaction, WitFailure> {
    Ok(found_policy(&module, &call.policy).handle(&call)?)
}

/// The host calls only policies that `describe` returned.
fn found_policy<'a>(module: &'a Module, name: &str) -> &'a dyn crate::policy::Untyped {
    let found = module.policies().iter().find(|policy| policy.name() == name);
    &**found.unwrap_or_else(|| panic!("this module has no policy {name}"))
}

/// The host calls only steps that `describe` returned, so an unknown step is a fault of the host and no decision.
fn no_such_step(call: &wit::Call) -> Failure {
    let message = format_args!("this module has no step {} in a saga {}", call.path, call.definition);
    Failure::new("no_such_step", message)
}
