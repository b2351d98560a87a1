//! Runs cargo for a module, on a toolchain that can build for wasm, and reads from it which components it built.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use amends_toolchain::{Need, Toolchain};
use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{exit::Usage, session::say};

/// What components are built for: the compiler's own linker makes them.
const TARGET: &str = "wasm32-wasip2";

/// The cargo that builds the module in a folder.
pub(crate) struct Cargo {
    toolchain: Toolchain,
    folder: PathBuf,
}

/// How much is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// What is built at each save.
    Dev,
    /// What runs for good.
    Release,
}

/// How much cargo says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Every crate that it compiles.
    Normal,
    /// Only errors and warnings.
    Quiet,
}

impl Cargo {
    /// Of the module that a folder belongs to. Sets a toolchain up if there is none that can build it.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let dir = fs::canonicalize(dir).with_context(|| format!("cannot find {}", dir.display()))?;
        let Some(folder) = dir.ancestors().find(|above| above.join("Cargo.toml").is_file()) else {
            let dir = dir.display();
            return Err(
                Usage(format!("there is no Cargo.toml in {dir} or above it; make a module with `amends new NAME`")).into()
            );
        };
        let tools = tools()?;
        let need = Need { folder, targets: &[TARGET], tools: &tools, stale: None, say };
        let toolchain = amends_toolchain::ready(&need).with_context(|| format!("cannot build for {TARGET}"))?;
        Ok(Self { toolchain, folder: folder.to_path_buf() })
    }

    /// The module's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Builds the module: one component, or several in a workspace. What cargo says goes to this terminal.
    pub(crate) fn build(&self, profile: Profile, voice: Voice) -> Result<Vec<PathBuf>> {
        let mut build = Command::new(self.toolchain.cargo());
        self.toolchain.enter(&mut build);
        build.current_dir(&self.folder).args(["build", "--lib", "--target", TARGET]);
        build.args(["--message-format", "json-render-diagnostics"]).stdin(Stdio::null()).stdout(Stdio::piped());
        build.args((profile == Profile::Release).then_some("--release")).args((voice == Voice::Quiet).then_some("--quiet"));
        let mut child = build.spawn().context("cannot start cargo; is Rust installed?")?;
        let messages = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let components: Vec<PathBuf> = messages.map_while(Result::ok).filter_map(|line| component(&line)).collect();
        let status = child.wait().context("cannot wait for cargo")?;
        let folder = self.folder.display();
        if !status.success() {
            bail!("cargo cannot build {folder}; its errors are above");
        }
        if components.is_empty() {
            bail!("there is no module in {folder}; add `crate-type = [\"cdylib\"]` to [lib] in its Cargo.toml");
        }
        Ok(components)
    }
}

/// Where a toolchain is kept if one must be made.
fn tools() -> Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache"))).map(|cache| cache.join("amends"));
    let tools = named("AMENDS_TOOLS").or_else(cache);
    tools.context("cannot tell where to keep a toolchain, without a home folder; name one in AMENDS_TOOLS")
}

/// A line of cargo's: an artifact, among others.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn component(line: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let is_component = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "wasm");
    // What was asked for, cargo lays beside `deps`; what that depends on lies in it.
    let was_asked_for = |file: &PathBuf| !file.parent().is_some_and(|folder| folder.ends_with("deps"));
    let mut files = message.filenames.into_iter().filter(|_| message.reason == "compiler-artifact");
    files.find(|file| is_component(file) && was_asked_for(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_told_from_what_it_is_made_of() {
        let artifact = |files: &str| format!(r#"{{"reason":"compiler-artifact","fresh":true,"filenames":[{files}]}}"#);
        let shop = artifact(r#""/p/target/wasm32-wasip2/debug/shop.wasm","/p/target/wasm32-wasip2/debug/libshop.rlib""#);
        assert_eq!(component(&shop), Some(PathBuf::from("/p/target/wasm32-wasip2/debug/shop.wasm")));
        assert_eq!(component(&artifact(r#""/p/target/wasm32-wasip2/debug/deps/libserde-1.rlib""#)), None);
        assert_eq!(component(&artifact(r#""/p/target/wasm32-wasip2/debug/deps/common-1.wasm""#)), None);
        assert_eq!(component(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component("a build script says hello"), None);
    }

    #[test]
    fn a_folder_without_a_crate_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Cargo::of(folder.path()).err().unwrap();
        assert!(error.is::<Usage>());
        let expected =
            format!("there is no Cargo.toml in {} or above it; make a module with `amends new NAME`", folder.path().display());
        assert_eq!(error.to_string(), expected);
        let gone = folder.path().join("gone");
        assert_eq!(Cargo::of(&gone).err().unwrap().to_string(), format!("cannot find {}", gone.display()));
    }
}
