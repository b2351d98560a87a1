//! Calls the module's steps from the component's exports.

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::bindings::triggers::exports::amends::module::triggers::Trigger;
use crate::stop::Failure;
use crate::{Call, Module, http};

/// Exports a module: `amends_sdk::export!(saga: module);` with the function that returns it.
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
#[macro_export]
macro_rules! export {
    (saga: $module:path $(,)?) => {
        const _: fn() -> $crate::Module = $module;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::saga::exports::amends::module::saga as wit;
            use $crate::bindings::triggers::exports::amends::module::triggers;

            struct Exports;

            impl wit::Guest for Exports {
                fn describe() -> wit::Description {
                    $crate::__exports::describe($module())
                }

                fn execute(call: wit::Call) -> wit::Outcome {
                    $crate::__exports::execute($module(), call)
                }

                fn compensate(call: wit::Call) -> wit::UndoOutcome {
                    $crate::__exports::compensate($module(), call)
                }

                fn check(call: wit::Call) -> wit::CheckOutcome {
                    $crate::__exports::check($module(), call)
                }
            }

            impl triggers::Guest for Exports {
                fn triggers() -> Vec<triggers::Trigger> {
                    $crate::__exports::triggers($module())
                }
            }

    $crate::bindings::saga::export_saga!(Exports with_types_in $crate::bindings::saga);
    $crate::bindings::triggers::export_triggers!(Exports with_types_in $crate::bindings::triggers);
        };
    };
}

/// The description of the module.
pub fn describe(module: Module) -> wit::Description {
    module.description()
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

/// The host calls only steps that `describe` returned, so an unknown step is a fault of the host and no decision.
fn no_such_step(call: &wit::Call) -> Failure {
    let message = format_args!("this module has no step {} in a saga {}", call.path, call.definition);
    Failure::new("no_such_step", message)
}
