//! `amends dev`: builds and deploys a module at each save.

mod loopback;

mod saves;

use std::{
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use amends_wire::module::Deployed;
use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::{loopback::Loopback, saves::Saves};
use super::{
    build::cargo::{Cargo, Profile, Voice},
    clock, deploy,
    exit::Exit,
    input,
    render::{
        style::{BAD, BOLD, DIM, paint},
        time::duration_text,
    },
    session::{Session, print, say},
};
use crate::config::Size;
use amends_client::ClientError;

/// Build a module and deploy it to a running host, now and on each save.
///
/// Ctrl-c ends it. New sagas start on the new version; sagas in flight stay on their version. When a saga calls an address of
/// this machine that is not granted to its module, as http://127.0.0.1:9000, the command grants it, and the saga goes on. It
/// grants nothing else, and nothing at all on a host of another machine.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends dev\n  amends dev services/shop --namespace test")]
pub(super) struct Dev {
    /// The folder of the module, or a folder in it.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(dev: &Dev, session: Session) -> Result<Exit> {
    end_well_on_ctrl_c().context("cannot listen for ctrl-c")?;
    let cargo = Cargo::of(&dev.dir)?;
    let mut saves = Saves::of(cargo.folder())?;
    let session = Arc::new(session);
    let mut loopback = Loopback::new(Arc::clone(&session));
    let mut standing = Standing::default();
    // The first build compiles all that the module depends on; later ones are short, and only their errors matter.
    let mut voice = Voice::Normal;
    say(&format!("building {}, now and on each save; ctrl-c ends", cargo.folder().display()));
    loop {
        // Before the build, so that a save during the build begins the next one.
        saves.source()?;
        let began = Instant::now();
        match cargo.build(Profile::Dev, voice) {
            Err(error) => line(&standing.not_built(&error))?,
            Ok(components) => {
                let built = began.elapsed();
                voice = Voice::Quiet;
                for component in &components {
                    saves.built(component)?;
                    line(&deployed(component, built, &session, &mut standing, &mut loopback))?;
                }
            }
        }
        saves.wait()?;
    }
}

/// Deploys a component and reports the result; after a failure the next save tries again.
fn deployed(component: &Path, built: Duration, session: &Session, standing: &mut Standing, loopback: &mut Loopback) -> String {
    let began = Instant::now();
    let answer = input::component(component).and_then(|bytes| Ok((deploy::activate(&bytes, session)?, bytes.len())));
    match answer {
        Ok(((deployed, is_new), bytes)) => {
            loopback.attend(&deployed.name);
            standing.deployed(&deployed, is_new, &Durations { built, deployed: began.elapsed(), bytes })
        }
        Err(error) => standing.not_deployed(&error),
    }
}

/// The version on which new sagas start, as far as this command knows.
#[derive(Default)]
struct Standing(Option<String>);

/// How long a build and a deploy took.
struct Durations {
    built: Duration,
    deployed: Duration,
    bytes: usize,
}

impl Standing {
    fn deployed(&mut self, deployed: &Deployed, is_new: bool, took: &Durations) -> String {
        let standing = format!("{} version {}", deployed.name, deployed.version);
        let news = if is_new { "" } else { "the same bytes as before, " };
        let numbers = format!(
            "{news}{}, built in {}, deployed in {}",
            Size::rough(took.bytes),
            in_words(took.built),
            in_words(took.deployed)
        );
        let warnings: String = deployed.warnings.iter().map(|warning| format!("; warning: {warning}")).collect();
        let line = format!("{}  {}{warnings}", paint(BOLD, &standing), paint(DIM, numbers));
        self.0 = Some(standing);
        line
    }

    fn not_built(&self, error: &anyhow::Error) -> String {
        format!("{}: {error:#}{}", paint(BAD, "not built"), self.stays())
    }

    fn not_deployed(&self, error: &anyhow::Error) -> String {
        // A host that is not there runs nothing.
        let is_gone = error.downcast_ref::<ClientError>().is_some_and(|error| error.no_host().is_some());
        let stays = if is_gone { String::new() } else { self.stays() };
        format!("{}: {error:#}; the next save tries again{stays}", paint(BAD, "not deployed"))
    }

    fn stays(&self) -> String {
        self.0.as_ref().map(|standing| format!("; {standing} stays")).unwrap_or_default()
    }
}

/// One line for each save, on stdout, with the time of day.
fn line(text: &str) -> Result<()> {
    let now = clock::now();
    print(&format!("{}  {text}\n", paint(DIM, now.clock(now.at))))
}

fn in_words(duration: Duration) -> String {
    duration_text(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The process may end at any moment: cargo gets the signal from the terminal itself, and a host stores a component as a whole or
/// not at all.
fn end_well_on_ctrl_c() -> std::io::Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupts = tokio.block_on(async { signal(SignalKind::interrupt()) })?;
    thread::spawn(move || {
        tokio.block_on(interrupts.recv());
        say("");
        process::exit(Exit::Fine as i32)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(version: u32) -> Deployed {
        Deployed {
            name: "shop".to_owned(),
            version,
            digest: "3f9c".repeat(16),
            active: Some(version),
            sagas: vec!["shop".to_owned()],
            triggers: Vec::new(),
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            imports: Vec::new(),
            missing_grants: Vec::new(),
            warnings: Vec::new(),
            breaks: amends_wire::module::Breaks::default(),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_round_is_one_line() {
        let took = Durations { built: Duration::from_millis(930), deployed: Duration::from_millis(210), bytes: 373_845 };
        let mut standing = Standing::default();
        let error = anyhow::anyhow!("cargo cannot build /shop; its errors are above");
        assert_eq!(plain(&standing.not_built(&error)), "not built: cargo cannot build /shop; its errors are above");
        let first = standing.deployed(&shop(1), true, &took);
        assert_eq!(plain(&first), "shop version 1  365.1 KiB, built in 930ms, deployed in 210ms");
        let again = standing.deployed(&shop(1), false, &took);
        assert_eq!(plain(&again), "shop version 1  the same bytes as before, 365.1 KiB, built in 930ms, deployed in 210ms");
        let warned = standing.deployed(&Deployed { warnings: vec!["step `charge` is odd".to_owned()], ..shop(2) }, true, &took);
        assert!(plain(&warned).ends_with("deployed in 210ms; warning: step `charge` is odd"), "{warned}");
        let error = anyhow::anyhow!("step `charge` comes after a pivot");
        assert_eq!(
            plain(&standing.not_deployed(&error)),
            "not deployed: step `charge` comes after a pivot; the next save tries again; shop version 2 stays"
        );
        let (address, cause) = ("http://127.0.0.1:8420".to_owned(), "refused".to_owned());
        let gone = plain(&standing.not_deployed(&ClientError::Unreachable { address, cause }.into()));
        assert!(gone.starts_with("not deployed: no host answers at http://127.0.0.1:8420 (refused)"), "{gone}");
        assert!(gone.ends_with("; the next save tries again"), "{gone}");
    }
}
