//! `names.lock`: the names and versions that a crate has released.

use std::path::Path;
use std::{env, fs, io};

use proc_macro2::Span;
use syn::{Error, Result};

/// Beside the crate's manifest. `amends_sdk::testing` writes it.
pub(crate) const FILE: &str = "names.lock";

/// An event that was released, by its name without the aggregate's.
#[derive(Debug, PartialEq)]
pub(crate) struct Released<'a> {
    pub(crate) event: &'a str,
    pub(crate) version: u32,
}

/// The file of the crate that is compiled, if it has one.
pub(crate) fn read() -> Result<Option<String>> {
    let Some(folder) = env::var_os("CARGO_MANIFEST_DIR") else { return Ok(None) };
    let path = Path::new(&folder).join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(Span::call_site(), format!("cannot read {}: {error}", path.display()))),
    }
}

/// The events of an aggregate. Blank lines and those that begin with `#` do not count.
pub(crate) fn events<'a>(text: &'a str, aggregate: &str) -> Result<Vec<Released<'a>>> {
    let mut events = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let bad = || Error::new(Span::call_site(), format!("{FILE}: `{line}` is no line like `event customer.opened 1`"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["event", event_type, version] = words[..] else { return Err(bad()) };
        let (of, event) = event_type.split_once('.').ok_or_else(bad)?;
        let version = version.parse().map_err(|_| bad())?;
        if of == aggregate {
            events.push(Released { event, version });
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_one_aggregate_are_found() {
        let text = "# released\nevent customer.opened 1\n\nevent order.created 1\n  event customer.credit-reserved 2\n";
        let of_customer = [Released { event: "opened", version: 1 }, Released { event: "credit-reserved", version: 2 }];
        assert_eq!(events(text, "customer").unwrap(), of_customer);
        assert_eq!(events(text, "stranger").unwrap(), []);
    }

    #[test]
    fn a_line_that_says_something_else_is_an_error() {
        for line in ["event customer.opened", "event opened 1", "command customer.open 1", "event customer.opened one"] {
            let error = events(line, "customer").unwrap_err().to_string();
            assert_eq!(error, format!("names.lock: `{line}` is no line like `event customer.opened 1`"));
        }
    }
}
