//! Debian's own Rust, for machines whose rustup has no wasm target and cannot fetch one: installs the packages,
//! builds the standard library for the guests' targets once, and keeps it in a sysroot of our own.
//!
//! Rustup's `cargo` and `rustc` stay what everything else is built with.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{Need, cannot_start, command, has_standard_library, read, run};

/// Compiler, library source, `wasm-component-ld`, `wasm-ld`, and the C library that `std` stands on.
const PACKAGES: [&str; 6] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld", "wasi-libc"];
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const RUSTLIB: &str = "/usr/lib/rustlib";
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Rises when this file makes the sysroot in another way.
const RECIPE: u32 = 1;

/// A sysroot of our own: Debian's by links, and beside them the guests' targets.
#[derive(Debug)]
pub struct Sysroot {
    folder: PathBuf,
}

impl Sysroot {
    /// What an earlier set-up made, if it has the targets and Debian's compiler is still the one it was made with.
    pub(crate) fn made(need: &Need<'_>) -> Result<Option<Self>> {
        let sysroot = Self { folder: need.tools.join("debian") };
        let Ok(stamp) = fs::read_to_string(sysroot.stamp()) else {
            return Ok(None);
        };
        let current = Path::new(RUSTC).exists() && stamp == sysroot.stamp_now()?;
        let root = sysroot.folder.join("sysroot");
        let complete = need.targets.iter().all(|target| has_standard_library(&root, target));
        Ok((current && complete).then_some(sysroot))
    }

    /// Installs what is missing and builds it; the stamp comes last, so that a set-up cut short starts again.
    pub(crate) fn make(need: &Need<'_>) -> Result<Self> {
        install(&missing(need)?, need.say)?;
        let sysroot = Self { folder: need.tools.join("debian") };
        if sysroot.folder.exists() {
            fs::remove_dir_all(&sysroot.folder).with_context(|| cannot("remove", &sysroot.folder))?;
        }
        sysroot.link_host()?;
        let built = sysroot.build_standard_library(need)?;
        for target in need.targets {
            sysroot.install_target(&built, target)?;
        }
        fs::remove_dir_all(&built).with_context(|| cannot("remove", &built))?;
        sysroot.write_wrappers()?;
        write(&sysroot.stamp(), &sysroot.stamp_now()?)?;
        Ok(sysroot)
    }

    /// Its `cargo`.
    pub(crate) fn cargo(&self) -> PathBuf {
        self.folder.join("bin/cargo")
    }

    /// Makes it the only toolchain that `command` sees: cargo-component asks the `rustc` on PATH for the sysroot,
    /// whatever RUSTC says, and rustup's own variables would lead back to rustup's.
    pub(crate) fn enter(&self, command: &mut Command) {
        let programs = self.folder.join("bin");
        let mut path = programs.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .env("PATH", path)
            .env("CARGO", self.cargo())
            .env("RUSTC", programs.join("rustc"))
            .env("CARGO_TARGET_WASM32_WASIP1_LINKER", "wasm-ld")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("LD_LIBRARY_PATH");
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("stamp")
    }

    /// The folder is part of it because the wrapper names it: a checkout that was moved is set up again.
    fn stamp_now(&self) -> Result<String> {
        let version = read(command(RUSTC, Path::new("/")).arg("-vV"))?;
        Ok(format!("recipe {RECIPE}\n{}\n{version}", self.folder.display()))
    }

    fn rustlib(&self) -> PathBuf {
        self.folder.join("sysroot/lib/rustlib")
    }

    /// The host's library and the linkers, for build scripts and procedural macros.
    fn link_host(&self) -> Result<()> {
        let rustlib = self.rustlib();
        fs::create_dir_all(&rustlib).with_context(|| cannot("make", &rustlib))?;
        for entry in fs::read_dir(RUSTLIB).with_context(|| cannot("read", Path::new(RUSTLIB)))? {
            let entry = entry?;
            let link = rustlib.join(entry.file_name());
            symlink(entry.path(), &link).with_context(|| cannot("link", &link))?;
        }
        Ok(())
    }

    /// Builds `std` for every target as a dependency of an empty crate; returns cargo's target folder.
    fn build_standard_library(&self, need: &Need<'_>) -> Result<PathBuf> {
        (need.say)(&format!("building the standard library for {} (once, about a minute)", need.targets.join(" and ")));
        let empty = self.folder.join("empty");
        write(&empty.join("Cargo.toml"), "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n")?;
        write(&empty.join("src/lib.rs"), "#![no_std]\n")?;
        let built = empty.join("target");
        let mut build = command(CARGO, &empty);
        self.enter(&mut build);
        build
            .env("CARGO", CARGO)
            .env("RUSTC", RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            // Without bitcode, guests with `lto` fail to link.
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["build", "--release", "--quiet", "-Zbuild-std=std,panic_abort", "--target-dir"])
            .arg(&built)
            .args(need.targets.iter().flat_map(|target| ["--target", target]));
        run(&mut build)?;
        Ok(built)
    }

    fn install_target(&self, built: &Path, target: &str) -> Result<()> {
        let libraries = self.rustlib().join(target).join("lib");
        let self_contained = libraries.join("self-contained");
        fs::create_dir_all(&self_contained).with_context(|| cannot("make", &self_contained))?;
        let compiled = built.join(target).join("release/deps");
        for entry in fs::read_dir(&compiled).with_context(|| cannot("read", &compiled))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".rlib") && !name.starts_with("libempty-") {
                copy_into(&libraries, &path)?;
            }
        }
        for object in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
            copy_into(&self_contained, &Path::new(WASI_LIBC).join(object))?;
        }
        Ok(())
    }

    fn write_wrappers(&self) -> Result<()> {
        let rustc = self.folder.join("bin/rustc");
        let sysroot = self.folder.join("sysroot");
        write(&rustc, &format!("#!/bin/sh\nexec {RUSTC} --sysroot '{}' \"$@\"\n", sysroot.display()))?;
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).with_context(|| cannot("make executable", &rustc))?;
        symlink(CARGO, self.cargo()).with_context(|| cannot("link", &self.cargo()))
    }
}

/// The packages that are not installed; an error where Debian's package manager is not there to ask.
fn missing(need: &Need<'_>) -> Result<Vec<&'static str>> {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !system.lines().any(|line| line == "ID=debian") {
        bail!(
            "the wasm targets are missing and rustup cannot add them; \
             make `rustup target add {}` work, or build on Debian, whose packages have them",
            need.targets.join(" ")
        );
    }
    let mut missing = Vec::new();
    for package in PACKAGES {
        let mut query = command("dpkg-query", Path::new("/"));
        query.args(["--show", "--showformat=${db:Status-Status}", package]);
        let answer = query.output().with_context(|| cannot_start(&query))?;
        if answer.stdout != b"installed" {
            missing.push(package);
        }
    }
    Ok(missing)
}

/// `--no-remove`: a Rust that the machine's owner installed from Debian is theirs to remove.
fn install(packages: &[&str], say: fn(&str)) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        bail!(
            "the wasm targets are missing and rustup cannot add them; \
             run `sudo apt-get install --no-install-recommends {wanted}`, then this command again"
        );
    }
    say(&format!("apt-get install {wanted} (a Rust with wasm targets, beside rustup's)"));
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get", Path::new("/"));
        run(apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments).stdout(Stdio::null()))
    };
    apt(&["update"])?;
    let how = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt(&[&how[..], packages].concat())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).with_context(|| cannot("write", path))
}

fn copy_into(folder: &Path, file: &Path) -> Result<()> {
    let copy = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &copy).map(drop).with_context(|| cannot("copy", file))
}

fn cannot(verb: &str, path: &Path) -> String {
    format!("cannot {verb} {}", path.display())
}
