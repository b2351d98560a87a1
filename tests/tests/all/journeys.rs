//! Journeys of several travellers: children, an alternate, a savepoint and its second round, over real HTTP; each scenario also
//! with every message sent twice, and with kills.

use std::collections::BTreeMap;

use expect_test::expect;
use participants::{Control, Operation};
use serde_json::{Value, json};

use crate::{
    harness::{
        api::Traffic,
        desk::{Conditions, Desk, Kill},
    },
    variants::scenarios,
};

mod scenario;

scenarios! {
    scenario::two_travellers_are_booked
    scenario::tb_08_each_branch_is_undone_in_its_own_reverse_order
    scenario::tb_11_the_second_hotel_is_taken_when_the_first_is_full
    scenario::tb_12_another_car_is_tried_from_the_savepoint
    scenario::tb_20_the_child_of_a_traveller_is_undone_as_one_unit
    scenario::when_the_second_round_fails_as_well_everything_is_undone
}

/// Flights F100 and F200 with 2 seats each, hotels H1 and H2 and cars K1 and K2 with one each, 1,000.00 on account A; but for
/// what is said otherwise.
fn desk<const N: usize>(conditions: Conditions, otherwise: [(&str, u32); N]) -> Desk {
    let desk = Desk::open(conditions);
    desk.api().grant("itinerary", &[&desk.url()]);
    let all = [("F100", 2), ("F200", 2), ("H1", 1), ("H2", 1), ("K1", 1), ("K2", 1)];
    let stock = all.into_iter().chain(otherwise).map(|(name, left)| (name.to_owned(), left)).collect::<BTreeMap<_, _>>();
    desk.participants.control(Control { stock, ..Control::default() });
    desk
}

/// The input of a journey.
fn journey<const N: usize>(desk: &Desk, travellers: [&str; N]) -> Value {
    json!({"participants": desk.url(), "travellers": travellers.to_vec()})
}

/// Where in the order of calls a step of J1 was first asked for this.
fn asked_at(desk: &Desk, operation: Operation, step: &str) -> Option<usize> {
    let trace = desk.participants.state().trace;
    trace.iter().position(|call| call.trip == "J1" && call.operation == operation && call.step == step)
}

/// Some of the points at which the host can be killed; the others are run on demand.
const KILLS: [Kill; 8] = [
    Kill::At("intent-durable", 3),
    Kill::At("guest-running", 4),
    Kill::At("outcome-seen", 5),
    Kill::At("outcome-durable", 6),
    Kill::At("rollback-durable", 1),
    Kill::At("undo-outcome-durable", 1),
    Kill::By(Operation::ReserveFlight),
    Kill::By(Operation::ReserveHotel),
];

#[test]
fn a_journey_that_is_killed_ends_as_it_would_have() {
    for kill in KILLS {
        let conditions = Conditions { traffic: Traffic::Once, kill: Some(kill) };
        let scenarios = [
            scenario::tb_08_each_branch_is_undone_in_its_own_reverse_order,
            scenario::tb_11_the_second_hotel_is_taken_when_the_first_is_full,
            scenario::tb_12_another_car_is_tried_from_the_savepoint,
            scenario::tb_20_the_child_of_a_traveller_is_undone_as_one_unit,
        ];
        let lives: Vec<usize> = scenarios.map(|scenario| scenario(conditions).host.lives()).to_vec();
        assert!(lives.iter().any(|lives| *lives > 1), "{kill:?} killed nobody");
    }
}

#[test]
fn a_journey_reads_as_a_tree() {
    let desk = desk(Traffic::Once.into(), [("H1", 0), ("K1", 0)]);
    desk.run("itinerary", "J1", &journey(&desk, ["ada"]));
    let tree = without_times(&desk.host.cli(&["show", "J1"]).stdout);
    expect![[r#"
        itinerary J1  completed  round 1 after no_car   itinerary v1 …  started …  took …
        ├── plan                     done …
        ├─┬ travellers               done … 1 of 1
        │ │ └─ travellers[ada]       done …
        │ │    ├─ reserve-outbound   done …
        │ │    └─ reserve-inbound    done …
        │ └ reserve-hotel            done … way 2
        │     way 1 refused: no_room: H1 has no rooms left
        ├── reserve-car              done … round 1
        │     round 0 refused: no_car: K1 has no cars left
        ├── charge (pivot)           done … round 1
        └── email-itinerary          done … round 1
        output: {"itinerary":"J1","travellers":["ada"],"hotel":"H2/J1","car":"K2/J1","amount_cents":93000,"version":1}
        outstanding: none   manual: 0   next: amends journal J1
    "#]]
    .assert_eq(&tree);
    let journal = without_times(&desk.host.cli(&["journal", "J1"]).stdout);
    // In parallel steps the revisions differ from run to run.
    let facts = journal.lines().filter_map(|line| Some(line.split_once("…  ")?.1));
    let composed: Vec<&str> =
        facts.filter(|fact| ["listed", "round_begun", " way "].iter().any(|word| fact.contains(word))).collect();
    expect![[r#"
        listed            travellers  1 element: ada
        intent            reserve-hotel way 2 #1
        done              reserve-hotel way 2 #1  {"confirmation":"H2/J1","amount_cents":50000}
        round_begun       round 1 after savepoint seats-and-rooms"#]]
    .assert_eq(&composed.join("\n"));
}

#[test]
fn a_journey_is_drawn() {
    let desk = desk(Traffic::Once.into(), []);
    let definition = desk.api().get("/v1/definitions/itinerary").expect(200);
    let stage = &definition["stages"][1];
    assert_eq!(stage["savepoint_after"], "seats-and-rooms");
    assert_eq!((&stage["steps"][0]["child"], &stage["steps"][1]["alternates"]), (&json!("traveller"), &json!(1)));
    assert_eq!(stage["steps"][0]["each"]["items"], "/outputs/plan");
    let picture = desk.api().get("/v1/definitions/itinerary?format=mermaid").expect(200);
    let picture = picture.as_str().unwrap_or_default();
    assert!(picture.contains("travellers: saga traveller, for each"), "{picture}");
    assert!(picture.contains("savepoint seats-and-rooms"), "{picture}");
}

/// Durations, times of day and digests as `…`: words that hold a digit and are no name, amount or number of ours.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_end_matches([',', ')']).trim_start_matches('(');
        let unit = word.ends_with("ms") || word.ends_with('s');
        let clock = word.matches(':').count() == 2 && word.starts_with(|c: char| c.is_ascii_digit());
        let digest = word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
        digest || clock || unit && word.starts_with(|c: char| c.is_ascii_digit())
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').map(|word| if is_time(word) { "…" } else { word }).collect();
        let mut text = words.join(" ");
        while let Some(wide) = text.find("…  ").filter(|at| text[*at..].starts_with("…   ")) {
            text.replace_range(wide..wide + "…   ".len(), "…  ");
        }
        text + "\n"
    };
    text.lines().map(line).collect()
}
