//! What `bindgen!` makes of `wit/`: the guest contract as Rust types. Nothing else lives here.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "saga-module",
    imports: { default: trappable },
    exports: { default: async },
});

/// Events that start sagas: what a module may export beside them.
pub mod triggers {
    wasmtime::component::bindgen!({ path: "../wit", world: "triggers-module", exports: { default: async } });
}

/// Views: what a module may export beside its sagas and aggregates, or in place of them, and the rows that it is offered.
pub mod projections {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "projections-module",
        imports: { default: trappable },
        exports: { default: async },
        with: { "amends:module/types": super::amends::module::types },
    });
}

/// Policies: what a module may export beside the others, or in place of them.
pub mod policies {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "policies-module",
        exports: { default: async },
        with: { "amends:module/types": super::amends::module::types },
    });
}

/// Aggregates: what a module may export beside its sagas, or in place of them.
pub mod aggregates {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "aggregates-module",
        exports: { default: async },
        with: { "amends:module/types": super::amends::module::types },
    });
}
