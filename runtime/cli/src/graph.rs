//! `amends graph`: draws the sagas of a component, without a host.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::{exit::Exit, input, session::print, settings::OfHost, wiring};
use amends_host::api::{graph, present};

/// Draw the sagas of a module: stages, kinds and compensations.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends graph trip.wasm --format mermaid\n  amends graph trip.wasm --format dot | dot -Tsvg > trip.svg"
)]
pub(super) struct Graph {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    #[command(flatten)]
    of_host: OfHost,
    /// The format of the drawing.
    #[arg(long, value_enum, default_value_t = Language::Text)]
    format: Language,
    /// Only this saga.
    #[arg(long)]
    saga: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    Mermaid,
    Dot,
    Text,
}

pub(super) fn run(verb: &Graph) -> Result<Exit> {
    let verified = wiring::verify(input::component(&verb.file)?, &verb.of_host.read()?);
    let verified = verified.with_context(|| format!("{} does not verify", verb.file.display()))?;
    let format = match verb.format {
        Language::Mermaid => graph::Format::Mermaid,
        Language::Dot => graph::Format::Dot,
        Language::Text => graph::Format::Text,
    };
    let wanted = |name: &str| verb.saga.as_deref().is_none_or(|saga| saga == name);
    let definitions = present::definition::verified(&verified);
    let mut sagas = definitions.iter().filter(|saga| wanted(&saga.name)).peekable();
    if sagas.peek().is_none() {
        let names: Vec<&str> = definitions.iter().map(|saga| saga.name.as_str()).collect();
        bail!(
            "module {} has no saga `{}`; it has {}",
            verified.module,
            verb.saga.as_deref().unwrap_or_default(),
            names.join(", ")
        );
    }
    for saga in sagas {
        print(&graph::draw(saga, format))?;
    }
    Ok(Exit::Fine)
}
