//! What an aggregate of the SDK decides and reads is what is recorded, in every form that was ever released.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use amends_sdk::__exports as exports;
use amends_sdk::bindings::aggregates::exports::amends::module::aggregate as wit;
use amends_sdk::testing::{History, given};
use amends_sdk::{
    Aggregate, Command, Decision, Event, Module, Moment, accept, config, context, http, log, nothing, refuse, secrets,
};
use exports::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: u64,
    notes: BTreeMap<String, u64>,
    closed: bool,
}

#[derive(Command, Serialize, Deserialize)]
enum Do {
    #[command(new)]
    Open {
        owner: String,
    },
    #[command(existing)]
    PayIn {
        cents: u64,
    },
    #[command(existing, name = "withdraw")]
    PayOut(u64),
    Note(String, u64),
    Close,
}

#[derive(Debug, Event, Serialize, Deserialize)]
#[event(aggregate = "account")]
enum Did {
    Opened {
        owner: String,
    },
    #[event(version = 3, from = (in_euros, in_text))]
    PaidIn {
        cents: u64,
    },
    #[event(name = "withdrawn", version = 2, from = withdrawn_in_euros)]
    PaidOut(u64),
    Noted(String, u64),
    Closed,
}

#[derive(Deserialize)]
struct InEuros {
    euros: u64,
}

fn in_euros(old: InEuros) -> Did {
    Did::PaidIn { cents: 100 * old.euros }
}

fn in_text(old: Value) -> Result<Did, String> {
    let cents = old["cents"].as_str().and_then(|text| text.parse().ok());
    Ok(Did::PaidIn { cents: cents.ok_or("no cents")? })
}

fn withdrawn_in_euros(euros: u64) -> Did {
    match euros {
        0 => Did::Closed,
        euros => Did::PaidOut(100 * euros),
    }
}

fn decide(account: &Account, command: Do) -> Decision<Did> {
    match command {
        Do::Open { owner } if owner.is_empty() => refuse("no_owner", "an account has an owner").data("owner"),
        Do::Open { owner } => {
            let key = owner.to_lowercase();
            accept(Did::Opened { owner }).claim(key).tag("new").tag("account")
        }
        Do::PayIn { cents: 0 } => nothing(),
        Do::PayIn { cents } => accept(Did::PaidIn { cents }),
        Do::PayOut(cents) if cents > account.cents => refuse("no_funds", format_args!("{} left", account.cents)),
        Do::PayOut(cents) => accept(Did::PaidOut(cents)).answer(json!({"left": account.cents - cents})),
        Do::Note(text, number) => accept(Did::Noted(text, number)),
        Do::Close => accept(Did::PaidOut(account.cents)).tag("last").and([Did::Closed]).release(account.owner.to_lowercase()),
    }
}

fn evolve(account: &mut Account, event: Did) {
    match event {
        Did::Opened { owner } => account.owner = owner,
        Did::PaidIn { cents } => account.cents += cents,
        Did::PaidOut(cents) => account.cents -= cents,
        Did::Noted(text, number) => drop(account.notes.insert(text, number)),
        Did::Closed => account.closed = true,
    }
}

fn account() -> Aggregate<Account, Do, Did> {
    Aggregate::new("account", decide, evolve)
}

fn opened() -> History<Account, Do, Did> {
    given(account()).events([Did::Opened { owner: "Ada".into() }, Did::PaidIn { cents: 500 }])
}

fn module() -> Module {
    Module::new("bank").aggregate(account())
}
amends_sdk::export!(aggregate: module);

#[test]
fn commands_record_events_and_answers() {
    let history = given(account())
        .when(Do::Open { owner: "Ada".into() })
        .then(
            r#"opened {"owner":"Ada"} tagged new, account
               claims ada"#,
        )
        .when(Do::PayIn { cents: 0 })
        .then("nothing")
        .when(Do::PayIn { cents: 500 })
        .when(Do::PayOut(120))
        .when(Do::PayOut(400))
        .then(
            r#"paid-in {"cents":500}
               withdrawn 120
               answer {"left":380}
               refused no_funds"#,
        );
    assert_eq!(history.failure().unwrap().message, "380 left");
    let history = history.when(Do::PayOut(80));
    assert_eq!((history.answer::<Value>(), history.failure()), (json!({"left": 300}), None));
    let history = history.then("withdrawn 80\nanswer {\"left\":300}").when(Do::Note("a".into(), 1)).when(Do::Close).then(
        r#"noted ["a",1]
           withdrawn 300 tagged last
           closed null
           releases ada"#,
    );
    let notes = BTreeMap::from([("a".to_owned(), 1)]);
    assert_eq!(history.state(), Account { owner: "Ada".into(), cents: 0, notes, closed: true });
}

#[test]
fn commands_are_for_new_or_existing_aggregates() {
    given(account()).when(Do::PayIn { cents: 1 }).then("refused no_such_aggregate");
    opened().when(Do::Open { owner: "Bob".into() }).then("refused exists");
    given(account()).when(Do::Note("any".into(), 1)).when(Do::Note("any".into(), 2)).then("noted [\"any\",1]\nnoted [\"any\",2]");
}

#[test]
fn a_key_that_another_aggregate_holds_refuses_the_command() {
    let history = given(account()).taken("ada").when(Do::Open { owner: "Ada".into() }).then("refused taken");
    assert_eq!(history.state(), Account::default());
}

#[test]
fn a_refusal_has_data_and_stays_as_it_is() {
    let refusal = given(account()).when(Do::Open { owner: String::new() }).failure().unwrap();
    assert_eq!((refusal.code.as_str(), refusal.data), ("no_owner", Some(json!("owner"))));
    let decide = |_: &Account, _: Do| refuse("no", "no").answer(1).claim("k").tag("t").and(Did::Closed);
    given(Aggregate::new("account", decide, evolve)).when(Do::Close).then("refused no");
    let decide = |_: &Account, _: Do| accept(Did::Closed).data(1);
    given(Aggregate::new("account", decide, evolve)).when(Do::Close).then("closed null");
}

#[test]
fn a_tag_is_recorded_with_each_event_so_far() {
    let decide = |_: &Account, _: Do| accept(vec![Did::Noted("a".into(), 1), Did::Closed]).tag("x").and(Did::Closed);
    let history = given(Aggregate::new("account", decide, evolve)).when(Do::Close);
    history.then("noted [\"a\",1] tagged x\nclosed null tagged x\nclosed null");
}

#[test]
fn data_that_does_not_fit_is_refused_with_its_place() {
    let refused = |name: &str, data: Value| opened().command(name, data).then("refused bad_command").failure().unwrap().message;
    assert_eq!(refused("pay-in", json!({})), "pay-in of account: missing field `cents` at line 1 column 2");
    assert_eq!(
        refused("withdraw", json!(-1)),
        "withdraw of account: invalid value: integer `-1`, expected u64 at line 1 column 2"
    );
    assert_eq!(
        refused("close", json!(7)),
        "close of account: invalid type: integer `7`, expected null or an object at line 1 column 1"
    );
    opened().command("close", json!({"why": 1, "how": [2]})).command("close", ()).command("withdraw", 0).then(
        "withdrawn 500 tagged last
         closed null
         releases ada
         withdrawn 0 tagged last
         closed null
         releases ada
         withdrawn 0
         answer {\"left\":0}",
    );
}

#[test]
fn older_forms_are_read() {
    let history = opened()
        .stored("account.paid-in", 1, json!({"euros": 2}))
        .stored("account.paid-in", 2, json!({"cents": "30"}))
        .stored("account.paid-in", 3, json!({"cents": 4}))
        .stored("account.withdrawn", 1, 5);
    assert_eq!(history.state().cents, 500 + 200 + 30 + 4 - 500);
}

/// What a call that must not return says.
fn panics<T>(call: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("words")
}

fn event(event_type: &str, version: u32, revision: u64, data: Option<&str>) -> wit::Event {
    let data = data.map(|data| Payload::Json(data.to_owned()));
    wit::Event { event_type: event_type.to_owned(), version, revision, at: 0, data }
}

fn fold(base: Option<&str>, events: Vec<wit::Event>) -> wit::Fold {
    let base = base.map(|base| Payload::Json(base.to_owned()));
    wit::Fold { aggregate: "account".to_owned(), id: "A1".to_owned(), base, events }
}

#[test]
fn what_cannot_be_read_is_a_trap_that_names_the_event() {
    let folded = |event| panics(|| exports::evolve(module(), fold(None, vec![event])));
    assert_eq!(
        folded(event("account.moved", 1, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.moved version 1: this module has no such event"
    );
    assert_eq!(
        folded(event("account.paid-in", 4, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.paid-in version 4: this module reads its versions 1 to 3"
    );
    assert_eq!(
        folded(event("account.opened", 2, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.opened version 2: this module reads its version 1"
    );
    assert_eq!(
        folded(event("account.paid-in", 0, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.paid-in version 0: this module reads its versions 1 to 3"
    );
    assert_eq!(
        folded(event("account.paid-in", 3, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.paid-in version 3: missing field `cents` at line 1 column 2"
    );
    assert_eq!(
        folded(event("account.paid-in", 2, 7, Some("{}"))),
        "account cannot be folded at revision 7 of A1, account.paid-in version 2: no cents"
    );
    assert_eq!(
        folded(event("account.withdrawn", 1, 7, Some("0"))),
        "account cannot be folded at revision 7 of A1, account.withdrawn version 1: \
         the function that reads version 1 made an event `closed` of it"
    );
    assert_eq!(
        folded(event("account.withdrawn", 2, 7, Some("1"))),
        "evolve panicked at revision 7 of A1, account.withdrawn version 2: attempt to subtract with overflow"
    );
    assert_eq!(
        panics(|| exports::evolve(module(), fold(Some("{}"), Vec::new()))),
        "account A1: its kept state does not read: missing field `owner` at line 1 column 2; \
         raise `state_version` when the state changes"
    );
    let other = wit::Fold { aggregate: "stranger".to_owned(), ..fold(None, Vec::new()) };
    assert_eq!(panics(|| exports::evolve(module(), other)), "this module has no aggregate stranger");
    let by_pair = |state: &mut BTreeMap<(u8, u8), u8>, _: Did| _ = state.insert((1, 2), 3);
    let unwritable = Aggregate::new("account", |_: &BTreeMap<(u8, u8), u8>, _: Do| accept(Did::Closed), by_pair);
    assert_eq!(
        panics(|| given(unwritable).id("A1").when(Do::Close)),
        "account A1: its state does not serialize: key must be a string"
    );
}

#[test]
fn a_new_event_that_its_own_aggregate_cannot_take_is_a_trap() {
    let overdrawn = |_: &Account, _: Do| accept(Did::PaidOut(1));
    assert_eq!(
        panics(|| given(Aggregate::new("account", overdrawn, evolve)).when(Do::Close)),
        "evolve panicked at a new event of test, account.withdrawn version 2: attempt to subtract with overflow"
    );

    /// It writes itself in a form that it does not read.
    #[derive(Event, Serialize, Deserialize)]
    enum Lossy {
        Done {
            #[serde(skip_serializing)]
            lost: u8,
        },
    }
    let decide = |_: &u8, _: Do| accept(Lossy::Done { lost: 1 });
    let lossy = Aggregate::new("lossy", decide, |state: &mut u8, Lossy::Done { lost }: Lossy| *state = lost);
    assert_eq!(
        panics(|| given(lossy).when(Do::Close)),
        "lossy test cannot record lossy.done version 1: its data does not come back from its JSON: \
         missing field `lost` at line 1 column 2"
    );
}

#[test]
fn of_an_erased_event_nothing_remains_unless_the_author_says_so() {
    let erased = |aggregate: Aggregate<_, _, _>| {
        given(aggregate).events([Did::PaidIn { cents: 5 }]).erased("account.opened").erased("account.closed")
    };
    let state = erased(account()).state();
    assert_eq!((state.owner.as_str(), state.cents, state.closed), ("", 5, true));
    let anonymous = account().evolve_erased(|account, event| account.owner = format!("erased by {event}"));
    assert_eq!(erased(anonymous).state().owner, "erased by account.opened");
    erased(account()).when(Do::Open { owner: "Ada".into() }).then("refused exists");
}

#[test]
fn each_command_of_a_call_is_decided_on_what_the_one_before_it_left() {
    let command = |name: &str, data: &str| wit::Command {
        id: format!("id of {name}"),
        name: name.to_owned(),
        data: Payload::Json(data.to_owned()),
        actor: "local".to_owned(),
    };
    let as_bytes = wit::Command { data: Payload::Bytes(b"3".to_vec()), ..command("withdraw", "") };
    let commands = vec![command("pay-in", r#"{"cents":5}"#), command("withdraw", "9"), as_bytes];
    let base = r#"{"owner":"Ada","cents":1,"notes":{},"closed":false}"#;
    let events = vec![event("account.paid-in", 1, 3, Some(r#"{"euros":0}"#))];
    let decided = exports::decide(module(), wit::Call { fold: fold(Some(base), events), commands });
    let said: Vec<String> = decided
        .decisions
        .iter()
        .map(|decision| match decision {
            wit::Decision::Accepted(accepted) => format!("{} {:?}", accepted.events[0].event_type, accepted.events[0].data),
            wit::Decision::Refused(failure) => failure.message.clone(),
        })
        .collect();
    let expected = ["account.paid-in Payload::Json(\"{\\\"cents\\\":5}\")", "6 left", "account.withdrawn Payload::Json(\"3\")"];
    assert_eq!(said, expected);
    assert_eq!(decided.state, Payload::Json(r#"{"owner":"Ada","cents":3,"notes":{},"closed":false}"#.to_owned()));
}

#[test]
fn the_host_brings_old_data_into_the_current_form() {
    let upcast = |event_type: &str, version, data: &str| match exports::upcast_event(
        module(),
        event_type,
        version,
        &Payload::Json(data.to_owned()),
    ) {
        Ok(Payload::Json(text)) => text,
        Ok(Payload::Bytes(_)) => unreachable!("the SDK writes JSON"),
        Err(failure) => format!("{}: {}", failure.code, failure.message),
    };
    assert_eq!(upcast("account.paid-in", 1, r#"{"euros":2}"#), r#"{"cents":200}"#);
    assert_eq!(upcast("account.paid-in", 3, r#"{"cents": 2, "more": 1}"#), r#"{"cents":2}"#);
    assert_eq!(upcast("account.closed", 1, "null"), "null");
    assert_eq!(upcast("account.moved", 1, "{}"), "unreadable: account.moved version 1: this module has no such event");
    assert_eq!(
        upcast("account.paid-in", 1, r#"{"dollars":2}"#),
        "unreadable: account.paid-in version 1: missing field `euros` at line 1 column 13"
    );
}

#[test]
fn the_description_has_names_versions_and_presence() {
    let with_schema = account().schema("pay-in", json!({"type": "object"})).keep_every(7).state_version(2);
    let description = exports::describe_aggregates(Module::new("bank").aggregate(with_schema), &["aggregate"]);
    assert_eq!(description.module, "bank");
    let [definition] = &description.aggregates[..] else { panic!("one aggregate") };
    let commands: Vec<String> = definition
        .commands
        .iter()
        .map(|command| format!("{} {:?} {}", command.name, command.on, command.schema.as_deref().unwrap_or("-")))
        .collect();
    let expected = [
        "open Presence::New -",
        "pay-in Presence::Existing {\"type\":\"object\"}",
        "withdraw Presence::Existing -",
        "note Presence::Any -",
        "close Presence::Any -",
    ];
    assert_eq!(commands, expected);
    let events: Vec<String> =
        definition.events.iter().map(|event| format!("{} {} {:?}", event.event_type, event.version, event.reads)).collect();
    let expected = [
        "account.opened 1 []",
        "account.paid-in 3 [1, 2]",
        "account.withdrawn 2 [1]",
        "account.noted 1 []",
        "account.closed 1 []",
    ];
    assert_eq!(events, expected);
    assert_eq!((definition.name.as_str(), definition.keep_every, definition.state_version), ("account", 7, Some(2)));
}

#[test]
fn decide_learns_how_a_command_was_sent_and_the_time() {
    #[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
    enum Seen {
        Command { aggregate: String, id: String, actor: String, at: Moment, new: Vec<String> },
    }
    fn decide(_: &(), _: Do, command: &Command) -> Decision<Seen> {
        log::info!("{} decides", command.id());
        accept(Seen::Command {
            aggregate: command.aggregate_id().to_owned(),
            id: command.id().to_owned(),
            actor: command.actor().to_owned(),
            at: context::now(),
            new: vec![context::new_id(), format!("{:?}", context::random_bytes(2))],
        })
    }
    let seer = || given(Aggregate::new("seer", decide, |_: &mut (), _: Seen| {}));
    let history = seer().id("S1").actor("token:7").advance(Duration::from_secs(5)).when(Do::Close);
    assert_eq!(history.now().to_string(), "2026-01-01T00:00:05Z");
    assert_eq!(history.logs(), ["info command-1 decides"]);
    history.then(
        r#"command {"aggregate":"S1","id":"command-1","actor":"token:7","at":1767225605000,"new":["724a4ba8ca6172b8834e524646ae99c7","[52, 9]"]}"#,
    );
}

#[test]
fn an_aggregate_that_is_not_pure_is_caught() {
    let deciding = |ask: fn()| {
        let decide = move |_: &Account, _: Do| {
            ask();
            nothing()
        };
        panics(|| given(Aggregate::new("account", decide, evolve)).when(Do::Close))
    };
    let put = "it depends on the state and the command alone, so put it into one of them";
    assert_eq!(deciding(|| drop(http::get("http://p/x").send())), format!("decide asks for GET http://p/x; {put}"));
    assert_eq!(deciding(|| drop(config::get("region"))), format!("decide asks for the setting region; {put}"));
    assert_eq!(deciding(|| drop(secrets::get("key"))), format!("decide asks for the secret key; {put}"));
    let evolving = |ask: fn()| {
        let evolve = move |_: &mut Account, _: Did| ask();
        panics(|| given(Aggregate::new("account", decide, evolve)).events([Did::Closed]).state())
    };
    let at = "evolve panicked at revision 1 of test, account.closed version 1";
    let put = "a state depends on its events alone, so put it into the event";
    assert_eq!(evolving(|| _ = context::now()), format!("{at}: evolve asks for the time; {put}"));
    assert_eq!(evolving(|| drop(context::new_id())), format!("{at}: evolve asks for an id; {put}"));
}

#[test]
fn a_state_that_its_json_does_not_hold_is_caught() {
    #[derive(Default, Serialize, Deserialize)]
    struct Forgetful {
        #[serde(skip)]
        closed: bool,
    }
    fn decide(state: &Forgetful, _: Do) -> Decision<Did> {
        if state.closed { nothing() } else { accept(Did::Closed) }
    }
    let forgetful = Aggregate::new("account", decide, |state: &mut Forgetful, _: Did| state.closed = true);
    let said = panics(|| given(forgetful).when(Do::Close).then("closed null").when(Do::Close));
    assert!(said.starts_with("on a state that went through its JSON, the command close comes to something else"), "{said}");

    let many = |seen: &HashSet<u64>, _: Do| if seen.is_empty() { accept(Did::Closed) } else { nothing() };
    let unordered = Aggregate::new("account", many, |seen: &mut HashSet<u64>, _: Did| seen.extend(0..100));
    let said = panics(|| given(unordered).when(Do::Close).when(Do::Close));
    assert!(said.contains("as BTreeMap and BTreeSet in one order"), "{said}");
}

#[test]
fn what_the_host_would_not_record_is_caught() {
    let deciding = |decision: fn() -> Decision<Did>| {
        panics(|| given(Aggregate::new("account", move |_: &Account, _: Do| decision(), evolve)).when(Do::Close))
    };
    let many = || accept(std::iter::repeat_with(|| Did::Closed).take(1001).collect::<Vec<_>>());
    assert_eq!(deciding(many), "a command records at most 1000 events, not 1001");
    let tags = || (0..9).fold(accept(Did::Closed), |decision, tag| decision.tag(tag.to_string()));
    assert_eq!(deciding(tags), "an event has at most 8 tags, and account.closed has 9");
    assert_eq!(deciding(|| nothing().claim("")), "a tag and a key have 1 to 255 printable bytes, not \"\"");
    assert_eq!(deciding(|| accept(Did::Closed).tag("\n")), "a tag and a key have 1 to 255 printable bytes, not \"\\n\"");
}

#[test]
fn what_a_test_gets_wrong_is_said() {
    assert_eq!(panics(|| opened().command("fly", ())), "the aggregate account has no command fly");
    assert_eq!(panics(|| opened().erased("account.flown")), "the aggregate has no event account.flown");
    assert_eq!(
        panics(|| opened().stored("account.paid-in", 9, ())),
        "account.paid-in version 9: this module reads its versions 1 to 3"
    );
    assert_eq!(panics(|| opened().when(Do::PayIn { cents: 0 }).answer::<u8>()), "the latest command has no answer");
    let said = panics(|| opened().when(Do::PayIn { cents: 1 }).then("nothing"));
    assert_eq!(said, "\nexpected:\nnothing\n\nhappened:\npaid-in {\"cents\":1}\n");
}

#[test]
fn a_module_with_aggregates_keeps_the_rules_of_the_host() {
    assert_eq!(module().check(), Ok(()));
    let problems = |module: Module| module.check().expect_err("a broken rule").to_string();
    let named = |name: &'static str| Aggregate::new(name, decide, evolve);
    assert_eq!(
        problems(Module::new("m").aggregate(account()).aggregate(account())),
        "aggregate `account`: another aggregate of the module has this name; give each its own"
    );
    assert_eq!(
        problems(Module::new("m").aggregate(named("accounts"))),
        "aggregate `accounts`: its events say `#[event(aggregate = \"account\")]`; give both the same name"
    );
    assert_eq!(
        problems(Module::new("m").aggregate(named("Account"))),
        "aggregate `Account`: the name \"Account\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         aggregate `Account`: its events say `#[event(aggregate = \"account\")]`; give both the same name"
    );
    assert_eq!(
        problems(Module::new("m").aggregate(account().schema("fly", "{}").schema("close", "{}").schema("close", "{}"))),
        "aggregate `account`: there is a schema for `fly`, which is none of its commands\n\
         aggregate `account`: there are two schemas for `close`; leave one out"
    );
    let said = panics(|| given(named("Account")));
    assert!(said.starts_with("the host would not take this aggregate:\naggregate `Account`: the name"), "{said}");
}

#[test]
fn a_module_that_exports_half_of_what_it_has_is_refused_at_deploy() {
    let saga = || amends_sdk::Saga::new("s").step(amends_sdk::Step::pivot("p", |(), _| Ok(())));
    let both = || module().saga(saga());
    let said = |exported: &[&str]| panics(|| exports::describe(both(), exported));
    assert_eq!(said(&["saga"]), "this module has aggregates; add `aggregate: …` to its export!");
    assert_eq!(
        panics(|| exports::describe_aggregates(both(), &["aggregate"])),
        "this module has sagas; add `saga: …` to its export!"
    );
    assert_eq!(exports::describe_aggregates(module(), &["aggregate"]).aggregates.len(), 1);
    assert_eq!(exports::describe_aggregates(both(), &["saga", "aggregate"]).aggregates.len(), 1);
    assert_eq!(exports::describe(Module::new("m").saga(saga()), &["saga"]).sagas.len(), 1);
}

/// ES-22: an order whose lines are children, and a rule that counts those that somebody must look at.
mod reviewed {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(super) struct Order {
        pub(super) lines: Vec<Line>,
        pub(super) flags: u32,
        pub(super) needs_review: bool,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Line {
        pub(super) cents: u64,
        pub(super) units: u32,
    }

    #[derive(Command, Serialize, Deserialize)]
    pub(super) enum Do {
        #[command(new)]
        Place { lines: Vec<Line> },
    }

    #[derive(Event, Serialize, Deserialize)]
    #[event(aggregate = "reviewed")]
    pub(super) enum Did {
        LineAdded(Line),
        LineFlagged { line: usize },
    }

    /// The rule of a line: it is dear, or there are many.
    fn is_odd(line: &Line) -> bool {
        line.cents > 100_000 || line.units > 100
    }

    fn decide(_: &Order, Do::Place { lines }: Do) -> Decision<Did> {
        let flagged: Vec<Did> =
            lines.iter().enumerate().filter(|(_, line)| is_odd(line)).map(|(line, _)| Did::LineFlagged { line }).collect();
        accept(lines.into_iter().map(Did::LineAdded).chain(flagged).collect::<Vec<_>>())
    }

    fn evolve(order: &mut Order, event: Did) {
        match event {
            Did::LineAdded(line) => order.lines.push(line),
            Did::LineFlagged { .. } => (order.flags, order.needs_review) = (order.flags + 1, true),
        }
    }

    pub(super) fn order() -> Aggregate<Order, Do, Did> {
        Aggregate::new("reviewed", decide, evolve)
    }
}

#[test]
fn es_22_a_rule_of_lines_is_counted_at_their_order_by_the_same_decision() {
    let line = |cents, units| reviewed::Line { cents, units };
    let lines = vec![line(120_000, 1), line(500, 150), line(1_000, 1)];
    let order = given(reviewed::order()).when(reviewed::Do::Place { lines }).then(
        r#"line-added {"cents":120000,"units":1}
           line-added {"cents":500,"units":150}
           line-added {"cents":1000,"units":1}
           line-flagged {"line":0}
           line-flagged {"line":1}"#,
    );
    assert_eq!((order.state().flags, order.state().needs_review), (2, true));
}
