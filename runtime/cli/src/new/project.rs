//! A module's folder: which names it may have, and its files.

use std::{fs, io, path::Path};

use amends_core::id::Name;
use anyhow::{Context, Result, bail};

use super::vendor;
use crate::exit::Usage;

/// A file of a new module.
#[derive(Debug)]
pub(super) struct File {
    /// Below the module's folder.
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// What the template has in place of the module's name.
const NAME: &str = "my-module";

/// The same in the name of the file that cargo builds.
const FILE: &str = "MY_FILE";

/// The files of every template.
const COMMON: &[File] = &[
    File { path: "Cargo.toml", text: include_str!("template/Cargo.toml") },
    File { path: "rustfmt.toml", text: include_str!("template/rustfmt.toml") },
    File { path: ".gitignore", text: include_str!("template/gitignore") },
];

/// What a new module has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// A saga.
    Saga,
    /// An aggregate, and a view of its events.
    Aggregate,
}

impl Template {
    fn files(self) -> &'static [File] {
        match self {
            Self::Saga => &[
                File { path: "README.md", text: include_str!("template/README.md") },
                File { path: "src/lib.rs", text: include_str!("template/src/lib.rs") },
            ],
            Self::Aggregate => &[
                File { path: "README.md", text: include_str!("template/aggregate/README.md") },
                File { path: "names.lock", text: include_str!("template/aggregate/names.lock") },
                File { path: "src/lib.rs", text: include_str!("template/aggregate/src/lib.rs") },
            ],
        }
    }
}

/// Names that a module may have and its crate may not: words of the language, and crates that it depends on.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "amends-sdk",
    "amends-sdk-derive",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A name for the module, its saga and its crate.
pub(super) fn checked(name: &str) -> Result<Name, Usage> {
    let shown = || name.chars().take(80).collect::<String>().escape_debug().to_string();
    let valid = Name::new(name).map_err(|_| Usage(format!("bad name `{}` for a module: use {}", shown(), Name::RULE)))?;
    match TAKEN.contains(&name) {
        true => Err(Usage(format!("`{name}` cannot name a Rust crate; choose another name, as `my-{name}`"))),
        false => Ok(valid),
    }
}

/// Writes a module into a folder that is empty or not there; in it is either all or nothing.
pub(super) fn create(name: &Name, template: Template, folder: &Path) -> Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder).map(|mut entries| entries.next()) {
        Ok(None) => {}
        Ok(Some(entry)) => {
            let found = entry.with_context(|| format!("cannot read {shown}"))?.file_name();
            let found = found.to_string_lossy().escape_debug().to_string();
            bail!("{shown} is not empty: it holds `{found}`; name another folder with --dir")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {shown}"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{shown} is a file; name another folder with --dir")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    }
    let mut ours = COMMON.iter().chain(template.files());
    let written = ours.try_for_each(|file| write(file.path, &named(file, name), folder));
    let written = written.and_then(|()| vendored().try_for_each(|file| write(file.path, file.text, folder)));
    if written.is_err() {
        clear(folder);
    }
    written
}

fn vendored() -> impl Iterator<Item = &'static File> {
    vendor::SDK.iter().chain(vendor::BESIDE)
}

/// The text of a template's file, with the module's name.
fn named(file: &File, name: &Name) -> String {
    file.text.replace(NAME, name.as_str()).replace(FILE, &name.as_str().replace('-', "_"))
}

fn write(path: &str, text: &str, folder: &Path) -> Result<()> {
    let path = folder.join(path);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).with_context(|| format!("cannot write {}", path.display()))
}

/// The folder was empty, so all that is in it is ours. What cannot be removed either is shown by the error that led here.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn name(text: &str) -> Name {
        checked(text).unwrap()
    }

    #[test]
    fn a_module_has_its_name_wherever_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deep/tea-shop");
        create(&name("tea-shop"), Template::Saga, &folder).unwrap();
        for file in COMMON.iter().chain(Template::Saga.files()).chain(vendored()) {
            let text = fs::read_to_string(folder.join(file.path)).unwrap();
            assert!(!text.contains(NAME) && !text.contains(FILE), "{}", file.path);
        }
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        assert!(read("Cargo.toml").contains("name = \"tea-shop\""));
        assert!(read("src/lib.rs").contains("Saga::new(\"tea-shop\")"));
        assert!(read("README.md").contains("release/tea_shop.wasm"));
    }

    #[test]
    fn a_module_is_a_small_crate_with_the_sdk_beside_it() {
        let is_source = |path: &&str| path.starts_with("vendor/amends-sdk/") && path.contains("/src/");
        let ours = COMMON.iter().chain(Template::Aggregate.files());
        let paths = ours.chain(vendored()).map(|file| file.path).filter(|path| !is_source(path));
        expect![[r#"
            Cargo.toml
            rustfmt.toml
            .gitignore
            README.md
            names.lock
            src/lib.rs
            vendor/amends-sdk/Cargo.toml
            vendor/amends-sdk/derive/Cargo.toml
            vendor/wit/amends.wit
            vendor/amends-sdk/LICENSE-APACHE
            vendor/amends-sdk/LICENSE-MIT
            vendor/amends-sdk/rustfmt.toml"#]]
        .assert_eq(&paths.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_folder_that_is_not_empty_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        create(&name("shop"), Template::Saga, folder).unwrap();
        fs::remove_dir_all(folder.join("vendor")).unwrap();
        for path in ["Cargo.toml", "README.md", "rustfmt.toml", ".gitignore"] {
            fs::remove_file(folder.join(path)).unwrap();
        }
        let error = create(&name("shop"), Template::Saga, folder).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not empty: it holds `src`; name another folder with --dir", folder.display()));
        assert!(!folder.join("Cargo.toml").exists());
        let file = folder.join("src/lib.rs");
        let error = create(&name("shop"), Template::Saga, &file).unwrap_err().to_string();
        assert_eq!(error, format!("{} is a file; name another folder with --dir", file.display()));
    }

    #[test]
    fn a_module_that_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write("src/lib.rs", "", folder.path()).unwrap();
        let error = write("src/lib.rs/x", "", folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write "), "{error}");
        clear(folder.path());
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[test]
    fn bad_names_are_refused_with_the_rule() {
        for bad in ["", "Shop", "1shop", "../shop", "shop/order", "sh op", "-shop", "\u{202e}pohs", &"s".repeat(64)] {
            let error = checked(bad).unwrap_err().0;
            assert!(error.ends_with(&format!("for a module: use {}", Name::RULE)), "{error}");
            assert!(!error.contains('\u{202e}'), "{error}");
        }
        for taken in ["fn", "serde", "amends-sdk", "test"] {
            assert!(checked(taken).unwrap_err().0.contains("cannot name a Rust crate"), "{taken}");
        }
        assert!(TAKEN.is_sorted());
        assert!(checked("a").is_ok() && checked(&"s".repeat(63)).is_ok());
    }
}
