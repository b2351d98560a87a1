//! The paths of the repository and of `target/`.

use std::path::{Path, PathBuf};

/// The checkout that this xtask was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout whose `xtask/` folder holds this crate.
    pub(crate) fn here() -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { root: xtask.parent().unwrap_or(xtask).to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The example modules' sources.
    pub(crate) fn examples(&self) -> PathBuf {
        self.root.join("examples")
    }

    /// Cargo's folder for everything that runs on this machine.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Cargo's folder for guests: apart, so that neither build waits for the other's lock.
    pub(crate) fn guest_target(&self) -> PathBuf {
        self.target().join("guest-build")
    }

    /// Where tests, demo and benchmark find the built modules.
    pub(crate) fn guests(&self) -> PathBuf {
        self.target().join("guests")
    }

    /// Tools that the set-up made; nothing outside the checkout knows them.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The user's binary, kept apart: `cargo test --workspace` overwrites `target/debug/amends`
    /// with one that has the feature `testing`.
    pub(crate) fn user_binary(&self) -> PathBuf {
        self.target().join("user").join("amends")
    }
}
