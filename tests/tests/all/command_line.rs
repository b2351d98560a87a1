//! The command line with a host: the exit codes on which scripts rely, and the output on stdout.

use std::thread;

use participants::{Fault, Operation, Rule};
use serde_json::{Value, json};

use crate::harness::{
    api::Traffic,
    desk::Desk,
    guests::{Way, guest_path},
    host::cli,
};

#[test]
fn starts_exit_with_how_the_saga_ended() {
    let desk = Desk::open(Traffic::Once);
    let trip = desk.trip().to_string();
    let start = |id: &str, wait: &str| {
        let output = desk.host.cli(&["start", "trip", "--id", id, "--input", &trip, wait, "--json"]);
        let saga: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(saga["id"], id);
        (output.code, saga["status"].clone())
    };
    assert_eq!(start("T0", "--wait"), (0, json!("completed")));
    assert_eq!(start("T1", "--wait"), (3, json!("compensated")));
    desk.participants.control(participants::Control { reset: true, ..Default::default() });
    desk.participants.set_stock("K1", 0);
    desk.participants.add(Rule::every(Operation::CancelHotel, Fault::Fail));
    assert_eq!(start("T2", "--wait"), (4, json!("stuck")));
    assert_eq!(desk.host.cli(&["abandon", "T2", "--note", "enough"]).code, 0);
    assert_eq!(start("T2", "--wait"), (6, json!("abandoned")));
    desk.hold(Operation::ReserveFlight);
    let (code, status) = start("T3", "--wait=10ms");
    assert_eq!((code, status), (5, json!("running")));
    desk.release(Operation::ReserveFlight);
}

#[test]
fn a_module_goes_from_a_file_to_a_saga_by_commands_alone() {
    let desk = Desk::open(Traffic::Once);
    let run = |arguments: &[&str]| {
        let output = desk.host.cli(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}");
        output.stdout
    };
    let file = guest_path(Way::Plain, "trip-v2");
    assert!(run(&["deploy", file.to_str().unwrap(), "--plan"]).contains("trip"));
    assert!(run(&["deploy", file.to_str().unwrap()]).contains("trip version 2"));
    assert!(run(&["start", "trip", "--id", "T1", "--wait", "--input", &desk.trip().to_string()]).contains("completed"));
    assert!(run(&["show", "T1"]).contains("charge (pivot)"));
    let journal = run(&["journal", "T1", "--json"]);
    let records: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.last().unwrap()["type"], "completed");
    run(&["activate", "trip", "--previous"]);
    let versions: Value = serde_json::from_str(&run(&["modules", "trip", "--json"])).unwrap();
    assert_eq!(versions["active"], 1, "{versions}");
    let listed = run(&["list", "--json"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

/// `grant` reads what there is, adds to it and puts it back: two at once took back what the other had given.
#[test]
fn grants_of_many_people_at_once_are_all_kept() {
    const PEOPLE: usize = 8;
    let desk = Desk::open(Traffic::Once);
    thread::scope(|people| {
        for person in 0..PEOPLE {
            let url = desk.host.ready.url.clone();
            people.spawn(move || {
                let output = cli(&[("AMENDS_HOST", &url)], &["grant", "order", "--config", &format!("key-{person}=1")]);
                assert_eq!(output.code, 0, "{output:?}");
            });
        }
    });
    let order: Value = serde_json::from_str(&desk.host.cli(&["modules", "order", "--json"]).stdout).unwrap();
    assert_eq!(order["grants"]["config"].as_object().unwrap().len(), PEOPLE, "{order}");
}
