//! Sagas that no example has: the history of the *Sagas* paper, and lists that a fan-out cannot use.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    laws,
    probe::{DONE, Kind, Probe, REFUSED, Step, Undo, in_round, in_saga, in_step},
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
        let name = record["step"].as_str()?.rsplit('/').next()?;
        let number = name.bytes().next()? - b'a' + 1;
        match record["type"].as_str()? {
            "done" => Some(format!("T{number}")),
            "undone" => Some(format!("C{number}")),
            _ => None,
        }
    });
    happened.collect::<Vec<_>>().join(" ")
}

/// Two branches side by side, one of two steps and one of one, after something that is undone too; then a refusal.
#[test]
fn tb_08_both_branches_are_undone_each_in_reverse_before_what_came_before_the_fork() {
    let t = |name: &str| Step::new(name, Kind::Compensatable, Undo::Code);
    let steps = vec![t("a"), Step::child("left"), Step::child("right").beside(), t("f")];
    let child = |saga: &str, steps| Probe { saga: saga.to_owned(), ..Probe::steps(steps) };
    let children = vec![child("left", vec![t("b"), t("c")]), child("right", vec![t("d")])];
    let host = host(&Probe { children, execute: in_step('f', REFUSED, DONE), ..Probe::steps(steps) });
    for run in 0..20 {
        let id = format!("S{run}");
        assert_eq!(host.api().run("probe", &id, &json!({}))["status"], "compensated");
        laws::hold(&host.api(), &id);
        let history = history(&host.api().journal(&id));
        let forward = ["T1 T2 T3 T4", "T1 T2 T4 T3", "T1 T4 T2 T3"];
        let back = ["C3 C2 C4 C1", "C3 C4 C2 C1", "C4 C3 C2 C1"];
        let fits = forward.iter().flat_map(|there| back.iter().map(move |back| format!("{there} {back}")));
        assert!(fits.into_iter().any(|fits| fits == history), "{history}");
    }
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
    let mut found = String::new();
    for (number, input) in inputs.iter().enumerate() {
        let id = format!("S{number}");
        let saga = host.api().run("probe", &id, input);
        let failure = &saga["failure"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let steps = saga["steps"].as_array().cloned().unwrap_or_default();
        let steps: Vec<String> = steps.iter().map(|step| format!("{} {}", text(&step["name"]), text(&step["status"]))).collect();
        found += &format!("{input}\n  {}: {}\n  {}\n", text(&failure["code"]), text(&failure["message"]), steps.join(", "));
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
    .assert_eq(&found);
}

#[test]
fn an_empty_list_is_done_at_once_with_an_empty_output_and_undone_at_once() {
    let pay = Step::new("pay", Kind::Compensatable, Undo::Code).each("/input/items");
    let after = Step::new("after", Kind::Compensatable, Undo::Code);
    let host = host(&Probe { execute: in_saga('R', REFUSED, DONE), ..Probe::steps(vec![pay, after]) });
    let saga = host.api().run("probe", "S1", &json!({"items": []}));
    assert_eq!((&saga["status"], &saga["output"], &saga["steps"][0]["output"]), (&json!("completed"), &json!(null), &json!([])));
    let saga = host.api().run("probe", "R1", &json!({"items": []}));
    assert_eq!(
        (&saga["status"], &saga["failure"]["step"], &saga["outstanding"]),
        (&json!("compensated"), &json!(null), &json!([]))
    );
    laws::hold(&host.api(), "R1");
}

/// Each element is an attempt of its own, with its own records; the saga still goes back over all of them.
#[test]
fn a_thousand_elements_are_done_and_undone() {
    const ELEMENTS: usize = 1_000;
    let pay = Step::new("pay", Kind::Compensatable, Undo::Code).each("/input/items");
    let after = Step::new("after", Kind::Compensatable, Undo::Code);
    let host = host(&Probe { execute: in_step('a', &in_saga('R', REFUSED, DONE), DONE), ..Probe::steps(vec![pay, after]) });
    let items: Vec<Value> = (0..ELEMENTS).map(|id| json!({"id": id})).collect();
    for (id, status, attempts) in [("S1", "completed", ELEMENTS + 1), ("R1", "compensated", 2 * ELEMENTS + 1)] {
        let began = std::time::Instant::now();
        assert_eq!(host.api().run("probe", id, &json!({"items": items}))["status"], status);
        println!("{ELEMENTS} elements, {status}: {:?}, {} KiB", began.elapsed(), host.memory_kib("VmRSS"));
        let intents = host.api().journal(id).iter().filter(|record| record["type"] == "intent").count();
        assert_eq!(intents, attempts);
    }
    laws::hold(&host.api(), "R1");
}

#[test]
fn equal_elements_are_one() {
    let host = host(&Probe::steps(vec![Step::new("pay", Kind::Compensatable, Undo::Code).each("/input/items")]));
    let saga = host.api().run("probe", "S1", &json!({"items": [{"id": "x/y"}, {"id": 7}, {"id": "x/y"}]}));
    let names: Vec<&Value> = saga["steps"].as_array().into_iter().flatten().map(|step| &step["name"]).collect();
    assert_eq!(names, ["pay", "pay[x%2Fy]", "pay[7]"]);
    assert_eq!(saga["output"], json!([null, null]));
}
