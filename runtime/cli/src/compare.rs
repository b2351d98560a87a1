//! `amends deploy --verify`: what other code makes of the recorded events, before it is active.

use std::time::Duration;

use amends_wire::module::{Activate, AggregateComparison, Comparison, Deployed};
use anyhow::Result;
use serde::Serialize;

use super::{
    exit::Exit,
    render::text::{clean, columns, count},
    session::{Form, Session, print, print_json, say},
};
use amends_client::Write;

/// Folding everything takes as long as it takes; this is for stores of a hundred million events.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    deployed: &'a Deployed,
    comparison: &'a Comparison,
    activated: bool,
}

/// Compares a version that was stored with the active one, and activates it if nothing differs.
pub(super) fn then_activate(deployed: &Deployed, form: Form, session: &Session) -> Result<Exit> {
    let version = deployed.version.to_string();
    say("folding every stream of its aggregates by both versions …");
    let path = ["v1", "modules", &deployed.name, "versions", &version, "compare"];
    let (_, found): (_, Comparison) = session.client.write(&Write { patience: PATIENCE, ..Write::post(&path) })?;
    let is_fine = found.differences == 0 && found.unreadable == 0;
    if is_fine {
        let body = Activate { version: Some(deployed.version), ..Activate::default() };
        let _active: Deployed = session.client.post(&["v1", "modules", &deployed.name, "activate"], &body)?;
    }
    if form.json {
        print_json(&Verified { deployed, comparison: &found, activated: is_fine })?;
    } else {
        print(&text(&found))?;
    }
    Ok(if is_fine { Exit::Fine } else { Exit::Failed })
}

fn text(found: &Comparison) -> String {
    let Comparison { name, version, against, aggregates, differences, unreadable, took_ms } = found;
    let against = against.map_or_else(|| "no active version".to_owned(), |against| format!("version {against}, which is active"));
    let streams: u64 = aggregates.iter().map(|aggregate| aggregate.streams).sum();
    let events: u64 = aggregates.iter().map(|aggregate| aggregate.events).sum();
    let (streams, events) = (count(streams, "stream"), count(events, "event"));
    let seconds = *took_ms as f64 / 1e3;
    let head = format!("{name} version {version} against {against}: {streams}, {events}, {seconds:.1}s\n");
    let rows = columns(&aggregates.iter().map(row).collect::<Vec<_>>());
    let firsts: String = aggregates.iter().flat_map(firsts).collect();
    let end = match (differences, unreadable) {
        (0, 0) => format!("{name} version {version} is active\n"),
        (1, 0) => not_activated(found, "1 stream differs"),
        (differences, 0) => not_activated(found, &format!("{differences} streams differ")),
        (_, unreadable) => {
            format!("not activated: {} cannot be read by the new code; let it read them\n", count(*unreadable, "event"))
        }
    };
    head + &rows + &firsts + &end
}

fn not_activated(Comparison { name, version, differences, .. }: &Comparison, what: &str) -> String {
    let command = format!("amends activate {name} {version} --accept-differences {differences}");
    format!("not activated: {what} by the new code; `{command}` if that is meant\n")
}

fn row(found: &AggregateComparison) -> Vec<String> {
    let mut row = vec![
        format!("  {}", found.aggregate),
        format!("{} equal", found.equal),
        format!("{} differ", found.different),
        format!("{} trap", found.trapped),
        format!("{} unreadable", found.unreadable),
    ];
    if found.broken > 0 {
        row.push(format!("{} trap in the active version too", found.broken));
    }
    row
}

/// The first stream that differs, and the first one on which the new code fails.
fn firsts(found: &AggregateComparison) -> Vec<String> {
    let name = &found.aggregate;
    let shown = |value: &Option<String>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), |value| clean(value).into_owned());
    let different = found.first_different.iter().map(|first| {
        let place = if first.path.is_empty() { "the state" } else { first.path.as_str() };
        let (active, compared) = (shown(&first.active), shown(&first.compared));
        format!("  {name} {} at revision {}: {} {active} → {compared}\n", clean(&first.id), first.revision, clean(place))
    });
    let trapped = found
        .first_trapped
        .iter()
        .map(|first| format!("  {name} {} at revision {}: {}\n", clean(&first.id), first.revision, clean(&first.why)));
    different.chain(trapped).collect()
}

#[cfg(test)]
mod tests {
    use amends_wire::module::{FailedFold, StateDifference};
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_comparison_names_the_first_difference_and_what_it_takes_to_activate_all_the_same() {
        let customer = AggregateComparison {
            aggregate: "customer".to_owned(),
            streams: 10_000,
            events: 1_000_000,
            equal: 9_997,
            different: 2,
            trapped: 1,
            broken: 0,
            unreadable: 0,
            first_different: Some(StateDifference {
                id: "C7".to_owned(),
                revision: "40".to_owned(),
                path: "reserved.O9".to_owned(),
                active: Some("1234".to_owned()),
                compared: None,
            }),
            first_trapped: Some(FailedFold {
                id: "C9".to_owned(),
                revision: "2".to_owned(),
                why: "`credit` v2 cannot fold the events: overflow (trap)".to_owned(),
            }),
        };
        let order = AggregateComparison {
            aggregate: "order".to_owned(),
            streams: 5_120,
            events: 10_240,
            equal: 5_120,
            different: 0,
            trapped: 0,
            first_different: None,
            first_trapped: None,
            ..customer.clone()
        };
        let found = Comparison {
            name: "credit".to_owned(),
            version: 2,
            against: Some(1),
            aggregates: vec![customer, order.clone()],
            differences: 3,
            unreadable: 0,
            took_ms: 6_120,
        };
        let equal = Comparison { aggregates: vec![order.clone()], differences: 0, ..found.clone() };
        let unreadable =
            Comparison { aggregates: vec![AggregateComparison { unreadable: 7, ..order }], unreadable: 7, ..equal.clone() };
        let told: String = [found, equal, unreadable].iter().map(text).collect();
        expect![[r#"
            credit version 2 against version 1, which is active: 15120 streams, 1010240 events, 6.1s
              customer  9997 equal  2 differ  1 trap  0 unreadable
              order     5120 equal  0 differ  0 trap  0 unreadable
              customer C7 at revision 40: reserved.O9 1234 → (nothing)
              customer C9 at revision 2: `credit` v2 cannot fold the events: overflow (trap)
            not activated: 3 streams differ by the new code; `amends activate credit 2 --accept-differences 3` if that is meant
            credit version 2 against version 1, which is active: 5120 streams, 10240 events, 6.1s
              order  5120 equal  0 differ  0 trap  0 unreadable
            credit version 2 is active
            credit version 2 against version 1, which is active: 5120 streams, 10240 events, 6.1s
              order  5120 equal  0 differ  0 trap  7 unreadable
            not activated: 7 events cannot be read by the new code; let it read them
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&told).to_string());
    }
}
