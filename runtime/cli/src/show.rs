//! `amends show`: one saga as a tree, or one aggregate as its state.

use amends_wire::{aggregate::Aggregate, saga::Saga};
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::{Exit, Usage},
    render::{
        text::{clean, json},
        tree,
    },
    session::{Form, Session, print, print_json},
};

/// Show a saga as a tree, or an aggregate, as `customer/C1`, as its state.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  amends show T1\n  amends show customer/C1\n  amends show customer/C1 --at 3")]
pub(super) struct Show {
    /// The saga, or the aggregate as TYPE/ID.
    id: String,
    /// An aggregate as it was: at this revision, or at this time.
    #[arg(long, value_name = "REVISION|TIME")]
    at: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(show: &Show, session: &Session) -> Result<Exit> {
    match (show.id.split_once('/'), &show.at) {
        (Some((aggregate, id)), at) => of_aggregate(show, (aggregate, id), at.as_deref(), session),
        (None, Some(_)) => Err(Usage("--at is for aggregates; name one as TYPE/ID".to_owned()).into()),
        (None, None) => of_saga(show, session),
    }
}

fn of_saga(show: &Show, session: &Session) -> Result<Exit> {
    let saga: Saga = session.client.get(&["v1", "sagas", &show.id], &[])?;
    if show.form.json {
        print_json(&saga)?;
    } else {
        print(&tree::tree(&saga, &clock::as_of(saga.as_of)))?;
    }
    Ok(Exit::Fine)
}

fn of_aggregate(show: &Show, (aggregate, id): (&str, &str), at: Option<&str>, session: &Session) -> Result<Exit> {
    let query: Vec<(&str, &str)> = at.map(|at| ("at", at)).into_iter().collect();
    let shown: Aggregate = session.client.get(&["v1", "aggregates", aggregate, id], &query)?;
    if show.form.json {
        print_json(&shown)?;
    } else {
        print(&text(&shown)?)?;
    }
    Ok(Exit::Fine)
}

fn text(shown: &Aggregate) -> Result<String> {
    let Aggregate { aggregate, id, revision, latest_revision, module, version, claims, state, .. } = shown;
    let latest = latest_revision.as_ref().map(|latest| format!(" of {latest}")).unwrap_or_default();
    let head = format!("{} {}  revision {revision}{latest}  folded by {module} v{version}\n", clean(aggregate), clean(id));
    let claims = claims.iter().map(|claim| format!("holds {}\n", clean(claim)));
    Ok(head + &claims.collect::<String>() + &json(state)?)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn an_aggregate_is_shown_as_its_state_and_says_at_which_revision() {
        let shown = Aggregate {
            aggregate: "customer".to_owned(),
            id: "C1".to_owned(),
            revision: "2".to_owned(),
            latest_revision: Some("7".to_owned()),
            state: RawValue::from_string(r#"{"limit":1500,"reserved":{"O1":1234}}"#.to_owned()).unwrap().into(),
            module: "credit".to_owned(),
            version: 1,
            claims: vec!["mail:ada@example.com".to_owned()],
            position: "0-1-48".to_owned(),
        };
        expect![[r#"
            customer C1  revision 2 of 7  folded by credit v1
            holds mail:ada@example.com
            {
              "limit": 1500,
              "reserved": {
                "O1": 1234
              }
            }
        "#]]
        .assert_eq(&text(&shown).unwrap());
    }
}
