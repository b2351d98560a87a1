//! `amends deploy`: uploads a component.

use std::{path::PathBuf, time::Duration};

use amends_wire::{
    module::{Break, Breaks, Deployed, MissingGrant, Move, Plan, Trigger},
    saga::Status,
};
use anyhow::Result;
use clap::Args;
use http::Method;

use super::{
    compare,
    exit::Exit,
    input,
    render::text::{clean, count, short},
    session::{Form, Session, print, print_json, say},
};
use amends_client::Write;

/// A compilation takes at most 90 seconds by default.
const PATIENCE: Duration = Duration::from_secs(300);

/// Upload a module: it is verified, stored as a new version, and new sagas start on it.
///
/// Sagas in flight, their compensations included, stay on the version that they started with.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  amends deploy target/wasm32-wasip2/release/trip.wasm\n  amends deploy trip.wasm --plan\n  amends deploy credit.wasm --verify"
)]
pub(super) struct Deploy {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The name that the component must have. By default any name is accepted.
    #[arg(long)]
    name: Option<String>,
    /// Store the version without activating it.
    #[arg(long)]
    no_activate: bool,
    /// Only report what would change.
    #[arg(long, conflicts_with = "no_activate")]
    plan: bool,
    /// Fold every stored stream by the new code and by the active code, and activate only if the states are equal.
    #[arg(long, conflicts_with_all = ["no_activate", "plan"])]
    verify: bool,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(deploy: &Deploy, session: &Session) -> Result<Exit> {
    let bytes = input::component(&deploy.file)?;
    let path: Vec<&str> = ["v1", "modules"].into_iter().chain(deploy.name.as_deref()).collect();
    let activate = if deploy.no_activate || deploy.verify { "false" } else { "true" };
    let query = if deploy.plan { [("plan", "true")] } else { [("activate", activate)] };
    let write = Write {
        method: if deploy.name.is_some() { Method::PUT } else { Method::POST },
        query: &query,
        content_type: "application/wasm",
        body: &bytes,
        patience: PATIENCE,
        ..Write::post(&path)
    };
    say(&format!(
        "uploading {} ({}), then the host verifies it …",
        deploy.file.display(),
        crate::config::Size::rough(bytes.len())
    ));
    if deploy.plan {
        let (_, plan): (_, Plan) = session.client.write(&write)?;
        return match deploy.form.json {
            true => print_json(&plan),
            false => print(&planned(&plan)),
        }
        .map(|()| Exit::Fine);
    }
    let (status, deployed): (_, Deployed) = session.client.write(&write)?;
    if deploy.verify {
        return compare::then_activate(&deployed, deploy.form, session);
    }
    if deploy.form.json {
        print_json(&deployed)?;
    } else {
        print(&report(&deployed, status == http::StatusCode::CREATED))?;
    }
    Ok(Exit::Fine)
}

/// Uploads a component and activates it. True: the host did not have this component yet.
pub(super) fn activate(component: &[u8], session: &Session) -> Result<(Deployed, bool)> {
    let (status, deployed) = session.client.write(&Write {
        query: &[("activate", "true")],
        content_type: "application/wasm",
        body: component,
        patience: PATIENCE,
        ..Write::post(&["v1", "modules"])
    })?;
    Ok((deployed, status == http::StatusCode::CREATED))
}

fn report(deployed: &Deployed, is_new: bool) -> String {
    let standing = match deployed.active {
        Some(active) if active == deployed.version => {
            format!("active: {}", uses(&deployed.sagas, &deployed.aggregates, &deployed.policies, "it"))
        }
        Some(active) => {
            let active = format!("version {active}");
            format!("not active: {}", uses(&deployed.sagas, &deployed.aggregates, &deployed.policies, &active))
        }
        None => format!("not active; `amends activate {} {}` makes it so", deployed.name, deployed.version),
    };
    let news = if is_new { "" } else { " (the host had this component already)" };
    let head = format!("{} version {}{news}  sha256 {}  {standing}\n", deployed.name, deployed.version, short(&deployed.digest));
    let breaks = broken(&deployed.breaks, "no longer works");
    head + &sagas(&deployed.sagas, &deployed.triggers)
        + &state(&deployed.aggregates, &deployed.projections, &deployed.policies)
        + &breaks
        + &remarks(&deployed.missing_grants, &deployed.warnings)
}

/// What a module of this content uses its active version for.
pub(super) fn uses(sagas: &[String], aggregates: &[String], policies: &[String], active: &str) -> String {
    match (sagas, aggregates, policies) {
        ([], [], []) => format!("its views are built by {active}"),
        ([], [], _) => format!("its policies run on {active}"),
        ([], ..) => format!("its aggregates are decided by {active}"),
        _ => format!("new sagas start on {active}"),
    }
}

fn planned(plan: &Plan) -> String {
    let what = match (plan.deployed, plan.active == Some(plan.version)) {
        (true, true) => {
            format!("{} version {} has this component already and is active: nothing would change\n", plan.name, plan.version)
        }
        (true, false) => format!("{} version {} has this component already; it would become active\n", plan.name, plan.version),
        (false, _) => {
            let active = if plan.sagas.is_empty() { "it would become active" } else { "new sagas would start on it" };
            format!("{} would get version {} (sha256 {}), and {active}\n", plan.name, plan.version, short(&plan.digest))
        }
    };
    let stays = match plan.in_flight.as_slice() {
        [] => "no saga is in flight on this module\n".to_owned(),
        versions => versions
            .iter()
            .map(|version| {
                format!(
                    "{} on version {} would stay there, compensations included\n",
                    count(version.sagas, "saga"),
                    version.version
                )
            })
            .collect(),
    };
    let breaks = broken(&plan.breaks, "would stop working");
    let sagas = sagas(&plan.sagas, &plan.triggers) + &state(&plan.aggregates, &plan.projections, &plan.policies);
    what + &stays + &moves(plan) + &sagas + &breaks + &remarks(&plan.missing_grants, &plan.warnings)
}

/// Which sagas could move, and the obstacles of the others. Sagas that need no operator share one line, since there may be
/// thousands.
fn moves(plan: &Plan) -> String {
    let line = |saga: &Move| {
        let can = match saga.obstacles.as_slice() {
            [] => format!("could move: amends move {} --to {}", saga.id, plan.version),
            obstacles => format!("could not move: {}", obstacles.join("; ")),
        };
        let misfit = saga.input_does_not_fit.as_ref();
        let misfit = misfit.map(|where_| format!("; its input does not fit the new schema: {where_}")).unwrap_or_default();
        let line = format!("  {} on version {}, {}, {can}{misfit}", saga.id, saga.version, saga.status.as_str());
        clean(&line).into_owned() + "\n"
    };
    let is_easy = |saga: &&Move| saga.status != Status::Stuck && saga.obstacles.is_empty() && saga.input_does_not_fit.is_none();
    let (easy, others): (Vec<&Move>, Vec<&Move>) = plan.moves.iter().partition(is_easy);
    let cut = if plan.moves_cut { "  … and more\n" } else { "" };
    let easy = match easy.as_slice() {
        [one] => line(one),
        easy => could_move(easy),
    };
    others.into_iter().map(line).collect::<String>() + &easy + cut
}

/// The line for sagas that could all move in the same way.
const NAMED: usize = 5;

fn could_move(sagas: &[&Move]) -> String {
    let ids: Vec<&str> = sagas.iter().take(NAMED).map(|saga| saga.id.as_str()).collect();
    match sagas.len() {
        0 => String::new(),
        all @ ..=NAMED => format!("  {all} sagas could move as they are: {}\n", clean(&ids.join(", "))),
        all => format!("  {all} sagas could move as they are: {} and {} more\n", clean(&ids.join(", ")), all - NAMED),
    }
}

fn sagas(sagas: &[String], triggers: &[Trigger]) -> String {
    let names = if sagas.is_empty() { String::new() } else { format!("sagas: {}\n", sagas.join(", ")) };
    names + &started_by(triggers)
}

/// The aggregates, the projections and the policies of a module, on a line each; nothing if there are none.
pub(super) fn state(aggregates: &[String], projections: &[String], policies: &[String]) -> String {
    let line = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("{what}: {}\n", names.join(", ")),
    };
    line("aggregates", aggregates) + &line("projections", projections) + &line("policies", policies)
}

/// Which events start which sagas, on one line; nothing if there are none.
pub(super) fn started_by(triggers: &[Trigger]) -> String {
    let trigger = |Trigger { event_type, saga }: &Trigger| format!("{} → {saga}", clean(event_type));
    match triggers.iter().map(trigger).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        triggers => format!("started by: {}\n", triggers.join(", ")),
    }
}

/// What works on the active version and not on another one, with a line for each.
pub(super) fn broken(breaks: &Breaks, verb: &str) -> String {
    let line = |broken: &Break| {
        let what = match broken {
            Break::Saga { saga } => format!("starts of saga {saga}, which the version does not have"),
            Break::Trigger { event_type, saga } => format!("event {event_type} → {saga}, which the version does not declare"),
            Break::Schedule { schedule, saga, why } => format!("schedule {schedule} of saga {saga}: {why}"),
        };
        format!("{verb}: {}\n", clean(&what))
    };
    let cut = if breaks.is_cut { format!("{verb}: perhaps more\n") } else { String::new() };
    breaks.what.iter().map(line).collect::<String>() + &cut
}

/// The missing grants, each with the command that gives it.
pub(super) fn remarks(missing: &[MissingGrant], warnings: &[String]) -> String {
    let missing = missing.iter().map(|grant| format!("not granted: {} reaches nothing yet; {}\n", grant.import, grant.command));
    missing.chain(warnings.iter().map(|warning| format!("warning: {warning}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_deploy_says_what_is_active_and_what_is_not_granted() {
        let deployed = Deployed {
            name: "trip".to_owned(),
            version: 2,
            digest: "3f9c".repeat(16),
            active: Some(1),
            sagas: vec!["trip".to_owned(), "flight".to_owned()],
            triggers: vec![Trigger { event_type: "trip.wanted".to_owned(), saga: "trip".to_owned() }],
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            imports: Vec::new(),
            missing_grants: vec![MissingGrant {
                import: "wasi:http/outgoing-handler@0.2.3".to_owned(),
                command: "amends grant trip --http ORIGIN".to_owned(),
            }],
            warnings: vec!["step `charge` is never undone".to_owned()],
            breaks: Breaks { what: vec![Break::Saga { saga: "hotel".to_owned() }], is_cut: false },
        };
        expect![[r#"
            trip version 2  sha256 3f9c3f9c3f9c  not active: new sagas start on version 1
            sagas: trip, flight
            started by: trip.wanted → trip
            no longer works: starts of saga hotel, which the version does not have
            not granted: wasi:http/outgoing-handler@0.2.3 reaches nothing yet; amends grant trip --http ORIGIN
            warning: step `charge` is never undone
        "#]]
        .assert_eq(&report(&deployed, true));
    }

    /// Each module was told of new sagas, also one that has none.
    #[test]
    fn a_deploy_says_what_the_active_version_is_used_for() {
        let deployed = |active, sagas: &[&str], aggregates: &[&str]| Deployed {
            name: "ledger".to_owned(),
            version: 2,
            digest: "3f9c".repeat(16),
            active,
            sagas: sagas.iter().map(ToString::to_string).collect(),
            triggers: Vec::new(),
            aggregates: aggregates.iter().map(ToString::to_string).collect(),
            projections: vec!["balances".to_owned()],
            policies: Vec::new(),
            imports: Vec::new(),
            missing_grants: Vec::new(),
            warnings: Vec::new(),
            breaks: Breaks::default(),
        };
        let head = |deployed: &Deployed| report(deployed, true).lines().next().unwrap_or_default().to_owned() + "\n";
        let heads = [
            deployed(Some(2), &["move"], &["account"]),
            deployed(Some(2), &[], &["account"]),
            deployed(Some(1), &[], &["account"]),
            deployed(Some(2), &[], &[]),
            Deployed { policies: vec!["audit".to_owned()], ..deployed(Some(2), &[], &[]) },
            deployed(None, &[], &[]),
        ];
        expect![[r#"
            ledger version 2  sha256 3f9c3f9c3f9c  active: new sagas start on it
            ledger version 2  sha256 3f9c3f9c3f9c  active: its aggregates are decided by it
            ledger version 2  sha256 3f9c3f9c3f9c  not active: its aggregates are decided by version 1
            ledger version 2  sha256 3f9c3f9c3f9c  active: its views are built by it
            ledger version 2  sha256 3f9c3f9c3f9c  active: its policies run on it
            ledger version 2  sha256 3f9c3f9c3f9c  not active; `amends activate ledger 2` makes it so
        "#]]
        .assert_eq(&heads.map(|deployed| head(&deployed)).concat());
    }

    #[test]
    fn c2_23_a_plan_says_who_stays_where_and_what_would_stop_working() {
        let waiting = |number: u32| Move {
            id: format!("T{number}"),
            version: 2,
            status: Status::Waiting,
            obstacles: Vec::new(),
            input_does_not_fit: None,
        };
        let plan = Plan {
            name: "trip".to_owned(),
            digest: "3f9c".repeat(16),
            version: 3,
            deployed: false,
            active: Some(2),
            in_flight: vec![
                amends_wire::module::InFlight { version: 1, sagas: 1 },
                amends_wire::module::InFlight { version: 2, sagas: 12 },
            ],
            moves: vec![
                Move {
                    id: "T1".to_owned(),
                    version: 1,
                    status: Status::Stuck,
                    obstacles: Vec::new(),
                    input_does_not_fit: Some("at /qty: must be >=1, but got 0".to_owned()),
                },
                Move {
                    id: "T2".to_owned(),
                    version: 2,
                    status: Status::Running,
                    obstacles: vec!["step `pay`: attempt 1 is open; move when it has ended".to_owned()],
                    input_does_not_fit: None,
                },
            ]
            .into_iter()
            .chain((3..10).map(waiting))
            .collect(),
            moves_cut: true,
            sagas: vec!["trip".to_owned()],
            triggers: Vec::new(),
            aggregates: Vec::new(),
            projections: Vec::new(),
            policies: Vec::new(),
            imports: Vec::new(),
            missing_grants: Vec::new(),
            warnings: Vec::new(),
            breaks: Breaks {
                what: vec![
                    Break::Saga { saga: "hotel".to_owned() },
                    Break::Trigger { event_type: "room.wanted".to_owned(), saga: "hotel".to_owned() },
                    Break::Schedule {
                        schedule: "nightly".to_owned(),
                        saga: "hotel".to_owned(),
                        why: "the version has no saga hotel".to_owned(),
                    },
                ],
                is_cut: true,
            },
        };
        expect![[r#"
            trip would get version 3 (sha256 3f9c3f9c3f9c), and new sagas would start on it
            1 saga on version 1 would stay there, compensations included
            12 sagas on version 2 would stay there, compensations included
              T1 on version 1, stuck, could move: amends move T1 --to 3; its input does not fit the new schema: at /qty: must be >=1, but got 0
              T2 on version 2, running, could not move: step `pay`: attempt 1 is open; move when it has ended
              7 sagas could move as they are: T3, T4, T5, T6, T7 and 2 more
              … and more
            sagas: trip
            would stop working: starts of saga hotel, which the version does not have
            would stop working: event room.wanted → hotel, which the version does not declare
            would stop working: schedule nightly of saga hotel: the version has no saga hotel
            would stop working: perhaps more
        "#]]
        .assert_eq(&planned(&plan));
    }
}
