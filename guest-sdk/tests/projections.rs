//! A projection of the SDK makes its rows of events in every form that was ever released, however many come at once.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use amends_sdk::__exports as exports;
use amends_sdk::bindings::imports::amends::module::types::RecordedEvent;
use amends_sdk::bindings::projections::exports::amends::module::projection as wit;
use amends_sdk::testing::{Journal, given};
use amends_sdk::{
    Document, Documents, Erased, Event, Links, Module, Projection, Recorded, Result, Rows, config, context, http, refused,
    secrets, transient,
};
use exports::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, Event, Serialize, Deserialize)]
#[event(aggregate = "account")]
enum Did {
    Opened {
        owner: String,
    },
    #[event(version = 3, from = (in_euros, in_text))]
    PaidIn {
        cents: u64,
    },
    #[event(name = "withdrawn")]
    PaidOut(u64),
    Closed,
}

fn in_euros(euros: u64) -> Did {
    Did::PaidIn { cents: 100 * euros }
}

fn in_text(old: Value) -> Result<Did, String> {
    let cents = old["cents"].as_str().and_then(|text| text.parse().ok());
    Ok(Did::PaidIn { cents: cents.ok_or("no cents")? })
}

#[derive(Deserialize)]
struct Audited {
    account: String,
}

/// What an owner sees: all accounts together.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wealth {
    cents: u64,
    accounts: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    audits: u32,
    latest_ms: u64,
}

fn is_zero(audits: &u32) -> bool {
    *audits == 0
}

#[derive(Deserialize)]
struct Of {
    owner: String,
}

fn owner(event: &Recorded<Did>, accounts: &mut Links) -> Option<String> {
    match &event.event {
        Did::Opened { owner } if owner == "nobody" => None,
        Did::Opened { owner } => {
            accounts.put(&event.key, owner);
            Some(owner.clone())
        }
        Did::Closed => {
            let owner = accounts.get(&event.key);
            accounts.remove(&event.key);
            owner
        }
        Did::PaidIn { .. } | Did::PaidOut(_) => accounts.get(&event.key),
    }
}

fn take(wealth: &mut Wealth, event: Recorded<Did>) -> Document {
    wealth.latest_ms = event.at.as_millis();
    match event.event {
        Did::Opened { .. } => wealth.accounts.push(event.key),
        Did::PaidIn { cents } => wealth.cents += cents,
        Did::PaidOut(cents) => wealth.cents -= cents,
        Did::Closed => wealth.accounts.retain(|account| *account != event.key),
    }
    if wealth.accounts.is_empty() { Document::Removed } else { Document::Kept }
}

fn audit(wealth: &mut Wealth, _: Recorded<Audited>) {
    wealth.audits += 1;
}

fn wealth() -> Projection<Documents<Wealth>> {
    let of_audited = |event: &Recorded<Audited>, accounts: &mut Links| accounts.get(&event.event.account);
    Projection::documents("wealth")
        .on(owner, take)
        .on_published("audited", of_audited, audit)
        .query("of", |wealth: &Documents<Wealth>, of: Of| wealth.get(&of.owner))
        .query("owners", |wealth: &Documents<Wealth>| {
            wealth.list("", None, usize::MAX).into_iter().map(|(owner, _)| owner).collect::<Vec<_>>()
        })
}

fn opened(owner: &str) -> Did {
    Did::Opened { owner: owner.to_owned() }
}

/// Ada, with two accounts and 5.00.
fn ada() -> Journal<Documents<Wealth>> {
    given(wealth()).events("A1", [opened("ada"), Did::PaidIn { cents: 500 }]).events("A2", [opened("ada")])
}

fn module() -> Module {
    Module::new("bank").projection(wealth())
}
amends_sdk::export!(projection: module);

/// What a call that must not return says.
fn panics<T>(call: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("words")
}

#[test]
fn a_document_is_made_of_the_events_of_several_aggregates() {
    ada()
        .advance(Duration::from_millis(7))
        .events("B1", [opened("bob"), Did::PaidIn { cents: 1 }])
        .events("A2", [Did::PaidIn { cents: 34 }])
        .query("of", json!({"owner": "ada"}))
        .query("of", json!({"owner": "bob"}))
        .query("owners", json!({}))
        .then(
            r#"{"cents":534,"accounts":["A1","A2"],"latest_ms":1767225600007}
               {"cents":1,"accounts":["B1"],"latest_ms":1767225600007}
               ["ada","bob"]"#,
        );
}

#[test]
fn an_event_without_a_key_is_about_no_document() {
    let journal = ada().events("N", [opened("nobody"), Did::PaidIn { cents: 1 }]);
    journal.query("owners", json!({})).query("of", json!({"owner": "nobody"})).then("[\"ada\"]\nfailed not_found");
}

#[test]
fn a_document_that_is_removed_begins_anew() {
    let journal = ada().events("A1", [Did::Closed]).events("A2", [Did::Closed]);
    assert_eq!(journal.document("ada"), None);
    let again = journal.query("owners", json!({})).then("[]").events("A3", [opened("ada")]);
    assert_eq!(
        again.document("ada").unwrap(),
        Wealth { accounts: vec!["A3".into()], latest_ms: 1_767_225_600_000, ..Wealth::default() }
    );
}

#[test]
fn older_forms_are_read() {
    let journal = ada().stored("account.paid-in", 1, "A1", 2).stored("account.paid-in", 2, "A1", json!({"cents": "30"})).stored(
        "account.paid-in",
        3,
        "A1",
        json!({"cents": 4}),
    );
    assert_eq!(journal.document("ada").unwrap().cents, 500 + 200 + 30 + 4);
}

#[test]
fn published_events_are_read_by_their_type() {
    let journal =
        ada().published("audited", "any", json!({"account": "A1"})).published("audited", "any", json!({"account": "Z"}));
    assert_eq!(journal.document("ada").unwrap().audits, 1);
    let count = |count: &mut u32, event: Recorded<Option<u8>>| *count += event.event.map_or(100, u32::from);
    let counted: Projection<Documents<u32>> = Projection::documents("counted")
        .on_published("ping", |event: &Recorded<Option<u8>>| event.key.clone(), count)
        .query("all", |all: &Documents<u32>| all.list("", None, 10));
    let counted = given(counted).published("ping", "p", 1).erased("ping", "p").published("ping", "p", ());
    assert_eq!(counted.document("p"), Some(201));
}

#[test]
fn an_event_whose_data_was_erased_is_skipped_unless_it_holds_nothing() {
    let journal = ada().erased("account.paid-in", "A1").erased("account.opened", "A9").erased("account.closed", "A2");
    assert_eq!(
        journal.document("ada").unwrap(),
        Wealth { cents: 500, accounts: vec!["A1".into()], latest_ms: 1_767_225_600_000, ..Wealth::default() }
    );
}

#[test]
fn what_remains_of_an_erased_event_is_said_by_the_projection() {
    let of_erased = |event: &Recorded<Erased>, accounts: &mut Links| accounts.get(&event.key);
    let remains = |wealth: &mut Wealth, event: Recorded<Erased>| match (&*event.event_type, event.revision) {
        ("account.paid-in", 3) => {
            wealth.audits += 1;
            Document::Kept
        }
        _ => Document::Removed,
    };
    let ada = |erased: &str| {
        given(wealth().on_erased(of_erased, remains))
            .events("A1", [opened("ada"), Did::PaidIn { cents: 500 }])
            .erased(erased, "A1")
            .document("ada")
    };
    assert_eq!(ada("account.paid-in").unwrap().audits, 1);
    assert_eq!(ada("account.withdrawn"), None);
}

#[test]
fn an_event_is_known_by_when_and_of_what_it_was_recorded() {
    let lines = |lines: &mut Vec<String>, event: Recorded<Did>| {
        let Recorded { key, event_type, revision, at, id, position, correlation, source, .. } = event;
        lines.push(format!("{at} {source} {key} {revision} {event_type} {id} {position} {correlation}"));
    };
    let published = |lines: &mut Vec<String>, event: Recorded<Value>| lines.push(format!("{} {}", event.revision, event.source));
    let lines: Projection<Documents<Vec<String>>> = Projection::documents("lines")
        .on(|_: &Recorded<Did>| "all".to_owned(), lines)
        .on_published("audited", |_: &Recorded<Value>| "all".to_owned(), published)
        .query("all", |lines: &Documents<Vec<String>>| lines.get("all"));
    let lines = given(lines).events("A1", [Did::Closed]).events("A2", [Did::Closed, Did::Closed]).published("audited", "A2", 1);
    assert_eq!(
        lines.document("all").unwrap(),
        [
            "2026-01-01T00:00:00Z account A1 1 account.closed event-1 1 test",
            "2026-01-01T00:00:00Z account A2 1 account.closed event-2 2 test",
            "2026-01-01T00:00:00Z account A2 2 account.closed event-3 3 test",
            "0 test",
        ]
    );
}

#[test]
fn an_event_that_is_read_twice_is_about_two_documents() {
    let by = |name: &'static str| move |event: &Recorded<Did>| Some(format!("{name}-{}", event.key));
    let count = |count: &mut u32, _: Recorded<Did>| *count += 1;
    let counts: Projection<Documents<u32>> = Projection::documents("counts")
        .on(by("one"), count)
        .on(by("other"), count)
        .query("all", |counts: &Documents<u32>| counts.list("", None, 10));
    let ignore = |_: &mut Rows, _: Recorded<Did>| {};
    let twice = Module::new("m").projection(Projection::rows("twice").on(ignore).on(ignore));
    assert_eq!(exports::describe_projections(twice, &["projection"]).projections[0].reads.len(), 4);
    given(counts).events("A", [Did::Closed, Did::Closed]).query("all", json!({})).then(r#"[["one-A",2],["other-A",2]]"#);
}

#[test]
fn a_list_goes_on_behind_a_key_and_has_no_end_of_its_own() {
    #[derive(Deserialize)]
    struct Page {
        prefix: String,
        after: Option<String>,
        limit: usize,
    }
    let counts = || -> Projection<Documents<u32>> {
        Projection::documents("counts")
            .on(
                |event: &Recorded<Did>, links: &mut Links| {
                    links.put(&event.key, "x");
                    event.key.clone()
                },
                |count: &mut u32, _: Recorded<Did>| *count += 1,
            )
            .query("count", |view: &Documents<u32>| Ok(view.list("", None, usize::MAX).len()))
            .query("page", |view: &Documents<u32>, page: Page| view.list(&page.prefix, page.after.as_deref(), page.limit))
            .query("link", |view: &Documents<u32>, of: Of| view.link(&of.owner))
    };
    let many = (0..2500).fold(given(counts()), |journal, number| journal.events(&format!("{number:04}"), [Did::Closed]));
    many.query("count", json!({})).then("2500");
    let few = ["é", "a/1", "a/2", "b"].iter().fold(given(counts()), |journal, key| journal.events(key, [Did::Closed]));
    let few = few.query("page", json!({"prefix": "", "limit": 9})).query("page", json!({"prefix": "a/", "limit": 1}));
    few.query("page", json!({"prefix": "a/", "after": "a/1", "limit": 9}))
        .query("page", json!({"prefix": "", "limit": 0}))
        .query("link", json!({"owner": "a/1"}))
        .query("link", json!({"owner": "z"}))
        .then(
            r#"[["a/1",1],["a/2",1],["b",1],["é",1]]
               [["a/1",1]]
               [["a/2",1]]
               []
               "x"
               failed not_found"#,
        );
}

#[test]
fn a_key_that_no_document_can_have_is_not_found() {
    let long = "x".repeat(1025);
    ada().query("of", json!({"owner": ""})).query("of", json!({"owner": long})).then("failed not_found ×2");
}

#[test]
fn rows_are_read_and_written_in_both_directions() {
    let take = |rows: &mut Rows, event: Recorded<Did>| match event.event {
        Did::Opened { owner } => rows.put(&event.key, owner),
        Did::PaidIn { cents } => {
            let before = rows.get("sum").map_or(0, |sum| u64::from_be_bytes(sum.try_into().unwrap()));
            rows.put("sum", (before + cents).to_be_bytes());
        }
        Did::PaidOut(_) => {}
        Did::Closed => rows.delete(&event.key),
    };
    let take_erased = |rows: &mut Rows, event: Recorded<Erased>| rows.put(&event.key, "erased");
    let keys =
        |rows: Vec<(Vec<u8>, Vec<u8>)>| rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>();
    let projection = Projection::rows("rows")
        .on(take)
        .on_published("cents", |rows: &mut Rows, event: Recorded<u64>| rows.put("sum", event.event.to_be_bytes()))
        .on_erased(take_erased)
        .query("up", move |rows: &Rows| keys(rows.scan("", Some(b"A1"), 2)))
        .query("down", move |rows: &Rows| keys(rows.scan_back("A", Some(b"A4"), 9)))
        .query("sum", |rows: &Rows| rows.get("sum"))
        .query("erased", |rows: &Rows| Ok(String::from_utf8_lossy(&rows.get("A5").unwrap_or_default()).into_owned()));
    let journal = ["A1", "A2", "A3", "A4"].iter().fold(given(projection), |journal, id| journal.events(id, [opened("x")]));
    let journal = journal.events("A3", [Did::Closed, Did::PaidIn { cents: 2 }, Did::PaidIn { cents: 3 }]);
    let journal = journal.query("up", json!({})).query("down", json!({})).query("sum", json!({}));
    let journal = journal.published("cents", "any", 258).erased("account.opened", "A5").query("sum", json!({}));
    journal.query("erased", json!({})).then(
        r#"["A2","A4"]
           ["A2","A1"]
           [0,0,0,0,0,0,0,5]
           [0,0,0,0,0,0,1,2]
           "erased""#,
    );
}

#[test]
fn an_answer_is_what_a_query_returns_or_why_there_is_none() {
    let base = || wealth().query("ok", |_: &Documents<Wealth>| Ok(json!({"a": 1})));
    let projection = base()
        .query("value", |_: &Documents<Wealth>, of: Value| of)
        .query("null", |_: &Documents<Wealth>| Ok(()))
        .query("refused", |_: &Documents<Wealth>| -> Result<u8> { Err(refused("too_many", "ask for less").with(3)) })
        .query("transient", |_: &Documents<Wealth>| -> Result<u8> { Err(transient("later", "not yet")) })
        .query("bad", |_: &Documents<Wealth>| Ok(std::collections::BTreeMap::from([((), 1)])));
    let asked = |name: &str| given(base()).query(name, json!({"owner": 1})).failure().unwrap().message;
    assert_eq!(asked("of"), "of of wealth: invalid type: integer `1`, expected a string at line 1 column 10");
    assert_eq!(asked("ok"), "ok of wealth: unknown field `owner`, there are no fields at line 1 column 8");
    let journal = ["ok", "null", "refused", "transient", "bad"]
        .iter()
        .fold(given(projection).query("value", json!({"x": 1.50})), |journal, name| journal.query(name, json!({})))
        .then(
            r#"{"x":1.5}
               {"a":1}
               failed not_found
               failed too_many
               failed later
               failed bad_answer"#,
        );
    assert_eq!(journal.query("refused", json!({})).failure().unwrap().data, Some(json!(3)));
    let unknown = given(base()).query("of", json!({"owner": "bob"})).failure().unwrap().message;
    assert_eq!(unknown, r#"wealth has nothing for of {"owner":"bob"}"#);
    assert_eq!(ada().query("of", json!({"owner": "ada"})).answer::<Wealth>().cents, 500);
}

fn recorded(event_type: &str, version: u32, revision: u64, data: &str) -> RecordedEvent {
    RecordedEvent {
        id: "E7".to_owned(),
        event_type: event_type.to_owned(),
        version,
        source: "account".to_owned(),
        key: "A1".to_owned(),
        revision,
        position: "7".to_owned(),
        at: 0,
        correlation: "c".to_owned(),
        data: Some(Payload::Json(data.to_owned())),
    }
}

#[test]
fn an_event_that_cannot_be_read_is_a_failure_that_names_it() {
    let failed = |event| {
        let batch = wit::Batch { projection: "wealth".to_owned(), events: vec![event] };
        let failure = exports::project(module(), &batch).unwrap_err();
        assert_eq!(failure.code, "unreadable_event");
        failure.message
    };
    assert_eq!(
        failed(recorded("account.paid-in", 4, 7, "{}")),
        "the event E7 cannot be read: revision 7 of A1, account.paid-in version 4: this module reads its versions 1 to 3"
    );
    assert_eq!(
        failed(recorded("account.paid-in", 2, 7, "{}")),
        "the event E7 cannot be read: revision 7 of A1, account.paid-in version 2: no cents"
    );
    assert_eq!(
        failed(recorded("account.opened", 1, 7, "{}")),
        "the event E7 cannot be read: revision 7 of A1, account.opened version 1: missing field `owner` at line 1 column 2"
    );
    assert_eq!(
        failed(recorded("audited", 1, 0, "[]")),
        "the event E7 cannot be read: an event with the key A1, audited version 1: invalid length 0, expected struct Audited with 1 \
         element at line 1 column 2"
    );
    assert_eq!(
        failed(recorded("audited", 2, 0, "{}")),
        "the event E7 cannot be read: an event with the key A1, audited version 2: this module reads its version 1"
    );
    assert_eq!(
        failed(recorded("account.moved", 1, 7, "{}")),
        "the event E7 cannot be read: revision 7 of A1, account.moved version 1: wealth does not read its type"
    );
    assert_eq!(
        panics(|| ada().stored("account.withdrawn", 1, "A1", "all").query("owners", json!({}))),
        "wealth stops: the event event-4 cannot be read: revision 3 of A1, account.withdrawn version 1: \
         invalid type: string \"all\", expected u64 at line 1 column 5 (unreadable_event)"
    );
}

/// A projection of one document, `all`, with this fold.
fn all<D>(fold: impl Fn(&mut D, Recorded<Did>) + 'static) -> Journal<Documents<D>>
where
    D: Default + Serialize + serde::de::DeserializeOwned + 'static,
{
    let projection = Projection::documents("one")
        .on(|_: &Recorded<Did>| "all".to_owned(), fold)
        .query("all", |view: &Documents<D>| view.get("all"));
    given(projection).events("A1", [Did::Closed, Did::Closed])
}

#[test]
fn rows_that_depend_on_how_many_events_come_at_once_stop_a_test() {
    #[derive(Default, Serialize, Deserialize)]
    struct Forgets {
        #[serde(skip)]
        seen: u32,
        count: u32,
    }
    let forgets = all(|document: &mut Forgets, _| {
        document.seen += 1;
        document.count += document.seen;
    });
    assert_eq!(
        panics(|| forgets.query("all", json!({}))),
        "one makes other rows of the same events when they come one at a time; a document serializes all that `fold` needs, and \
         `fold` depends on its arguments alone\nall: {\"count\":2}\nnot {\"count\":3}"
    );
}

#[test]
fn what_a_projection_may_not_ask_for_stops_a_test() {
    let stops = |ask: fn()| panics(|| all(move |_: &mut u8, _| ask()).query("all", json!({})));
    let said = |what: &str| {
        format!(
            "project panicked at revision 1 of A1, account.closed version 1: it asks for {what}; a view depends on its events alone, \
             so put it into the event"
        )
    };
    assert_eq!(stops(|| assert_ne!(context::now().as_millis(), 0)), said("the time"));
    assert_eq!(stops(|| drop(context::new_id())), said("an id"));
    assert_eq!(stops(|| drop(context::random_bytes(1))), said("random bytes"));
    assert_eq!(stops(|| drop(config::get("k"))), said("a setting"));
    assert_eq!(stops(|| drop(secrets::get("k"))), said("a secret"));
    assert_eq!(stops(|| drop(http::get("http://h/").send())), said("GET http://h/"));
    let asks: Projection<Documents<Wealth>> = wealth().query("now", |_: &Documents<Wealth>| Ok(context::now()));
    assert_eq!(
        panics(|| given(asks).query("now", json!({}))),
        "the query asks for the time; an answer depends on the view and the parameters alone"
    );
}

#[test]
fn a_document_that_does_not_fit_stops_the_projection() {
    assert_eq!(
        panics(|| all(|text: &mut String, _| *text = "x".repeat(65_535)).query("all", json!({}))),
        "one stops: the document all of one has 65537 bytes; at most 65536 (bad_document)"
    );
    assert_eq!(
        panics(|| ada().events("A4", [opened("")]).query("owners", json!({}))),
        "wealth stops: the key of a document of wealth has 1 to 1024 bytes, not 0 (bad_key)"
    );
}

#[test]
fn a_test_asks_for_what_there_is() {
    assert_eq!(panics(|| ada().query("off", json!({}))), "the projection wealth has no query off");
    assert_eq!(panics(|| ada().published("bought", "A", 1)), "the projection wealth does not read events bought");
    assert_eq!(
        panics(|| all(|_: &mut u8, _| {}).query("all", json!({})).answer::<String>()),
        "the answer is not what was expected: invalid type: integer `0`, expected a string at line 1 column 1"
    );
}

#[test]
fn the_host_is_told_what_is_read_and_asked() {
    let projection = wealth().schema("of", json!({"required": ["owner"]})).rows_version(4);
    let description = exports::describe_projections(Module::new("bank").projection(projection), &["projection"]);
    let [definition] = &description.projections[..] else { panic!("one projection") };
    let reads: Vec<(&str, &[u32])> =
        definition.reads.iter().map(|reading| (reading.event_type.as_str(), &reading.versions[..])).collect();
    let expected: [(&str, &[u32]); 5] = [
        ("account.opened", &[1]),
        ("account.paid-in", &[1, 2, 3]),
        ("account.withdrawn", &[1]),
        ("account.closed", &[1]),
        ("audited", &[1]),
    ];
    assert_eq!(reads, expected);
    let queries: Vec<_> = definition.queries.iter().map(|query| (query.name.as_str(), query.schema.as_deref())).collect();
    assert_eq!(queries, [("of", Some(r#"{"required":["owner"]}"#)), ("owners", None)]);
    assert_eq!((description.module.as_str(), definition.name.as_str(), definition.rows_version), ("bank", "wealth", Some(4)));
}

fn problems(module: Module) -> String {
    module.check().unwrap_err().to_string()
}

#[test]
fn what_the_host_would_refuse_is_said_before() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(aggregate = "account")]
    enum Older {
        Opened { owner: String },
        PaidIn { cents: u64 },
    }
    assert_eq!(module().check(), Ok(()));
    assert_eq!(
        problems(Module::new("m").projection(Projection::rows("Rows"))),
        "projection `Rows`: the name \"Rows\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         projection `Rows`: it reads no events; add `on` or `on_published`\n\
         projection `Rows`: nobody can ask it anything; add a `query`"
    );
    assert_eq!(
        problems(module().projection(wealth())),
        "projection `wealth`: another projection of the module has this name; give each its own"
    );
    let mixed = wealth()
        .on(|event: &Recorded<Older>| event.key.clone(), |_: &mut Wealth, _: Recorded<Older>| {})
        .on_published("", |_: &Recorded<u8>| None, |_: &mut Wealth, _: Recorded<u8>| {})
        .query("of", |_: &Documents<Wealth>| Ok(1))
        .query("Of", |_: &Documents<Wealth>| Ok(1))
        .schema("of", "{}")
        .schema("of", "{}")
        .schema("off", "{}");
    assert_eq!(
        problems(Module::new("m").projection(mixed)),
        "projection `wealth`: two enums read different versions of `account.paid-in`; read it with the same one\n\
         projection `wealth`: nobody can publish an event ``; a type has 1 to 255 printable bytes\n\
         projection `wealth`: another query is named `of` too; give each its own name\n\
         projection `wealth`: a query: the name \"Of\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         projection `wealth`: there are two schemas for `of`; leave one out\n\
         projection `wealth`: there is a schema for `off`, which is none of its queries"
    );
    let said = panics(|| given(Projection::rows("Rows")));
    assert!(said.starts_with("the host would not take this projection:\nprojection `Rows`: the name"), "{said}");
}

#[test]
fn a_module_that_does_not_export_its_projections_is_refused_at_deploy() {
    let saga = || amends_sdk::Saga::new("s").step(amends_sdk::Step::pivot("p", |(), _| Ok(())));
    assert_eq!(
        panics(|| exports::describe(module().saga(saga()), &["saga"])),
        "this module has projections; add `projection: …` to its export!"
    );
    assert_eq!(
        panics(|| exports::describe_projections(module().saga(saga()), &["projection"])),
        "this module has sagas; add `saga: …` to its export!"
    );
    assert_eq!(exports::describe_projections(module().saga(saga()), &["saga", "projection"]).projections.len(), 1);
}
