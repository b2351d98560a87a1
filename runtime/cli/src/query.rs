//! `amends query`: a question to a view.

use amends_wire::view::ViewAnswer;
use anyhow::Result;
use clap::Args;

use super::{
    exit::{Exit, Usage},
    render::text::json,
    session::{Form, Session, print, print_json},
};

/// Ask a view, and print its answer.
///
/// With --at-least the answer includes everything up to that position, which `send` prints: the view is waited for, up to five seconds.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends query order-history by-customer customer=C1")]
pub(super) struct Query {
    /// The view: the name of its projection.
    view: String,
    /// Which of its queries.
    query: String,
    /// Parameters of the query.
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// The answer must include everything up to this position.
    #[arg(long, value_name = "POSITION")]
    at_least: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(query: &Query, session: &Session) -> Result<Exit> {
    let mut given = query.parameters.iter().map(|text| parameter(text)).collect::<Result<Vec<_>, Usage>>()?;
    given.extend(query.at_least.as_deref().map(|position| ("at_least", position)));
    let answer: ViewAnswer = session.client.get(&["v1", "views", &query.view, &query.query], &given)?;
    if query.form.json {
        print_json(&answer)?;
    } else {
        print(&json(&answer.data)?)?;
    }
    Ok(Exit::Fine)
}

fn parameter(text: &str) -> Result<(&str, &str), Usage> {
    match text.split_once('=') {
        Some(("at_least", _)) => Err(Usage("`at_least` is no parameter; use --at-least".to_owned())),
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        Some(_) | None => Err(Usage(format!("`{}` is no parameter; write it as customer=C1", text.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_a_name_and_may_hold_an_equals_sign() {
        assert_eq!(parameter("customer=C1").unwrap(), ("customer", "C1"));
        assert_eq!(parameter("filter=a=b").unwrap(), ("filter", "a=b"));
        assert_eq!(parameter("none=").unwrap(), ("none", ""));
        for bad in ["customer", "=C1", "at_least=0-1-7"] {
            assert!(parameter(bad).is_err(), "{bad}");
        }
    }
}
