//! `amends new`: a module project that builds, passes its tests, and teaches.

mod project;

mod vendor;

use std::path::{Path, PathBuf};

use self::project::Template;
use amends_core::id::Name;
use anyhow::Result;
use clap::Args;

use super::{
    exit::Exit,
    session::{print, say},
};

/// Make a module: a Rust crate with a small saga or an aggregate, its tests, and the SDK.
///
/// Nothing is fetched: the SDK is in this program. Crates that it depends on come when it is built.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends new shop\n  amends new account --aggregate\n  amends new shop --dir services/shop")]
pub(super) struct New {
    /// The name of the module, of its saga or aggregate, and of the crate.
    name: String,
    /// With an aggregate and a view of its events, in place of a saga.
    #[arg(long)]
    aggregate: bool,
    /// The folder, which must be empty or not there yet. By default one with the module's name.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(new: &New) -> Result<Exit> {
    let name = project::checked(&new.name)?;
    let folder = new.dir.clone().unwrap_or_else(|| PathBuf::from(&new.name));
    let template = if new.aggregate { Template::Aggregate } else { Template::Saga };
    project::create(&name, template, &folder)?;
    print(&format!("{}\n", folder.display()))?;
    say(&next(&name, template, &folder));
    Ok(Exit::Fine)
}

fn next(name: &Name, template: Template, folder: &Path) -> String {
    let name = name.as_str();
    let enter = match folder == Path::new(".") {
        true => String::new(),
        false => format!("  cd {}\n", folder.display()),
    };
    let (what, first) = match template {
        Template::Saga => ("one saga of two steps", format!("amends start {name} --wait")),
        Template::Aggregate => {
            ("an aggregate and a view of its events", format!("amends send {name} A1 open --data '{{\"owner\": \"ada\"}}'"))
        }
    };
    format!(
        "\
made module {name}: {what} in src/lib.rs, with its tests
next:
{enter}  cargo test                   # its tests, without wasm or a host
  amends serve                 # a host, in a terminal of its own
  amends dev                   # in another one: builds and deploys, and again on each save
  {first}
README.md has more."
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_to_do_next_fits_the_folder() {
        let name = project::checked("shop").unwrap();
        expect![[r#"
            made module shop: one saga of two steps in src/lib.rs, with its tests
            next:
              cd services/shop
              cargo test                   # its tests, without wasm or a host
              amends serve                 # a host, in a terminal of its own
              amends dev                   # in another one: builds and deploys, and again on each save
              amends start shop --wait
            README.md has more."#]]
        .assert_eq(&next(&name, Template::Saga, Path::new("services/shop")));
        assert!(!next(&name, Template::Aggregate, Path::new(".")).contains("cd "));
    }
}
