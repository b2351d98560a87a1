//! Sagas that no example is: the history of the paper that sagas come from, and lists that a fan-out cannot use.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    laws,
    probe::{DONE, Kind, Probe, REFUSED, Step, Undo, in_round, in_step},
};

fn host(probe: &Probe) -> Host {
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &probe.component()).expect(201);
    host
}

/// Garcia-Molina and Salem, *Sagas* (1987), section 4: a failure after each of two save-points.
#[test]
fn the_history_of_the_sagas_paper_is_played() {
    let t = |name: &str| Step::new(name, Kind::Compensatable, Undo::Code);
    let steps = vec![t("a").savepoint("first"), t("b"), t("c").savepoint("second"), t("d"), t("e"), t("f")];
    // T3 fails in the first round, T6 in the second.
    let sixth = in_step('f', &in_round(1, REFUSED, DONE), DONE);
    let execute = in_step('c', &in_round(0, REFUSED, DONE), &sixth);
    let host = host(&Probe { rounds: 2, execute, ..Probe::steps(steps) });
    let saga = host.api().run("probe", "S1", &json!({}));
    assert_eq!((&saga["status"], &saga["round"]), (&json!("completed"), &json!(2)));
    assert_eq!(history(&host.api().journal("S1")), "T1 T2 C2 T2 T3 T4 T5 C5 C4 T4 T5 T6");
}

/// What happened, in the paper's words.
fn history(journal: &[Value]) -> String {
    let happened = journal.iter().filter_map(|record| {
        let number = record["step"].as_str()?.bytes().next()? - b'a' + 1;
        match record["type"].as_str()? {
            "done" => Some(format!("T{number}")),
            "undone" => Some(format!("C{number}")),
            _ => None,
        }
    });
    happened.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_list_that_cannot_be_used_refuses_its_step_before_it_begins() {
    let before = Step::new("before", Kind::Compensatable, Undo::Code);
    let each = Step::new("pay", Kind::Compensatable, Undo::Code).each("/input/items");
    let host = host(&Probe::steps(vec![before, each]));
    let inputs = [
        json!({}),
        json!({"items": {"id": 1}}),
        json!({"items": [{"id": 1}, {}]}),
        json!({"items": [{"id": 1, "n": 1}, {"id": 1, "n": 2}]}),
    ];
    let mut said = String::new();
    for (number, input) in inputs.iter().enumerate() {
        let id = format!("S{number}");
        let saga = host.api().run("probe", &id, input);
        let failure = &saga["failure"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let steps = saga["steps"].as_array().cloned().unwrap_or_default();
        let steps: Vec<String> = steps.iter().map(|step| format!("{} {}", text(&step["name"]), text(&step["status"]))).collect();
        said += &format!("{input}\n  {}: {}\n  {}\n", text(&failure["code"]), text(&failure["message"]), steps.join(", "));
        laws::hold(&host.api(), &id);
    }
    expect![[r#"
        {}
          no_list: there is nothing at `/input/items`
          before compensated, pay refused
        {"items":{"id":1}}
          no_list: there is no list at `/input/items`
          before compensated, pay refused
        {"items":[{"id":1},{}]}
          no_key: element 1 of `/input/items` has no key at `/id`: a string of 1 to 256 bytes, or a number
          before compensated, pay refused
        {"items":[{"id":1,"n":1},{"id":1,"n":2}]}
          clashing_keys: two different elements of `/input/items` have the key `1`
          before compensated, pay refused
    "#]]
    .assert_eq(&said);
}

#[test]
fn equal_elements_are_one() {
    let host = host(&Probe::steps(vec![Step::new("pay", Kind::Compensatable, Undo::Code).each("/input/items")]));
    let saga = host.api().run("probe", "S1", &json!({"items": [{"id": "x/y"}, {"id": 7}, {"id": "x/y"}]}));
    let names: Vec<&Value> = saga["steps"].as_array().into_iter().flatten().map(|step| &step["name"]).collect();
    assert_eq!(names, ["pay", "pay[x%2Fy]", "pay[7]"]);
    assert_eq!(saga["output"], json!([null, null]));
}
