//! `amends list`: sagas, newest first.

use amends_wire::{
    saga::{SagaLine, SagaPage, Status},
    stuck::StuckGroups,
};
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    many::Which,
    render::{
        self,
        style::{self, BOLD, DIM, paint},
        text::{columns, header},
        time::{Now, duration_text},
    },
    session::{Form, Session, print, print_json, say},
};

/// The size of a page; the host returns no larger ones.
const PAGE: usize = 1_000;

/// List sagas, newest first.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends list --status stuck\n  amends list --status stuck --failure gateway_down --flat\n  amends list --saga trip --limit 20 --json"
)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// With `--status stuck`: a line for each saga instead of groups.
    #[arg(long)]
    flat: bool,
    /// The largest number of sagas to list.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(list: &List, session: &Session) -> Result<Exit> {
    let filters = list.which.query();
    if list.which.in_status == Some(Status::Stuck) && !list.flat && !list.form.json {
        return groups(list, session, &filters);
    }
    let mut left = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let mut cursor: Option<String> = None;
    let mut shown = 0;
    loop {
        let limit = left.min(PAGE).to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(filters.iter().map(|(name, value)| (*name, value.as_str())));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: SagaPage = session.client.get(&["v1", "sagas"], &query)?;
        match list.form.json {
            true => page.sagas.iter().try_for_each(print_json)?,
            false => print(&table(&page.sagas, &clock::now()))?,
        }
        shown += page.sagas.len();
        left = left.saturating_sub(page.sagas.len());
        cursor = page.cursor;
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    if shown == 0 {
        say(&nothing(list));
    } else if cursor.is_some() {
        say(&format!("there are more than {shown}; raise --limit, or narrow the list with --saga and --status"));
    }
    Ok(Exit::Fine)
}

/// Stuck sagas, in groups by what they have in common.
fn groups(list: &List, session: &Session, filters: &[(&str, String)]) -> Result<Exit> {
    let filters: Vec<(&str, &str)> =
        filters.iter().filter(|(name, _)| *name != "status").map(|(name, value)| (*name, value.as_str())).collect();
    let groups: StuckGroups = session.client.get(&["v1", "stuck"], &filters)?;
    print(&render::stuck::groups(&groups, &clock::now()))?;
    say(&render::stuck::summary(&groups).unwrap_or_else(|| nothing(list)));
    Ok(Exit::Fine)
}

/// The message for an empty list.
fn nothing(list: &List) -> String {
    let Which { of_saga: saga, in_status: status, .. } = &list.which;
    match (saga, status) {
        _ if list.which.says_more() => "no saga matches the options".to_owned(),
        (None, None) => "there are no sagas yet; `amends start SAGA` makes one".to_owned(),
        (None, Some(status)) => format!("no saga is {status}"),
        (Some(saga), None) => format!("there is no saga of {saga}"),
        (Some(saga), Some(status)) => format!("no saga of {saga} is {status}"),
    }
}

/// A page with column headers; its columns are as wide as its contents.
fn table(sagas: &[SagaLine], now: &Now) -> String {
    if sagas.is_empty() {
        return String::new();
    }
    let row = |saga: &SagaLine| {
        let time = match saga.ended_at {
            Some(ended) => format!("took {}", duration_text(ended.since(saga.started_at))),
            None => now.ago(saga.started_at),
        };
        vec![
            paint(BOLD, &saga.id),
            saga.saga.clone(),
            style::status(saga.status),
            paint(DIM, format!("{} v{}", saga.module, saga.version)),
            now.clock(saga.started_at),
            time,
        ]
    };
    let header = header(["ID", "SAGA", "STATUS", "MODULE", "STARTED", ""]);
    columns(&[header].into_iter().chain(sagas.iter().map(row)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{Cli, Verb, many::STATUSES};
    use amends_host::api::{present::value::time, samples::NOON};

    #[test]
    fn a_list_is_aligned_and_says_how_long_each_took_or_lasts() {
        let line = |id: &str, status, ended_ms: Option<u64>| SagaLine {
            id: id.to_owned(),
            saga: "trip".to_owned(),
            status,
            module: "trip".to_owned(),
            version: 1,
            started_at: time(NOON),
            ended_at: ended_ms.map(|ms| time(NOON.plus(ms))),
        };
        let lines = [line("T2", Status::Compensated, Some(1_300)), line("booking:2026-01-01", Status::Waiting, None)];
        let now = Now { at: time(NOON.plus(300_000)), zone: TimeZone::UTC };
        expect![[r#"
            ID                  SAGA  STATUS       MODULE   STARTED
            T2                  trip  compensated  trip v1  12:00:00  took 1.3s
            booking:2026-01-01  trip  waiting      trip v1  12:00:00  5m ago
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&table(&lines, &now)).to_string());
        assert_eq!(table(&[], &now), "", "nothing has no header");
    }

    #[test]
    fn an_empty_list_says_what_is_not_there() {
        // `--status stuck` with nothing stuck said that there were no sagas and how to start one.
        let printed = |arguments: &str| {
            let line = format!("amends list {arguments}");
            let Verb::List(list) = Cli::try_parse_from(line.split_whitespace()).unwrap().verb else { unreachable!() };
            nothing(&list)
        };
        assert_eq!(printed(""), "there are no sagas yet; `amends start SAGA` makes one");
        assert_eq!(printed("--status stuck"), "no saga is stuck");
        assert_eq!(printed("--saga trip"), "there is no saga of trip");
        assert_eq!(printed("--saga trip --status stuck"), "no saga of trip is stuck");
        assert_eq!(printed("--saga trip --step charge"), "no saga matches the options");
    }

    #[test]
    fn every_status_can_be_asked_for() {
        for status in STATUSES {
            assert!(serde_json::from_value::<Status>(status.into()).is_ok(), "{status}");
        }
    }
}
