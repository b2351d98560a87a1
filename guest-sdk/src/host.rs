//! What the surroundings of a step offer: the host's imports in a component, the test kit's world elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "host/wasm.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "host/native.rs")]
mod surroundings;

pub(crate) use surroundings::*;
