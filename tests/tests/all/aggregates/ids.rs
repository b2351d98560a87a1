//! Ids of aggregates are texts: what shows as it is, of at most 128 bytes, without a slash. One text is one aggregate.

use expect_test::expect;
use serde_json::json;

use super::{events, host_with, send, show};
use crate::harness::{answers_text, ledger::Ledger};

/// Every byte as `%41`.
fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn an_id_that_shows_as_it_is_is_one_aggregate() {
    let mut host = host_with(&Ledger::default());
    let api = host.api();
    let (longest, wide) = ("a".repeat(128), "é".repeat(64));
    let ids = [
        "C1",
        "c1",
        "C 1",
        " C1",
        "Ärger",
        "A\u{308}rger",
        "客户",
        "🦀",
        "a?b#c",
        "a%2Fb",
        "a%",
        "...",
        "a\\b",
        "a'\"b",
        "a:b",
        "0",
        &longest,
        &wide,
    ];
    for (number, id) in ids.iter().enumerate() {
        let path = format!("ledger/{}", encoded(id));
        let answer = send(&api, &path, "open", &json!(format!("note {number}"))).expect(200);
        assert_eq!((&answer["id"], &answer["revision"]), (&json!(id), &json!("1")), "{id:?}");
    }
    host.restart();
    let api = host.api();
    for (number, id) in ids.iter().enumerate() {
        let path = format!("ledger/{}", encoded(id));
        let found = events(&api, &path);
        assert_eq!(found.len(), 1, "{id:?}");
        assert_eq!((&found[0]["data"], &found[0]["id"]), (&json!(format!("note {number}")), &json!(format!("ledger/{id}/1"))));
        assert_eq!(show(&api, &path).expect(200)["id"], **id);
        assert_eq!(send(&api, &path, "open", &json!("x")).code(), "409 exists", "{id:?}");
        assert_eq!(host.cli(&["show", &format!("ledger/{id}"), "--json"]).code, 0, "{id:?}");
    }
    // Where nothing needs to be encoded, it is the same one.
    assert_eq!(show(&api, "ledger/C1").expect(200)["id"], "C1");
    assert_eq!(show(&api, "ledger/C%31").expect(200)["id"], "C1");
    assert_eq!(show(&api, &format!("ledger/{}", encoded("a%2Fb"))).expect(200)["id"], "a%2Fb");
}

#[test]
fn an_id_that_hides_turns_or_is_too_long_is_refused_and_makes_nothing() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let sent = |id: &str| send(&api, &format!("ledger/{id}"), "open", &json!("x")).error();
    let found = answers_text([
        ("129 bytes", sent(&"a".repeat(129))),
        ("65 letters of two bytes", sent(&encoded(&"é".repeat(65)))),
        ("a slash", sent("a%2Fb")),
        ("NUL", sent("a%00b")),
        ("a line feed", sent("a%0Ab")),
        ("escape", sent("a%1B%5B2Jb")),
        ("a mark that turns the direction", sent(&encoded("a\u{202e}b"))),
        ("a mark of order", sent(&encoded("\u{feff}a"))),
        ("a line separator", sent(&encoded("a\u{2028}b"))),
        ("no UTF-8", sent("a%FFb")),
        ("the folder", sent("%2E")),
        ("the folder above", sent("%2E%2E")),
        ("nothing", sent("")),
        ("a capital in the name", send(&api, "Ledger/L1", "open", &json!("x")).error()),
        ("a capital in the command", send(&api, "ledger/L1", "Open", &json!("x")).error()),
    ]);
    expect![[r#"
        129 bytes
          400 bad_name: bad id "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 128 printable bytes without `/`, not `.` or `..`
        65 letters of two bytes
          400 bad_name: bad id "ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a slash
          400 bad_name: bad id "a/b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        NUL
          400 bad_name: bad id "a\0b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a line feed
          400 bad_name: bad id "a\nb": use 1 to 128 printable bytes without `/`, not `.` or `..`
        escape
          400 bad_name: bad id "a\u{1b}[2Jb": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a mark that turns the direction
          400 bad_name: bad id "a\u{202e}b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a mark of order
          400 bad_name: bad id "\u{feff}a": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a line separator
          400 bad_name: bad id "a\u{2028}b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        no UTF-8
          400 bad_request: bad path: Invalid URL: Invalid UTF-8 in `id`
        the folder
          400 bad_name: bad id ".": use 1 to 128 printable bytes without `/`, not `.` or `..`
        the folder above
          400 bad_name: bad id "..": use 1 to 128 printable bytes without `/`, not `.` or `..`
        nothing
          400 bad_name: bad id "": use 1 to 128 printable bytes without `/`, not `.` or `..`
        a capital in the name
          400 bad_name: bad name "Ledger": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        a capital in the command
          400 bad_name: bad name "Open": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
    "#]]
    .assert_eq(&found);
    for id in ["a%2Fb", "a%00b", "%E2%80%AEa"] {
        assert_eq!(show(&api, &format!("ledger/{id}")).status, 400, "{id}");
        assert_eq!(api.get(&format!("/v1/streams/ledger/{id}/events")).status, 400, "{id}");
    }
}

#[test]
fn the_command_line_refuses_the_same_ids() {
    let host = host_with(&Ledger::default());
    let mut found = String::new();
    for id in ["", ".", "..", "a/b", "a\u{202e}b", "a\nb", "a\tb", &"a".repeat(129)] {
        let output = host.cli(&["send", "ledger", id, "open", "--data", "\"x\""]);
        assert_eq!(output.stdout, "", "{id:?}");
        found.push_str(&format!("{id:?} {}\n  {}", output.code, output.stderr));
    }
    expect![[r#"
        "" 1
          amends: bad id "": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "." 1
          amends: bad id ".": use 1 to 128 printable bytes without `/`, not `.` or `..`
        ".." 1
          amends: bad id "..": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "a/b" 1
          amends: bad id "a/b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "a\u{202e}b" 1
          amends: bad id "a\u{202e}b": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "a\nb" 1
          amends: bad id "a\nb": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "a\tb" 1
          amends: bad id "a\tb": use 1 to 128 printable bytes without `/`, not `.` or `..`
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" 1
          amends: bad id "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 128 printable bytes without `/`, not `.` or `..`
    "#]]
    .assert_eq(&found);
}
