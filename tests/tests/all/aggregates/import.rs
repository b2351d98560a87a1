//! Histories that another system recorded: what is taken is as it was there, what cannot be taken is refused by its line, and what was cut
//! goes on.

use std::{fs, path::Path};

use expect_test::expect;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{events, host, host_with, send, show, state};
use crate::harness::{
    api::Api,
    each,
    host::{CommandOutput, Host},
    ledger::Ledger,
};

/// A file of these lines.
struct File(TempDir);

impl File {
    fn of(lines: &[String]) -> Self {
        let file = Self(TempDir::new().unwrap());
        fs::write(file.path(), lines.join("\n") + "\n").unwrap();
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("history.jsonl")
    }
}

fn import(host: &Host, path: &Path) -> CommandOutput {
    host.cli(&["import", path.to_str().unwrap()])
}

/// The summary of an import that must succeed.
#[track_caller]
fn imported(host: &Host, lines: &[String]) -> String {
    let file = File::of(lines);
    let output = import(host, &file.path());
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stdout
}

/// A note in a ledger, as a line.
fn line(id: &str, revision: u64, data: &str) -> String {
    json!({"source": "ledger", "key": id, "type": "ledger.noted", "revision": revision, "data": data}).to_string()
}

/// All events in the order of the journal, without what belongs to this host.
fn exported(host: &Host) -> Vec<String> {
    let output = host.cli(&["events", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stdout.lines().map(str::to_owned).collect()
}

fn without_place(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap();
    for own in ["position", "module_version", "imported"] {
        event.as_object_mut().unwrap().remove(own);
    }
    event
}

#[test]
fn an_export_of_one_host_is_the_same_history_in_another() {
    let old = host();
    let api = old.api();
    for customer in ["C1", "C2"] {
        send(&api, &format!("customer/{customer}"), "open", &json!({"limit_cents": 1500})).expect(200);
        api.run(
            "place-order",
            &format!("O-{customer}"),
            &json!({"order": format!("O-{customer}"), "customer": customer, "total_cents": 1234}),
        );
    }
    let history = exported(&old);
    assert!(history.len() >= 6, "{history:?}");

    let mut new = host();
    let file = File::of(&history);
    let output = import(&new, &file.path());
    assert_eq!(output.code, 0, "{}", output.stderr);
    expect![[r#"
        4 new aggregates: 8 taken, 0 repeated, 0 refused
    "#]]
    .assert_eq(&output.stdout);
    let plain = |host: &Host| exported(host).iter().map(|line| without_place(line)).collect::<Vec<_>>();
    assert_eq!(plain(&new), history.iter().map(|line| without_place(line)).collect::<Vec<_>>());
    let first: Value = serde_json::from_str(&exported(&new)[0]).unwrap();
    assert_eq!((&first["imported"]["by"], &first["module_version"]), (&json!("tester"), &Value::Null), "{first}");
    assert!(first["imported"]["at"].as_str().unwrap() > first["at"].as_str().unwrap(), "{first}");
    new.restart();
    for aggregate in ["customer/C1", "order/O-C1", "order/O-C2"] {
        assert_eq!(state(&new.api(), aggregate), state(&old.api(), aggregate), "{aggregate}");
    }
    // As it was then.
    let then = first["at"].as_str().unwrap().to_owned();
    assert_eq!(new.api().get(&format!("/v1/aggregates/customer/C1?at={then}")).expect(200)["revision"], "1");
    // No saga came of it, and a trace says where it came from.
    assert_eq!(new.api().get("/v1/sagas").expect(200)["sagas"], json!([]));
    let trace = new.cli(&["trace", "customer/C1/1"]);
    assert!(trace.code == 0 && trace.stdout.contains("import customer/C1"), "{trace:?}");
    // Once more, and into the host that it came from.
    for host in [&new, &old] {
        assert_eq!(imported(host, &history), "0 new aggregates: 0 taken, 8 repeated, 0 refused\n");
    }
    // Commands go on behind it.
    let next = send(&new.api(), "customer/C1", "reserve-credit", &json!({"order": "O9", "cents": 1})).expect(200);
    assert_eq!(next["events"][0]["module_version"], 1, "{next}");
    assert_eq!(imported(&new, &history), "0 new aggregates: 0 taken, 8 repeated, 0 refused\n");
}

/// Bytes were shown as the JSON object `{"base64":…}`, which came in as that: two hosts had different events, and the module folded other
/// ones. Published events, which an export has too, were refused, so that the way that `--help` names ended with exit code 1.
#[test]
fn an_export_with_bytes_and_published_events_is_imported_as_it_is() {
    let [old, new] = [host_with(&Ledger::default()), host_with(&Ledger::default())];
    let bytes = line("L1", 2, "").replace("\"data\":\"\"", "\"data_base64\":\"AP8=\"");
    assert_eq!(imported(&old, &[line("L1", 1, "a"), bytes]), "1 new aggregate: 2 taken, 0 repeated, 0 refused\n");
    let event = json!({"specversion": "1.0", "id": "e1", "source": "CRM/eu", "type": "approval", "subject": "42"});
    old.api().post("/v1/events", &event).expect(202);
    let history = exported(&old);
    let data = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event.get("data").cloned(), event.get("data_base64").cloned())
    };
    assert_eq!(
        history.iter().map(data).collect::<Vec<_>>(),
        [(Some(json!("a")), None), (None, Some(json!("AP8="))), (Some(Value::Null), None)]
    );
    let summary = imported(&new, &history);
    assert_eq!(summary, "1 new aggregate: 2 taken, 0 repeated, 0 refused; 1 published event left out\n");
    let plain = |lines: &[String]| lines.iter().map(|line| without_place(line)).collect::<Vec<_>>();
    assert_eq!(plain(&exported(&new)), plain(&history[..2]));
    assert!(imported(&old, &history).starts_with("0 new aggregates: 0 taken, 2 repeated, 0 refused; "));
    // The object that bytes were shown as is another value.
    let object = history[1].replace("\"data_base64\":\"AP8=\"", "\"data\":{\"base64\":\"AP8=\"}");
    let output = import(&new, &File::of(&[history[0].clone(), object]).path());
    assert!(output.code == 1 && output.stderr.contains("event 2 is recorded here, and is another one"), "{output:?}");
}

#[test]
fn what_cannot_be_taken_is_refused_by_its_line_and_all_else_is_taken() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    for note in ["one", "two"] {
        send(&api, "ledger/used", "note", &json!(note)).expect(200);
    }
    let lines = [
        line("fine", 1, "a"),
        "nonsense".to_owned(),
        line("fine", 2, "b"),
        line("lost", 1, "a").replace("ledger", "leger"),
        line("other", 1, "a").replace("ledger.noted", "ledger.changed"),
        line("newer", 1, "a").replace("\"revision\"", "\"version\":7,\"revision\""),
        line("gap", 1, "a"),
        line("gap", 3, "c"),
        line("late", 2, "b"),
        line("used", 1, "one"),
        line("used", 2, "three"),
        line("behind", 1, "a"),
        line("large", 1, "a"),
        line("large", 2, &"x".repeat(256 << 10)),
        line("poison", 1, "a"),
        line("poison", 2, "p:"),
        line("a/b", 1, "a"),
        line("huge", 1, &"x".repeat(5 << 20)),
        json!({"source": "ledger", "key": "unnumbered", "type": "ledger.noted", "data": "a"}).to_string(),
        line("last", 1, "z"),
    ];
    send(&api, "ledger/behind", "note", &json!("a")).expect(200);
    let mut lines = lines.to_vec();
    lines.push(line("behind", 2, "b"));
    let file = File::of(&lines);
    let output = import(&host, &file.path());
    assert_eq!(output.code, 1, "{output:?}");
    expect![[r#"
        line 2: it is no event: expected ident at column 2 (bad_line)
        line 4: leger/lost/1: no active module of namespace `default` has an aggregate `leger`; did you mean `ledger`? (no_handler)
        line 5: ledger/other/1: the aggregate `ledger` has no event `ledger.changed` (not_declared)
        line 6: ledger/newer/1: `ledger.noted` in form 7 is not read by the active version, which records form 1 (not_declared)
        line 8: ledger/gap/3: event 2 is missing before event 3 (gap); 2 lines of it are refused
        line 9: ledger/late/2: event 1 of it must be imported before event 2 (gap)
        line 11: ledger/used/2: event 2 is recorded here, and is another one (exists); 2 lines of it are refused
        line 14: ledger/large/2: its data has 262146 bytes and may have 262144 (payload_too_large); 2 lines of it are refused
        line 15: ledger/poison/1: with events 1 to 2: `ledger` v1 cannot fold the events: the guest panicked or aborted (`unreachable` executed); in evolve < fold (trap) (guest_failed); 2 lines of it are refused
        line 17: `key` is the id of an aggregate: 1 to 128 printable bytes without `/`, not `.` or `..` (bad_line)
        line 18: it has more than 4194304 bytes (payload_too_large)
        line 19: it has no `revision`: the events of an aggregate are numbered from 1 on (bad_line)
        line 21: ledger/behind/2: event 1 was decided here, and no history is imported behind it (exists); 2 lines of it are refused
        2 new aggregates: 3 taken, 0 repeated, 18 refused
    "#]].assert_eq(&(output.stderr + &output.stdout));
    let revisions = |ids: &[&str]| ids.iter().map(|id| events(&api, &format!("ledger/{id}")).len()).collect::<Vec<_>>();
    assert_eq!(revisions(&["fine", "last", "used", "behind"]), [2, 1, 2, 1]);
    assert_eq!(revisions(&["other", "newer", "gap", "late", "large", "poison", "huge"]), [0; 7]);
    assert_eq!(show(&api, "ledger/gap").status, 404);
    // The mended file is taken, and what was taken of the first is passed over.
    let mended = [line("gap", 1, "a"), line("gap", 2, "b"), line("gap", 3, "c"), line("fine", 1, "a"), line("fine", 2, "b")];
    assert_eq!(imported(&host, &mended), "1 new aggregate: 3 taken, 2 repeated, 0 refused\n");
    // For machines.
    let output = host.cli(&["import", file.path().to_str().unwrap(), "--json"]);
    let summary: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.code, &summary["lines"], &summary["taken"]), (1, &json!(21), &json!(0)), "{summary}");
    assert_eq!(summary["refusals"][0]["line"], 2, "{summary}");
    assert_eq!(host.cli(&["import", "nowhere.jsonl"]).code, 1);
    assert_eq!(imported(&host, &[]), "0 new aggregates: 0 taken, 0 repeated, 0 refused\n");
}

#[test]
fn a_page_that_is_too_large_is_refused_whole() {
    let host = host_with(&Ledger::default());
    let send = |body: String| host.api().write(ureq::http::Method::POST, "/v1/import", body.as_bytes());
    assert_eq!(send((line("a", 1, "x") + "\n").repeat(10_001)).code(), "413 payload_too_large");
    assert_eq!(send((line("b", 1, &"x".repeat(1 << 20)) + "\n").repeat(5)).code(), "413 payload_too_large");
    assert_eq!(events(&host.api(), "ledger/a").len(), 0);
    let answer = send(String::new()).expect(200);
    assert_eq!(answer, json!({"begun": 0, "taken": 0, "repeated": 0, "left_out": 0, "refused": 0}));
}

#[test]
fn equal_ids_of_two_namespaces_are_two_histories() {
    let host = host_with(&Ledger::default());
    let other = host.api().in_namespace("other");
    other.put("/v1/modules/ledger", &Ledger::default().component()).expect(201);
    let file = File::of(&[line("L1", 1, "here")]);
    assert_eq!(import(&host, &file.path()).code, 0);
    let file = File::of(&[line("L1", 1, "there"), line("L1", 2, "there too")]);
    let output = host.cli(&["--namespace", "other", "import", file.path().to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (0, "1 new aggregate: 2 taken, 0 repeated, 0 refused\n"));
    let data = |api: &Api| events(api, "ledger/L1").iter().map(|event| event["data"].clone()).collect::<Vec<_>>();
    assert_eq!((data(&host.api()), data(&other)), (vec![json!("here")], vec![json!("there"), json!("there too")]));
}

/// Older forms that the active version reads are taken as they are.
#[test]
fn an_older_form_is_taken_if_the_active_version_reads_it() {
    let host = host_with(&Ledger::default().second());
    let second = line("L1", 2, "b").replace("\"revision\"", "\"version\":2,\"revision\"");
    assert_eq!(imported(&host, &[line("L1", 1, "a"), second]), "1 new aggregate: 2 taken, 0 repeated, 0 refused\n");
    assert_eq!(state(&host.api(), "ledger/L1"), "u2");
}

#[test]
fn an_import_that_a_kill_cuts_goes_on_when_it_is_run_again() {
    let mut host = host_with(&Ledger::default());
    // Mixed, so that every page has a part of every history.
    let lines: Vec<String> =
        (1..=150).flat_map(|revision| (0..100).map(move |id| line(&format!("L{id}"), revision, "note"))).collect();
    let page = lines[..10_000].join("\n");
    let answer = host.api().write(ureq::http::Method::POST, "/v1/import", page.as_bytes()).expect(200);
    assert_eq!((&answer["begun"], &answer["taken"]), (&json!(100), &json!(10_000)), "{answer}");
    host.kill();
    host.restart();
    assert_eq!(imported(&host, &lines), "0 new aggregates: 5000 taken, 10000 repeated, 0 refused\n");
    for id in [0, 99] {
        assert_eq!(state(&host.api(), &format!("ledger/L{id}")), "1".repeat(150));
    }
}

/// One history of several pages, and commands for others meanwhile.
#[test]
fn a_long_history_is_taken_in_pages_while_commands_go_on() {
    let host = host_with(&Ledger { keep_every: 1_000, ..Ledger::default() });
    let lines: Vec<String> = (1..=25_000).map(|revision| line("long", revision, "note")).collect();
    let api = host.api();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            each(&api, 200, |api, number| drop(send(api, &format!("ledger/L{number}"), "note", &json!("x")).expect(200)))
        });
        assert_eq!(imported(&host, &lines), "1 new aggregate: 25000 taken, 0 repeated, 0 refused\n");
    });
    assert_eq!(show(&api, "ledger/long").expect(200)["revision"], "25000");
    send(&api, "ledger/long", "note", &json!("and on")).expect(200);
    assert_eq!(events(&api, "ledger/long").len(), 25_001);
}

/// Commands for the aggregates that are imported: each is refused or comes behind all of a page's events, and nothing is mixed. The lines
/// are more than a commit takes. They were cut after a thousand, and a command that came there ended the histories at their 20th event.
#[test]
fn commands_and_an_import_for_the_same_aggregates_do_not_mix() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let lines: Vec<String> =
        (1..=21).flat_map(|revision| (0..50).map(move |id| line(&format!("L{id}"), revision, "old"))).collect();
    let file = File::of(&lines);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            each(&api, 50, |api, number| drop(send(api, &format!("ledger/L{number}"), "note", &json!("new")).expect(200)))
        });
        import(&host, &file.path())
    });
    for id in 0..50 {
        let data: Vec<Value> = events(&api, &format!("ledger/L{id}")).into_iter().map(|event| event["data"].clone()).collect();
        let (old, new) = (vec![json!("old"); 21], vec![json!("new")]);
        assert!(data == new || data == [old, new].concat(), "L{id}: {data:?}");
    }
}
