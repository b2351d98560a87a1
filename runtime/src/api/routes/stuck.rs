//! What is stuck, in groups, with the commands that help a whole group.

use std::sync::Arc;

use amends_core::{event::Why, id::Namespace, verbs::Offer};
use amends_wire::{
    error::ErrorBody,
    job::Filter,
    stuck::{StuckGroup, StuckGroups},
};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Routes, filter};
use crate::{
    api::{
        Api,
        caller::{Caller, InQuery},
        error::ApiError,
        present::{
            help,
            value::{direction, stuck_code, time},
        },
    },
    service::reader::{self, FirstStuck},
};

pub(super) fn routes() -> Routes {
    routes![show]
}

/// Which of what is stuck.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StuckQuery {
    /// Only of this definition.
    saga: Option<String>,
    /// Only on this module.
    module: Option<String>,
    /// Only on this version of its module.
    version: Option<u32>,
    /// Only in this step.
    step: Option<String>,
    /// Only for this failure, by its code.
    failure: Option<String>,
}

/// Says what is stuck, in groups: the same step of the same version, for the same failure.
#[utoipa::path(
    get, operation_id = "list_stuck", path = "/v1/stuck", tag = "sagas", params(StuckQuery),
    responses((status = 200, body = StuckGroups), (status = 400, description = "bad filter", body = ErrorBody))
)]
async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<StuckQuery>,
) -> Result<Json<StuckGroups>, ApiError> {
    let StuckQuery { saga, module, version, step, failure } = query;
    let filter = filter::read(Filter { saga, module, version, step, failure, status: None })?;
    let namespace = caller.origin.namespace.clone();
    let groups = api.read(move |reader| reader.stuck(&caller.origin.namespace, &filter)).await?;
    Ok(Json(shown(&namespace, &groups)))
}

/// The groups.
fn shown(namespace: &Namespace, groups: &reader::StuckGroups) -> StuckGroups {
    StuckGroups {
        groups: groups.groups.iter().map(|found| group(namespace, found)).collect(),
        unreadable: groups.unreadable.iter().map(|id| id.as_str().to_owned()).collect(),
        is_cut: groups.is_cut,
    }
}

fn group(namespace: &Namespace, group: &reader::StuckGroup) -> StuckGroup {
    let FirstStuck { definition, module, version, stuck } = &group.first;
    StuckGroup {
        saga: definition.clone(),
        module: module.clone(),
        version: *version,
        step: group.step.clone(),
        direction: direction(stuck.leg.direction),
        code: stuck_code(&stuck.why),
        failure: group.failure.clone(),
        why: help::why(&stuck.why),
        denial: help::denial(&stuck.why),
        count: group.count,
        since: time(group.since),
        sagas: group.sagas.iter().map(|id| id.as_str().to_owned()).collect(),
        help: commands(namespace, group),
    }
}

fn commands(namespace: &Namespace, group: &reader::StuckGroup) -> Vec<String> {
    let FirstStuck { definition, module, version, stuck } = &group.first;
    // One saga is helped as one.
    if let ([id], 1) = (group.sagas.as_slice(), group.count) {
        return help::commands(namespace, id, module, stuck);
    }
    if let Some(grant) = help::granting(namespace, module, stuck) {
        return vec![grant];
    }
    let all = format!(
        "--all --saga {definition} --version {version} --step {} --failure {}",
        quoted(&group.step),
        quoted(&group.failure)
    );
    let many = |verb: &str| Some(format!("amends {verb} {all} --dry-run"));
    let command = |offer| match offer {
        Offer::Retry => many("retry"),
        Offer::Move => many("move --to VERSION"),
        Offer::Abandon => many("abandon"),
        Offer::Cancel if matches!(stuck.why, Why::Denied(_)) => many("cancel"),
        // What happened to each of them, and which to give up, is to be found out one by one.
        Offer::Cancel | Offer::Output | Offer::NotDone | Offer::Undone | Offer::Skip => None,
    };
    let first = group.sagas.first().map(|id| format!("amends show {id}"));
    help::helpful(stuck).filter_map(command).chain(first).collect()
}

/// As a shell reads it as one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use amends_core::{
        denial::{Denial, DenialReason},
        id::{Direction, SagaId},
        view::StuckView,
    };
    use expect_test::expect;

    use super::*;
    use crate::api::samples::{self, NOON};

    /// So many sagas, of which the first is stuck in this leg.
    fn group(count: u64, direction: Direction, why: Why, failure: &str) -> reader::StuckGroup {
        let offers = match direction {
            Direction::Undo(_) => vec![Offer::Retry, Offer::Move, Offer::Undone, Offer::Skip, Offer::Abandon],
            Direction::Forward | Direction::Check => {
                vec![Offer::Retry, Offer::Move, Offer::Output, Offer::NotDone, Offer::Cancel, Offer::Abandon]
            }
        };
        let stuck = StuckView { leg: samples::leg("reserve-hotel").turned(direction), since: NOON, why, offers };
        reader::StuckGroup {
            step: "reserve-hotel".into(),
            failure: failure.into(),
            count,
            since: NOON,
            sagas: (1..=count.min(5)).map(|number| SagaId::new(&format!("T{number}")).unwrap()).collect(),
            first: FirstStuck { definition: "trip".into(), module: "trip".into(), version: 1, stuck },
        }
    }

    #[test]
    fn a_group_comes_with_the_commands_that_help_all_of_it() {
        let down = || samples::failure("gateway_down", "no route");
        let denied = Denial::new("https://hotel.example", DenialReason::NotGranted);
        let groups = reader::StuckGroups {
            groups: vec![
                group(100, Direction::Undo(0), Why::Exhausted(down()), "gateway_down"),
                group(40, Direction::Forward, Why::Denied(denied), "denied"),
                group(2, Direction::Forward, Why::Unknown(samples::failure("it's odd", "")), "it's odd"),
                group(2, Direction::Forward, Why::PivotInDoubt(down()), "gateway_down"),
                group(2, Direction::Forward, Why::JournalFull, "journal_full"),
                group(1, Direction::Undo(0), Why::HostDied, "host_died"),
            ],
            unreadable: Vec::new(),
            is_cut: false,
        };
        let said = shown(&Namespace::new("default").unwrap(), &groups)
            .groups
            .into_iter()
            .map(|group| format!("{} {}: {}\n  {}\n", group.count, group.direction, group.why, group.help.join("\n  ")));
        expect![[r#"
            100 undo: all attempts are used up; the last: gateway_down: no route
              amends retry --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run
              amends move --to VERSION --all --saga trip --version 1 --step reserve-hotel --failure gateway_down --dry-run
              amends show T1
            40 forward: denied: https://hotel.example
              amends grant trip --http https://hotel.example
            2 forward: it may have happened, and is run once only: it's odd
              amends retry --all --saga trip --version 1 --step reserve-hotel --failure 'it'\''s odd' --dry-run
              amends show T1
            2 forward: the pivot may have happened and has no compensation: gateway_down: no route
              amends show T1
            2 forward: the saga's journal is as large as it may be
              amends abandon --all --saga trip --version 1 --step reserve-hotel --failure journal_full --dry-run
              amends show T1
            1 undo: it was running each time the host died
              amends retry T1
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --undone
              amends skip T1 reserve-hotel
        "#]]
        .assert_eq(&said.collect::<String>());
    }
}
