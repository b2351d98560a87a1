//! Builds the example modules as WebAssembly components, in both ways that users build theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amends_toolchain::{Need, Toolchain};
use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::component;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// How a guest becomes a component. Both must give the same behaviour.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// `cargo build --target wasm32-wasip2`: the compiler's linker makes the component.
    Plain,
    /// `cargo component build`: a wasip1 module, and an adapter that makes it a component.
    Component,
}

/// Which of a module's versions: the second is the first with its feature `v2`.
#[derive(Clone, Copy)]
enum Version {
    First,
    Second,
}

/// One example module.
#[derive(Debug)]
pub(crate) struct Guest {
    package: String,
    /// Its folder under `examples/`.
    folder: String,
    /// The stem of the file that cargo builds.
    library: String,
    has_second_version: bool,
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

impl Version {
    /// The target folder under `target/guest-build`.
    fn name(self) -> &'static str {
        match self {
            Self::First => "v1",
            Self::Second => "v2",
        }
    }
}

impl Guest {
    fn file(&self, version: Version) -> String {
        match version {
            Version::First => format!("{}.wasm", self.library),
            Version::Second => format!("{}-v2.wasm", self.library),
        }
    }

    /// As arguments of cargo.
    fn features(&self, version: Version) -> Vec<String> {
        match version {
            Version::First => Vec::new(),
            Version::Second => vec!["--features".into(), format!("{}/v2", self.package)],
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

/// Builds `guests` in each of `ways` and stores the results under `target/guests/WAY/`: `order.wasm`, `order-v2.wasm`.
pub(crate) fn build(workspace: &Workspace, guests: &[Guest], ways: &[Way]) -> Result<()> {
    let toolchain = amends_toolchain::ready(&Need {
        folder: workspace.root(),
        targets: &Way::ALL.map(Way::target),
        tools: &workspace.tools(),
        stale: Some(&workspace.guest_target()),
        say,
    })?;
    let seconds = guests.iter().filter(|guest| guest.has_second_version).collect::<Vec<_>>();
    for way in ways {
        build_version(workspace, &toolchain, *way, Version::First, &guests.iter().collect::<Vec<_>>())?;
        build_version(workspace, &toolchain, *way, Version::Second, &seconds)?;
    }
    Ok(())
}

fn build_version(workspace: &Workspace, toolchain: &Toolchain, way: Way, version: Version, guests: &[&Guest]) -> Result<()> {
    if guests.is_empty() {
        return Ok(());
    }
    let files = guests.iter().map(|guest| guest.file(version)).collect::<Vec<_>>();
    let mut command = match way {
        Way::Plain => {
            say(&format!("cargo build: {}", files.join(", ")));
            let mut command = process::command(toolchain.cargo(), workspace.root());
            command.arg("build");
            command
        }
        Way::Component => {
            let cargo_component = component::cargo_component(&workspace.tools())?;
            say(&format!("cargo component build: {}", files.join(", ")));
            let mut command = process::command(&cargo_component, workspace.root());
            command.args(["component", "build"]);
            command
        }
    };
    toolchain.enter(&mut command);
    // Each version has its own target folder: with a shared one, each run would build both versions again.
    let target = workspace.guest_target().join(version.name());
    command.args(["--profile", "guest", "--target", way.target()]).arg("--target-dir").arg(&target);
    for guest in guests {
        command.args(["--package", &guest.package]).args(guest.features(version));
    }
    process::run(&mut command)?;

    let shelf = workspace.guests().join(way.name());
    for (guest, file) in guests.iter().zip(&files) {
        let built = target.join(way.target()).join("guest").join(format!("{}.wasm", guest.library));
        put(&built, &shelf, file)?;
    }
    Ok(())
}

/// Replaces a file in one step, and only if it differs: a test may be reading it, and a watcher should see real changes only.
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
        has_second_version: package["features"]["v2"].is_array(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn guests_are_the_cdylibs_under_examples() {
        let package = |name: &str, manifest: &str, crate_type: &str| {
            let library = json!({"name": "a-trip", "crate_types": [crate_type]});
            json!({"name": name, "manifest_path": manifest, "targets": [library], "features": {"v2": []}})
        };
        let metadata = json!({"packages": [
            package("example-trip", "/r/examples/trip/Cargo.toml", "cdylib"),
            package("participants", "/r/examples/participants/Cargo.toml", "lib"),
            package("amends-sdk", "/r/guest-sdk/Cargo.toml", "cdylib"),
        ]});
        let found = guests_in(&metadata, Path::new("/r/examples"));
        let [trip] = &found[..] else { panic!("not one guest: {found:?}") };
        assert_eq!(trip.package, "example-trip");
        assert_eq!(trip.file(Version::First), "a_trip.wasm");
        assert_eq!(trip.file(Version::Second), "a_trip-v2.wasm");
        assert_eq!(trip.features(Version::Second), ["--features", "example-trip/v2"]);
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
