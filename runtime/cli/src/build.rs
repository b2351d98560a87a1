//! `amends build`: makes a verified component of a module's source.

pub(super) mod cargo;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use self::cargo::{Cargo, Profile, Voice};
use super::{
    check::{self, Checked},
    exit::Exit,
    session::{Form, print, print_json, say},
    settings::OfHost,
};

/// Build a module as a component, and verify it as `amends check` does.
///
/// It runs `cargo build --lib --target wasm32-wasip2`. If that target is missing, rustup installs it. Where
/// rustup cannot install it, the command installs Debian's Rust, builds a standard library for the target once, and keeps both in
/// AMENDS_TOOLS, by default ~/.cache/amends.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends build\n  amends build services/shop --release")]
pub(super) struct Build {
    /// The folder of the module, or a folder in it.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Build for production: smaller and faster, and slower to build.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    of_host: OfHost,
    #[command(flatten)]
    form: Form,
}

/// A component that was built, and its description.
#[derive(Debug, Serialize)]
struct Built {
    file: PathBuf,
    #[serde(flatten)]
    checked: Checked,
}

pub(super) fn run(build: &Build) -> Result<Exit> {
    let config = build.of_host.read()?;
    let cargo = Cargo::of(&build.dir)?;
    let profile = if build.release { Profile::Release } else { Profile::Dev };
    for file in cargo.build(profile, Voice::Normal)? {
        let file = shown(&file);
        let built = Built { checked: check::verify(&file, &config)?, file };
        match build.form.json {
            true => print_json(&built)?,
            false => print(&report(&built))?,
        }
        say(&format!("next: amends deploy {}", built.file.display()));
    }
    Ok(Exit::Fine)
}

fn report(built: &Built) -> String {
    format!("built {}\n{}", built.file.display(), check::report(&built.checked))
}

/// A path relative to the current folder, if it is in it.
fn shown(file: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| file.strip_prefix(here).ok());
    below.unwrap_or(file).to_path_buf()
}
