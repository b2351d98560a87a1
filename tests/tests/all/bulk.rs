//! XR-30: many sagas are stuck at once. They are listed in groups, and a verb for a group applies to each saga once.

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    probe::{DONE, Kind, Probe, Step, Undo, in_step},
};

/// Says transient, with the code `probe`.
const BROKEN: &str = "(call $failed (i32.const 1))";

/// The same, with the code `prob`.
const BROKEN_OTHERWISE: &str = "(call $failed (i32.const 1)) (i32.store (i32.const 268) (i32.const 4))";

/// Says done.
const SOUND: &str = "(i32.const 64)";

/// `a`, whose compensation this is, then `b`, which is refused.
fn module(compensate: &str) -> Vec<u8> {
    let steps = vec![Step::new("a", Kind::Compensatable, Undo::Code), Step::new("b", Kind::Compensatable, Undo::Nothing)];
    let execute = in_step('b', "(call $failed (i32.const 1))", DONE);
    Probe { steps, compensate: compensate.to_owned(), ..Probe::execute(execute) }.component()
}

/// Its one step is after the point of no return, and never works.
fn forward() -> Vec<u8> {
    let steps = vec![Step::new("send", Kind::Retriable, Undo::None)];
    let (module, saga) = ("mail".to_owned(), "mail".to_owned());
    Probe { module, saga, steps, ..Probe::execute("(call $failed (i32.const 2))") }.component()
}

/// Starts so many and waits until they are stuck.
#[track_caller]
fn stick(host: &Host, saga: &str, prefix: &str, count: usize) {
    for number in 0..count {
        let stuck = host.api().run(saga, &format!("{prefix}{number}"), &json!({}));
        assert_eq!(stuck["status"], "stuck", "{stuck}");
    }
}

/// 300 sagas in three groups: 150 and 100 of `probe` in its versions 1 and 2, 50 of `mail`.
fn three_groups() -> Host {
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &module(BROKEN)).expect(201);
    stick(&host, "probe", "A", 150);
    host.api().put("/v1/modules/probe", &module(BROKEN_OTHERWISE)).expect(201);
    stick(&host, "probe", "B", 100);
    host.api().put("/v1/modules/mail", &forward()).expect(201);
    stick(&host, "mail", "C", 50);
    host
}

/// How often a verb was recorded for each saga that it was recorded for.
fn recorded(host: &Host, prefix: &str, count: usize, kind: &str) -> Vec<usize> {
    let times = |number| host.api().journal(&format!("{prefix}{number}")).iter().filter(|record| record["type"] == kind).count();
    (0..count).map(times).collect()
}

/// Without what is said of when.
fn timeless(text: &str) -> String {
    let line = |line: &str| line.split_once("  since ").map_or(line, |(before, _)| before).to_owned() + "\n";
    text.lines().map(line).collect()
}

#[test]
fn xr_30_three_hundred_stuck_sagas_are_three_groups_and_one_of_them_is_tried_again() {
    let host = three_groups();
    let listed = host.cli(&["list", "--status", "stuck"]);
    expect![[r#"
        probe v1  undo of a  150 stuck
          all attempts are used up; the last: probe
          A0, A1, A2, A3, A4 and 145 more
            amends retry --all --saga probe --version 1 --step a --failure probe --dry-run
            amends move --to VERSION --all --saga probe --version 1 --step a --failure probe --dry-run
            amends show A0

        probe v2  undo of a  100 stuck
          all attempts are used up; the last: prob
          B0, B1, B2, B3, B4 and 95 more
            amends retry --all --saga probe --version 2 --step a --failure prob --dry-run
            amends move --to VERSION --all --saga probe --version 2 --step a --failure prob --dry-run
            amends show B0

        mail v1  send  50 stuck
          all attempts are used up; the last: probe
          C0, C1, C2, C3, C4 and 45 more
            amends retry --all --saga mail --version 1 --step send --failure probe --dry-run
            amends move --to VERSION --all --saga mail --version 1 --step send --failure probe --dry-run
            amends show C0
    "#]]
    .assert_eq(&timeless(&listed.stdout));
    assert_eq!(listed.stderr, "300 stuck sagas in 3 groups; `amends list --status stuck --flat` has a line for each\n");
    let flat = host.cli(&["list", "--status", "stuck", "--failure", "prob", "--flat", "--limit", "1000"]);
    assert_eq!(flat.stdout.lines().count(), 101, "{}", flat.stdout);

    let group = ["retry", "--all", "--saga", "probe", "--version", "1", "--step", "a", "--failure", "probe"];
    let dry = host.cli(&[&group[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stdout.starts_with("would retry 150 sagas (A") && dry.stdout.ends_with(" and 130 more)\n"), "{}", dry.stdout);
    assert_eq!(recorded(&host, "A", 150, "retried"), [0; 150], "a dry run changes nothing");
    assert_eq!(host.cli(&["jobs"]).stdout, "");

    let done = host.cli(&[&group[..], &["--wait", "--note", "the gateway is back"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("applied to 150 sagas\n"), "{}", done.stdout);
    assert_eq!(recorded(&host, "A", 150, "retried"), [1; 150]);
    assert_eq!(recorded(&host, "B", 100, "retried"), [0; 100]);
    let record = host.api().journal("A7").into_iter().find(|record| record["type"] == "retried").unwrap();
    assert_eq!(
        (&record["note"], &record["by"], &record["actor"]),
        (&json!("the gateway is back"), &json!("tester"), &json!("local"))
    );
    let jobs = host.api().get("/v1/jobs").expect(200);
    assert_eq!(record["caused_by"], jobs["jobs"][0]["position"]);
}

#[test]
fn xr_30_a_job_goes_on_after_a_kill_and_no_saga_is_left_out_or_tried_twice() {
    let mut host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &module(BROKEN)).expect(201);
    stick(&host, "probe", "A", 300);
    // Each turn of a job is about 32 sagas, so this is in one of the first.
    let options = host.options().dies_at("undo-guest-running:40");
    host.restart_with(options);
    let body = json!({"verb": "retry", "filter": {"failure": "probe"}, "note": "again"}).to_string();
    let ask = |host: &Host| host.api().try_send(Method::POST, "/v1/jobs", Some("one-key"), body.as_bytes());
    // It may die before it has answered.
    let _first = ask(&host);
    host.died();
    host.restart();
    let job = ask(&host).unwrap().expect(202);
    assert_eq!(host.api().get("/v1/jobs").expect(200)["jobs"].as_array().unwrap().len(), 1);
    let id = job["id"].as_str().unwrap();
    let ended = host.api().get(&format!("/v1/jobs/{id}?wait=100s")).expect(200);
    assert_eq!((&ended["status"], &ended["applied"], &ended["does_not_fit"]), (&json!("ended"), &json!(300), &json!([])));
    assert_eq!(recorded(&host, "A", 300, "retried"), [1; 300]);
}

#[test]
fn xr_30_a_group_whose_compensation_is_broken_goes_over_to_a_version_that_mends_it() {
    let host = Host::start(DataFolder::empty(), Options::default());
    host.api().put("/v1/modules/probe", &module(BROKEN)).expect(201);
    stick(&host, "probe", "A", 40);
    host.api().put("/v1/modules/probe", &module(SOUND)).expect(201);
    let group = ["move", "--to", "2", "--all", "--saga", "probe", "--version", "1", "--status", "stuck"];
    let done = host.cli(&[&group[..], &["--wait"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    for number in 0..40 {
        let saga = host.api().run("probe", &format!("A{number}"), &json!({}));
        assert_eq!((&saga["status"], &saga["version"], &saga["outstanding"]), (&json!("compensated"), &json!(2), &json!([])));
    }
    assert_eq!(recorded(&host, "A", 40, "moved"), [1; 40]);
}

#[test]
fn xr_30_a_verb_over_nothing_is_refused_and_does_nothing() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let ask = |filter: Value| host.api().post("/v1/jobs", &json!({"verb": "retry", "filter": filter})).error();
    let nobody = ask(json!({"saga": "probe"}));
    host.api().put("/v1/modules/probe", &module(BROKEN)).expect(201);
    stick(&host, "probe", "A", 3);
    let others = ask(json!({"saga": "probe", "failure": "gateway_down"}));
    let everybody = ask(json!({}));
    expect![[r#"
        422 nothing_matches: no saga that has not ended is as the filter says (saga probe)
          hint: there is no saga that has not ended
        422 nothing_matches: no saga that has not ended is as the filter says (saga probe, failure gateway_down)
          hint: what has not ended: 3 stuck of probe v1; look at them with `amends list`
        400 bad_request: the filter says nothing
          hint: say which sagas, by at least one of saga, status, module, version, step and failure
    "#]]
    .assert_eq(&format!("{nobody}{others}{everybody}"));
    let output = host.cli(&["abandon", "--all", "--saga", "trip"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert_eq!(host.cli(&["abandon", "--all"]).code, 2);
    assert_eq!(host.api().get("/v1/jobs").expect(200), json!({"jobs": [], "is_cut": false}));
    assert_eq!(recorded(&host, "A", 3, "retried"), [0; 3]);
}
