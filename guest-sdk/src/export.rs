//! Calls the module's steps and aggregates from the component's exports.

use crate::aggregate::Untyped;
use crate::bindings::aggregates::exports::amends::module::aggregate;
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::bindings::triggers::exports::amends::module::triggers::Trigger;
use crate::stop::Failure;
use crate::{Call, Module, http};

pub use crate::aggregate::{CommandSpec, EventSpec, Presence, Upcast, upcast};
pub use crate::bindings::imports::amends::module::types::{Failure as WitFailure, Payload};

/// Exports a module: `amends_sdk::export!(saga: module);` with the function that returns it.
///
/// It says what the module has: `saga: module` if it has sagas, `aggregate: module` if it has aggregates, and
/// `saga: module, aggregate: module` for both. What the module has and the macro does not say is refused at deploy.
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
#[macro_export]
macro_rules! export {
    (saga: $module:path $(,)?) => {
        const _: fn() -> $crate::Module = $module;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exports;

            $crate::export!(@saga Exports $module, $crate::__exports::describe_sagas_alone);
        };
    };

    (aggregate: $module:path $(,)?) => {
        const _: fn() -> $crate::Module = $module;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exports;

            $crate::export!(@aggregate Exports $module, $crate::__exports::describe_aggregates_alone);
        };
    };

    (saga: $sagas:path, aggregate: $aggregates:path $(,)?) => {
        const _: [fn() -> $crate::Module; 2] = [$sagas, $aggregates];

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exports;

            $crate::export!(@saga Exports $sagas, $crate::__exports::describe);
            $crate::export!(@aggregate Exports $aggregates, $crate::__exports::describe_aggregates);
        };
    };

    (@saga $exports:ident $module:path, $describe:path) => {
        use $crate::bindings::saga::exports::amends::module::saga as __saga;
        use $crate::bindings::triggers::exports::amends::module::triggers as __triggers;

        impl __saga::Guest for $exports {
            fn describe() -> __saga::Description {
                $describe($module())
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

    (@aggregate $exports:ident $module:path, $describe:path) => {
        use $crate::bindings::aggregates::exports::amends::module::aggregate as __aggregate;

        impl __aggregate::Guest for $exports {
            fn describe() -> __aggregate::Description {
                $describe($module())
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
}

/// The description of the module.
pub fn describe(module: Module) -> wit::Description {
    module.description()
}

/// The description of a module that exports nothing else: it panics, and the deploy is refused, if it has more than that.
pub fn describe_sagas_alone(module: Module) -> wit::Description {
    assert!(module.aggregates().is_empty(), "this module has aggregates: export!(saga: …, aggregate: …) exports them too");
    describe(module)
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
pub fn describe_aggregates(module: Module) -> aggregate::Description {
    module.aggregates_description()
}

/// The same of a module that exports nothing else: it panics, and the deploy is refused, if it has more than that.
pub fn describe_aggregates_alone(module: Module) -> aggregate::Description {
    assert!(module.sagas().is_empty(), "this module has sagas: export!(saga: …, aggregate: …) exports them too");
    describe_aggregates(module)
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

/// The host calls only steps that `describe` returned, so an unknown step is a fault of the host and no decision.
fn no_such_step(call: &wit::Call) -> Failure {
    let message = format_args!("this module has no step {} in a saga {}", call.path, call.definition);
    Failure::new("no_such_step", message)
}
