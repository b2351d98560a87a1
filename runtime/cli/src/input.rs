//! Values on the command line: JSON, a file, or stdin.

use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result};

use super::exit::Usage;
use amends_host::api::strict;

/// `JSON`, `@FILE` or `-`; checked here, so that a typing error needs no host.
pub(crate) fn json(what: &str, text: &str) -> Result<String> {
    let (from, json) = match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let mut json = String::new();
            std::io::stdin().read_to_string(&mut json).with_context(|| format!("cannot read the {what} from stdin"))?;
            (" from stdin".to_owned(), json)
        }
        (_, Some(path)) => {
            let json = fs::read_to_string(path).with_context(|| format!("cannot read the {what} from {path}"))?;
            (format!(" from {path}"), json)
        }
        (json, None) => (String::new(), json.to_owned()),
    };
    strict::check(json.as_bytes()).map_err(|bad| Usage(format!("the {what}{from} is bad JSON: {}", bad.0)))?;
    Ok(json)
}

/// The bytes of a component.
pub(crate) fn component(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    if bytes.is_empty() {
        return Err(Usage(format!("{shown} is empty; build it again")).into());
    }
    Ok(bytes)
}

/// As `30s`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write it as 30s".to_owned())
}
