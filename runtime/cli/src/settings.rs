//! The configuration of this process, for every verb that has limits: flags, `AMENDS_*` variables, the configuration file.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::Result;
use clap::Args;

use super::{exit::Usage, session::say};
use crate::config::{self, Config, Flags, Loaded};

/// The configuration of a host, for what is verified without one.
#[derive(Args, Clone, Debug)]
pub(super) struct OfHost {
    /// The configuration file of the host that will run the module, for its limits. AMENDS_* variables are read as by `serve`.
    #[arg(long, value_name = "FILE", env = "AMENDS_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl OfHost {
    /// The configuration that `serve` would read.
    pub(super) fn read(&self) -> Result<Config> {
        let Loaded { config, warnings } = load(&Flags { file: self.config.clone(), ..Flags::default() })?;
        warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
        Ok(config)
    }
}

/// Reads the configuration as `serve` does.
pub(super) fn load(flags: &Flags) -> Result<Loaded> {
    let environment = env::vars_os().filter_map(variable).collect::<Result<Vec<_>>>()?;
    Ok(config::load(flags, environment.into_iter()).map_err(|error| Usage(error.to_string()))?)
}

/// An AMENDS_* variable, which must be text; other variables may have any value.
fn variable((name, value): (OsString, OsString)) -> Option<Result<(String, String)>> {
    let name = name.into_string().ok().filter(|name| name.starts_with("AMENDS_"))?;
    Some(match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(value) => Err(Usage(format!("bad environment: {name}={value:?} is not UTF-8")).into()),
    })
}
