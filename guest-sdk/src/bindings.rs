//! The generated bindings to the contract in `wit/`. Only this file is generated.

/// What every module may import, and the types that all interfaces share.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod imports {
    wit_bindgen::generate!({
        world: "imports",
        path: "../wit",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Clone],
    });
}

/// The saga interface, and the macro that exports it.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod saga {
    wit_bindgen::generate!({
        world: "saga-module",
        path: "../wit",
        pub_export_macro: true,
        export_macro_name: "export_saga",
        default_bindings_module: "amends_sdk::bindings::saga",
        additional_derives: [PartialEq, Clone],
        with: {
            "amends:module/types@0.1.0": super::imports::amends::module::types,
            "amends:module/context@0.1.0": super::imports::amends::module::context,
            "amends:module/log@0.1.0": super::imports::amends::module::log,
            "amends:module/config@0.1.0": super::imports::amends::module::config,
            "amends:module/secrets@0.1.0": super::imports::amends::module::secrets,
            "amends:module/messages@0.1.0": super::imports::amends::module::messages,
        },
    });
}

/// The triggers interface, and the macro that exports it.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod triggers {
    wit_bindgen::generate!({
        world: "triggers-module",
        path: "../wit",
        pub_export_macro: true,
        export_macro_name: "export_triggers",
        default_bindings_module: "amends_sdk::bindings::triggers",
        additional_derives: [PartialEq, Clone],
    });
}

/// The aggregate interface, and the macro that exports it.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod aggregates {
    wit_bindgen::generate!({
        world: "aggregates-module",
        path: "../wit",
        pub_export_macro: true,
        export_macro_name: "export_aggregates",
        default_bindings_module: "amends_sdk::bindings::aggregates",
        additional_derives: [PartialEq, Clone],
        with: {
            "amends:module/types@0.1.0": super::imports::amends::module::types,
        },
    });
}

/// The projection interface and the rows that it imports, and the macro that exports it.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod projections {
    wit_bindgen::generate!({
        world: "projections-module",
        path: "../wit",
        pub_export_macro: true,
        export_macro_name: "export_projections",
        default_bindings_module: "amends_sdk::bindings::projections",
        additional_derives: [PartialEq, Clone],
        with: {
            "amends:module/types@0.1.0": super::imports::amends::module::types,
        },
    });
}

/// The policy interface, and the macro that exports it.
#[allow(missing_docs, reason = "generated from the WIT, which has the documentation")]
pub mod policies {
    wit_bindgen::generate!({
        world: "policies-module",
        path: "../wit",
        pub_export_macro: true,
        export_macro_name: "export_policies",
        default_bindings_module: "amends_sdk::bindings::policies",
        additional_derives: [PartialEq, Clone],
        with: {
            "amends:module/types@0.1.0": super::imports::amends::module::types,
        },
    });
}
