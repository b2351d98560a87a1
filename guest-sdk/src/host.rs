//! The environment of a step: the imports of the host in a component, the world of the test kit elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "host/wasm.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "host/native.rs")]
mod surroundings;

pub(crate) use surroundings::*;
