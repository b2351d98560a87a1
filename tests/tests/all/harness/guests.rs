//! The built example modules. `cargo xtask guests` builds them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// How a component was built. Both ways must give the same behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By `cargo build --target wasm32-wasip2`.
    Plain,
    /// By `cargo component build`.
    Component,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Component => "component",
        }
    }
}

/// The bytes of `order`, or of its second version, `order-v2`.
pub(crate) fn guest(way: Way, name: &str) -> Vec<u8> {
    let path = guest_path(way, name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

/// The path of `order.wasm`.
pub(crate) fn guest_path(way: Way, name: &str) -> PathBuf {
    guest_folder().join(way.name()).join(format!("{name}.wasm"))
}

/// `target/guests`, or the folder that `AMENDS_GUESTS` names.
pub(crate) fn guest_folder() -> PathBuf {
    env::var_os("AMENDS_GUESTS").map_or_else(|| repository().join("target/guests"), PathBuf::from)
}

/// The checkout.
pub(crate) fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
