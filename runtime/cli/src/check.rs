//! `amends check`: verifies a component without a host.

use std::path::{Path, PathBuf};

use amends_wire::{definition::Definition, module::MissingGrant};
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{
    deploy::{remarks, state},
    exit::Exit,
    input,
    render::text::short,
    session::{Form, print, print_json},
    settings::OfHost,
    wiring,
};
use crate::config::{Config, Size};
use amends_host::{
    api::{
        graph,
        present::{self, grants},
    },
    service::verify::Verified,
};

/// Verify a module without a host, and list the grants that it would need.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends check trip.wasm")]
pub(super) struct Check {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    #[command(flatten)]
    of_host: OfHost,
    #[command(flatten)]
    form: Form,
}

/// The result of the verification of a component.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    module: String,
    digest: String,
    bytes: u64,
    definitions: Vec<Definition>,
    aggregates: Vec<String>,
    projections: Vec<String>,
    policies: Vec<String>,
    imports: Vec<String>,
    missing_grants: Vec<MissingGrant>,
    warnings: Vec<String>,
}

pub(super) fn run(check: &Check) -> Result<Exit> {
    let checked = verify(&check.file, &check.of_host.read()?)?;
    if check.form.json {
        print_json(&checked)?;
    } else {
        print(&report(&checked))?;
    }
    Ok(Exit::Fine)
}

/// Verifies a component as a host of this configuration does before it stores it.
pub(super) fn verify(file: &Path, config: &Config) -> Result<Checked> {
    let verified = wiring::verify(input::component(file)?, config);
    Ok(checked(verified.with_context(|| format!("{} does not verify", file.display()))?))
}

fn checked(verified: Verified) -> Checked {
    Checked {
        definitions: present::definition::verified(&verified),
        aggregates: verified.aggregates.iter().map(|aggregate| aggregate.name.clone()).collect(),
        projections: verified.projections.iter().map(|projection| projection.name.clone()).collect(),
        policies: verified.policies.iter().map(|policy| policy.name.clone()).collect(),
        missing_grants: grants::missing(&verified.module, &verified.imports, &[]),
        digest: hex::encode(verified.digest),
        module: verified.module,
        bytes: verified.bytes,
        imports: verified.imports,
        warnings: verified.warnings,
    }
}

/// The text for people.
pub(super) fn report(checked: &Checked) -> String {
    let size = Size::rough(usize::try_from(checked.bytes).unwrap_or(usize::MAX));
    let head = format!("module {}  {size}  sha256 {}\n", checked.module, short(&checked.digest));
    let sagas: String = checked.definitions.iter().map(|saga| graph::draw(saga, graph::Format::Text)).collect();
    let state = state(&checked.aggregates, &checked.projections, &checked.policies);
    head + &sagas + &state + &remarks(&checked.missing_grants, &checked.warnings)
}

#[cfg(test)]
mod tests {
    use amends_core::Trigger;
    use expect_test::expect;

    use super::*;
    use amends_host::api::samples;

    #[test]
    fn a_check_shows_sagas_and_what_would_need_a_grant() {
        let verified = Verified {
            module: "trip".to_owned(),
            digest: [1; 32],
            bytes: 1_300_000,
            definitions: vec![samples::trip()],
            triggers: vec![Trigger { saga: "trip".to_owned(), event_type: "trip.wanted".to_owned() }],
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            imports: vec!["wasi:http/outgoing-handler@0.2.3".to_owned(), "wasi:cli/environment@0.2.3".to_owned()],
            warnings: Vec::new(),
        };
        expect![[r#"
            module trip  1.2 MiB  sha256 010101010101
            saga trip (module trip, definition 1)
              started by trip.wanted
              returns the output of charge
              1  reserve-flight  compensatable  undone by code
              ‖  reserve-hotel   compensatable  undone by code
              2  charge          pivot
              3  send-mail       retriable
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then rolled back: reserve-flight, reserve-hotel, charge
              attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then stuck: send-mail
              undo attempts: 30s each, at most 20, 200ms apart ×2 up to 1m ±20%, then stuck: reserve-flight, reserve-hotel
            not granted: wasi:http/outgoing-handler@0.2.3 reaches nothing yet; amends grant trip --http ORIGIN
        "#]]
        .assert_eq(&report(&checked(verified)));
    }
}
