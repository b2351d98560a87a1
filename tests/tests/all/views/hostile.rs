//! XR-27 of views: code that traps, loops, writes without end, reaches out or answers garbage. It costs its view or its question, and
//! nobody else.

use std::thread;

use serde_json::json;

use super::{assert_unharmed, deploy, host_with, host_with_cpu, list_at, note, rows, rows_at, until_stopped};
use crate::harness::{answers_text, viewer::Viewer};

/// The view stops at an event with this data, for this reason; commands and other views go on.
#[track_caller]
fn assert_stops_as(viewer: &Viewer, data: &str, why: &str) {
    let host = host_with(viewer);
    let api = host.api();
    if viewer.reaches {
        api.grant("viewer", &["https://probe"]);
    }
    note(&api, "L1", "before");
    note(&api, "L1", data);
    let last = note(&api, "L1", "after");
    let stopped = until_stopped(&api, "notes")["stopped"].clone();
    assert_eq!(stopped["event"], "ledger/L1/2", "{stopped}");
    let said = format!("{} ({})", stopped["message"].as_str().unwrap_or_default(), stopped["code"].as_str().unwrap_or_default());
    assert_eq!(said, why);
    assert_eq!(rows(&api, "notes"), ["1before"]);
    assert_eq!(list_at(&api, "notes", &last).code(), "503 behind");
    assert_unharmed(&host);
    let peak_mib = host.memory_kib("VmHWM") >> 10;
    assert!(peak_mib < 1_024, "{peak_mib} MiB");
}

#[track_caller]
fn assert_stops(data: &str, why: &str) {
    assert_stops_as(&Viewer::default(), data, why);
}

#[test]
fn xr_27_a_projection_that_traps_stops_its_view() {
    assert_stops("T:", "the guest panicked or aborted (`unreachable` executed) (trap)");
}

#[test]
fn xr_27_a_projection_that_never_ends_stops_its_view() {
    assert_stops("L:", "the guest used its 100ms of processor time (`cpu` in [guest]) (cpu_limit)");
}

#[test]
fn xr_27_a_projection_that_allocates_without_end_stops_its_view() {
    assert_stops("M:", "the guest asked for 67371008 bytes of memory and may have 67108864 (`memory` in [guest]) (memory_limit)");
}

#[test]
fn xr_27_a_projection_that_writes_without_end_stops_its_view() {
    assert_stops("W:", "one call wrote 10001 rows of 90009 bytes, and may write 10000 and 16777216 (trap)");
}

#[test]
fn xr_27_a_projection_that_deletes_without_end_stops_its_view() {
    assert_stops("D:", "one call wrote 10001 rows of 50005 bytes, and may write 10000 and 16777216 (trap)");
}

#[test]
fn xr_27_a_projection_that_scans_without_end_stops_its_view() {
    let host = host_with_cpu(&Viewer::default(), "20s");
    let api = host.api();
    note(&api, "L1", "k:");
    note(&api, "L1", "C:");
    let stopped = until_stopped(&api, "notes");
    assert_eq!((&stopped["stopped"]["event"], &stopped["events"]), (&json!("ledger/L1/1001"), &json!(1_000)), "{stopped}");
    assert_eq!(stopped["stopped"]["message"], "one call read more than 100000 rows");
    assert_unharmed(&host);
}

#[test]
fn xr_27_a_value_that_is_too_large_stops_its_view() {
    assert_stops("V:", "a row's value has 65537 bytes, and may have 65536 (trap)");
}

#[test]
fn xr_27_a_key_that_is_too_long_stops_its_view() {
    assert_stops("K:", "a row's key has 1025 bytes, and may have 1 to 1024 (trap)");
}

#[test]
fn xr_27_an_empty_key_stops_its_view() {
    assert_stops("E:", "a row's key has 0 bytes, and may have 1 to 1024 (trap)");
}

#[test]
fn xr_27_a_projection_that_sleeps_stops_its_view() {
    let told = "the guest sleeps for 86400s in an effect-free attempt; return the outcome `wait` with a moment instead: nothing \
                stays in memory meanwhile (trap)";
    assert_stops("S:", told);
}

#[test]
fn xr_27_a_projection_that_calls_out_stops_its_view_whatever_its_module_is_granted() {
    let reaching = Viewer { reaches: true, ..Viewer::default() };
    assert_stops_as(
        &reaching,
        "H:",
        "it called https://probe, and aggregates, projections and policies reach nothing outside: a step of a saga may (denied)",
    );
}

#[test]
fn xr_27_a_query_that_misbehaves_costs_its_question() {
    let names = ["trap", "on-and-on", "more", "fail", "write", "scan", "garbage", "http", "nap"];
    let queries: Vec<(&str, Option<&str>)> = names.iter().chain(&["cans", "list"]).map(|name| (*name, None)).collect();
    let host = host_with(&Viewer { reaches: true, ..Viewer::default().queries(&queries) });
    let api = host.api();
    api.grant("viewer", &["https://probe"]);
    let last = note(&api, "L1", "k:");
    assert_eq!(rows_at(&api, "notes", &last).len(), 1_000);
    let asked = names.map(|name| (name, api.get(&format!("/v1/views/notes/{name}")).error()));
    expect_test::expect![[r#"
        trap
          500 guest_failed: `viewer` v1 cannot answer: the guest panicked or aborted (`unreachable` executed) (trap)
        on-and-on
          500 guest_failed: `viewer` v1 cannot answer: the guest used its 100ms of processor time (`cpu` in [guest]) (cpu_limit)
        more
          500 guest_failed: `viewer` v1 cannot answer: the guest asked for 67371008 bytes of memory and may have 67108864 (`memory` in [guest]) (memory_limit)
        fail
          422 no: no
        write
          500 guest_failed: `viewer` v1 cannot answer: a query wrote a row; only `project` may (trap)
        scan
          500 guest_failed: `viewer` v1 cannot answer: a scan asked for 1001 rows, and may ask for 1000 (trap)
        garbage
          500 guest_failed: `viewer` v1 cannot answer: the answer says it is JSON and is not: EOF while parsing an object at line 1 column 1 (bad_output)
        http
          500 guest_failed: `viewer` v1 cannot answer: it called https://probe, and aggregates, projections and policies reach nothing outside: a step of a saga may (denied)
        nap
          500 guest_failed: `viewer` v1 cannot answer: the guest sleeps for 86400s in an effect-free attempt; return the outcome `wait` with a moment instead: nothing stays in memory meanwhile (trap)
    "#]].assert_eq(&answers_text(asked));
    // Many at once hold up nobody.
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let api = api.clone();
            thread::spawn(move || {
                let name = ["on-and-on", "cans", "more", "nap"][number % 4];
                api.get(&format!("/v1/views/notes/{name}")).status
            })
        })
        .collect();
    for number in 0..20 {
        note(&api, "L2", &format!("{number}"));
    }
    let last = note(&api, "L1", "two");
    assert_eq!(rows_at(&api, "notes", &last).len(), 1_021);
    asking.into_iter().for_each(|asker| assert!(asker.join().unwrap() >= 500));
    assert_unharmed(&host);
}

#[test]
fn parameters_are_as_the_querys_schema_wants_them_or_refused() {
    let schema = r#"{"type": "object", "properties": {"n": {"type": "integer"}, "open": {"type": "boolean"}, "some": {"type": ["integer", "null"]}, "any": {"type": ["string", "integer"]}, "of": {"type": "array"}}, "required": ["n"], "additionalProperties": false}"#;
    let host = host_with(&Viewer::default().queries(&[("echo", Some(schema)), ("echo-all", None), ("list", None)]));
    let api = host.api();
    let asked = |question: &str| {
        let answer = api.get(&format!("/v1/views/notes/{question}"));
        if answer.status == 200 { format!("{}\n", answer.body["data"]) } else { answer.error() }
    };
    let long = "x".repeat(300);
    let found = answers_text([
        ("none", asked("echo")),
        ("a number", asked("echo?n=7&open=true&some=5&any=6&of=%5B1%5D")),
        ("no number", asked("echo?n=seven")),
        ("a fraction", asked("echo?n=1.5")),
        ("another one", asked("echo?n=1&m=1")),
        ("without a schema", asked("echo-all?n=7&a%2Fb=%22&=nameless")),
        ("as the cursor moves", asked("echo-all?n=%1b%5b2J")),
        ("no text", asked("echo-all?n=%ff")),
        ("too long", asked(&format!("echo-all?n={}", long.repeat(20))).chars().take(200).collect()),
    ]);
    expect_test::expect![[r#"
        none
          422 input_does_not_fit: the parameters do not fit the query `echo` of `notes`: missing properties 'n'
          hint: send parameters that fit its schema
        a number
          {"any":"6","n":7,"of":[1],"open":true,"some":5}
        no number
          422 input_does_not_fit: the parameters do not fit the query `echo` of `notes`: at /n: want integer, but got string
          hint: send parameters that fit its schema
        a fraction
          422 input_does_not_fit: the parameters do not fit the query `echo` of `notes`: at /n: want integer, but got number
          hint: send parameters that fit its schema
        another one
          422 input_does_not_fit: the parameters do not fit the query `echo` of `notes`: additionalProperties 'm' not allowed
          hint: send parameters that fit its schema
        without a schema
          {"":"nameless","a/b":"\"","n":"7"}
        as the cursor moves
          {"n":"\u001b[2J"}
        no text
          {"n":"�"}
        too long
          {"n":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"#]].assert_eq(&found);
    assert_unharmed(&host);
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_at_deploy() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let refused = |schema: &str| {
        let viewer = Viewer::default().digit(2).queries(&[("list", Some(schema))]);
        api.put("/v1/modules/viewer", &viewer.component()).error()
    };
    let found = answers_text([
        ("no JSON", refused("{")),
        ("no schema", refused(r#"{"type": 7}"#)),
        ("elsewhere", refused(r#"{"$ref": "https://example.com/schema.json"}"#)),
    ]);
    expect_test::expect![[r#"
        no JSON
          422 bad_definition: projection `notes`: the schema of query `list` cannot be used: it is no JSON: EOF while parsing an object at line 1 column 1
          hint: mend the definition and deploy again; nothing was stored
        no schema
          422 bad_definition: projection `notes`: the schema of query `list` cannot be used: at /type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'
          hint: mend the definition and deploy again; nothing was stored
        elsewhere
          422 bad_definition: projection `notes`: the schema of query `list` cannot be used: `$ref` "https://example.com/schema.json" leads nowhere in it; refer with a pointer, as #/$defs/address
          hint: mend the definition and deploy again; nothing was stored
    "#]].assert_eq(&found);
    let last = note(&api, "L1", "one");
    assert_eq!(rows_at(&api, "notes", &last), ["1one"]);
}

#[test]
fn a_projection_that_breaks_the_rules_is_refused_at_deploy() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let refused = |viewer: Viewer| api.put("/v1/modules/viewer", &viewer.component()).error();
    let named = |views: &[&str]| Viewer { views: views.iter().map(|view| (*view).to_owned()).collect(), ..Viewer::default() };
    let many: Vec<String> = (0..65).map(|number| format!("view-{number}")).collect();
    let found = answers_text([
        ("a bad name", refused(named(&["No\u{1b}[2Jtes"]))),
        ("twice", refused(named(&["notes", "notes"]))),
        ("too many", refused(Viewer { views: many, ..Viewer::default() })),
        ("reads nothing", refused(Viewer { reads: Vec::new(), ..Viewer::default() })),
        ("no query", refused(Viewer::default().queries(&[]))),
    ]);
    expect_test::expect![[r#"
        a bad name
          422 bad_definition: projection `No\u{1b}[2Jtes`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        twice
          422 bad_definition: projection `notes`: it is defined twice
          hint: mend the definition and deploy again; nothing was stored
        too many
          422 bad_definition: the module has 65 projections; at most 64
          hint: mend the definition and deploy again; nothing was stored
        reads nothing
          422 bad_definition: projection `notes`: it reads 0 types of events; a projection reads 1 to 256
          hint: mend the definition and deploy again; nothing was stored
        no query
          422 bad_definition: projection `notes`: it has 0 queries; a projection has 1 to 64
          hint: mend the definition and deploy again; nothing was stored
    "#]]
    .assert_eq(&found);
    deploy(&api, "viewer", &Viewer::default().digit(2).component());
}

/// A view that burns its time at one event over and over, as somebody resumes it, slows no command down.
#[test]
fn endless_views_hold_up_no_command() {
    let views: Vec<String> = (0..16).map(|number| format!("notes-{number}")).collect();
    let host = host_with(&Viewer { views: views.clone(), ..Viewer::default() });
    let api = host.api();
    note(&api, "L1", "L: endless");
    for number in 0..50 {
        note(&api, "L2", &format!("{number}"));
    }
    for view in &views {
        assert_eq!(until_stopped(&api, view)["stopped"]["code"], "cpu_limit");
    }
    assert_unharmed(&host);
}
