//! `amends journal`: a saga's records.

use amends_wire::journal::JournalPage;
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    render,
    session::{Form, Session, print, print_json},
};

/// Show the records of a saga in order: its whole history.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends journal T1\n  amends journal T1 --json | jq .type")]
pub(super) struct Journal {
    /// The saga.
    id: String,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(journal: &Journal, session: &Session) -> Result<Exit> {
    let mut from = "1".to_owned();
    loop {
        let page: JournalPage =
            session.client.get(&["v1", "sagas", &journal.id, "journal"], &[("from", &from), ("limit", "1000")])?;
        if journal.form.json {
            page.records.iter().try_for_each(print_json)?;
        } else {
            let now = clock::now();
            print(&page.records.iter().map(|entry| render::journal::line(entry, &now) + "\n").collect::<String>())?;
        }
        match page.next {
            Some(next) => from = next,
            None => return Ok(Exit::Fine),
        }
    }
}
