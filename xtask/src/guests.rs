//! Builds the example modules as WebAssembly components, in both ways that users build theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, say};
use crate::toolchain::{self, Toolchain};
use crate::workspace::Workspace;

/// How a guest becomes a component. Both must give the same behaviour.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// `cargo build --target wasm32-wasip2`: the compiler's linker makes the component.
    Plain,
    /// `cargo component build`: a wasip1 module, and an adapter that makes it a component.
    Component,
}

/// One example module.
#[derive(Debug, PartialEq)]
pub(crate) struct Guest {
    package: String,
    /// Its folder under `examples/`.
    folder: String,
    /// The stem of the file that cargo builds.
    library: String,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Component];

    /// The folder under `target/guests`.
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Component => "component",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Plain => "wasm32-wasip2",
            Self::Component => "wasm32-wasip1",
        }
    }
}

/// Every example module, or the one called `name`.
pub(crate) fn choose(workspace: &Workspace, name: Option<&str>) -> Result<Vec<Guest>> {
    let mut metadata = process::cargo(workspace.root());
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = serde_json::from_str(&process::read(&mut metadata)?).context("cannot read `cargo metadata`")?;
    let all = guests_in(&metadata, &workspace.examples());
    let Some(name) = name else {
        return Ok(all);
    };
    let known = all.iter().map(|guest| guest.folder.as_str()).collect::<Vec<_>>().join(", ");
    let chosen: Vec<_> = all.into_iter().filter(|guest| guest.folder == name || guest.library == name).collect();
    if chosen.is_empty() {
        bail!("no example is called `{name}`; there are: {known}");
    }
    Ok(chosen)
}

/// Builds `guests` in each of `ways` and lays the results under `target/guests/WAY/LIBRARY.wasm`.
pub(crate) fn build(workspace: &Workspace, guests: &[Guest], ways: &[Way]) -> Result<()> {
    if guests.is_empty() {
        say("no example modules to build");
        return Ok(());
    }
    let toolchain = toolchain::ready(&workspace.tools(), &workspace.guest_target())?;
    for way in ways {
        build_in(*way, workspace, guests, &toolchain)?;
    }
    Ok(())
}

fn build_in(way: Way, workspace: &Workspace, guests: &[Guest], toolchain: &Toolchain) -> Result<()> {
    let names = guests.iter().map(|guest| guest.folder.as_str()).collect::<Vec<_>>().join(", ");
    let mut command = match way {
        Way::Plain => {
            say(&format!("building {names} for {} (as plain cargo does it)", way.target()));
            let mut command = toolchain.cargo(workspace.root());
            command.args(["build", "--target", way.target()]);
            command
        }
        Way::Component => {
            let cargo_component = toolchain::cargo_component(&workspace.tools())?;
            say(&format!("building {names} for {} (as cargo-component does it)", way.target()));
            let mut command = toolchain.command(&cargo_component, workspace.root());
            command.args(["component", "build", "--target", way.target()]);
            command
        }
    };
    command.args(["--profile", "guest"]).env("CARGO_TARGET_DIR", workspace.guest_target());
    command.args(guests.iter().flat_map(|guest| ["--package", &guest.package]));
    process::run(&mut command)?;

    let built = workspace.guest_target().join(way.target()).join("guest");
    let shelf = workspace.guests().join(way.name());
    for guest in guests {
        let file = format!("{}.wasm", guest.library);
        put(&built.join(&file), &shelf, &file)?;
    }
    Ok(())
}

/// Replaces in one step, and only what differs: a test may be reading, and a watcher should not wake for nothing.
fn put(from: &Path, shelf: &Path, file: &str) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let to = shelf.join(file);
    if fs::read(&to).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    say(&format!("new: {} ({} KiB)", to.display(), bytes.len() / 1024));
    let fresh = shelf.join(format!(".{file}.{}", std::process::id()));
    fs::create_dir_all(shelf)
        .and_then(|()| fs::write(&fresh, bytes))
        .and_then(|()| fs::rename(&fresh, &to))
        .with_context(|| format!("cannot write {}", to.display()))
}

/// The packages under `examples` whose library is a `cdylib`, by folder.
fn guests_in(metadata: &Value, examples: &Path) -> Vec<Guest> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = packages.iter().filter_map(|package| guest_of(package, examples));
    found.map(|guest| (guest.folder.clone(), guest)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn guest_of(package: &Value, examples: &Path) -> Option<Guest> {
    let manifest = PathBuf::from(package["manifest_path"].as_str()?);
    let folder = manifest.parent()?.strip_prefix(examples).ok()?;
    let library = package["targets"].as_array()?.iter().find(|target| {
        target["crate_types"].as_array().is_some_and(|types| types.iter().any(|crate_type| crate_type == "cdylib"))
    })?;
    Some(Guest {
        package: package["name"].as_str()?.to_owned(),
        folder: folder.to_str()?.to_owned(),
        library: library["name"].as_str()?.replace('-', "_"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn guests_are_the_cdylibs_under_examples() {
        let package = |name: &str, manifest: &str, crate_type: &str| json!({"name": name, "manifest_path": manifest, "targets": [{"name": "a-trip", "crate_types": [crate_type]}]});
        let metadata = json!({"packages": [
            package("example-trip", "/r/examples/trip/Cargo.toml", "cdylib"),
            package("participants", "/r/examples/trip/participants/Cargo.toml", "bin"),
            package("amends-sdk", "/r/guest-sdk/Cargo.toml", "cdylib"),
        ]});
        let trip = Guest { package: "example-trip".into(), folder: "trip".into(), library: "a_trip".into() };
        assert_eq!(guests_in(&metadata, Path::new("/r/examples")), [trip]);
    }

    #[test]
    fn a_built_guest_is_replaced_only_when_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let (built, shelf) = (folder.path().join("order.wasm"), folder.path().join("plain"));
        let inode = || {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(shelf.join("order.wasm")).unwrap().ino()
        };
        fs::write(&built, "one").unwrap();
        put(&built, &shelf, "order.wasm").unwrap();
        let first = inode();
        put(&built, &shelf, "order.wasm").unwrap();
        assert_eq!(inode(), first);
        fs::write(&built, "two").unwrap();
        put(&built, &shelf, "order.wasm").unwrap();
        assert_eq!(fs::read_to_string(shelf.join("order.wasm")).unwrap(), "two");
    }
}
