//! A policy of the SDK says what follows from events in every form that was ever released, from timers and from answers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use amends_sdk::__exports as exports;
use amends_sdk::bindings::policies::exports::amends::module::policy as wit;
use amends_sdk::testing::{Reactions, given};
use amends_sdk::{
    Aggregate, AnswerTo, Command, Decided, Erased, Event, Failure, Keeping, Module, Policy, Reaction, Recorded, Result, Saga,
    Stateless, Step, Timer, To, accept, config, context, http, nothing, refused, secrets,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Event, Serialize, Deserialize)]
#[event(aggregate = "order")]
enum Order {
    #[event(version = 2, from = in_euros)]
    Created {
        customer: String,
        cents: u64,
    },
    Approved,
    Cancelled {
        why: String,
    },
}

#[derive(Deserialize)]
struct InEuros {
    customer: String,
    euros: u64,
}

fn in_euros(old: InEuros) -> Order {
    Order::Created { customer: old.customer, cents: 100 * old.euros }
}

#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "customer")]
enum Customer {
    ReserveCredit { order: String, cents: u64 },
    ReleaseCredit { order: String },
}

#[derive(Serialize, Deserialize)]
struct Stay {
    customer: String,
    nights: u32,
}

fn stay() -> Saga<Stay> {
    Saga::new("stay").step(Step::retriable("stay", |_: Stay, _| Ok(())))
}

fn created(customer: &str, cents: u64) -> Order {
    Order::Created { customer: customer.to_owned(), cents }
}

fn reserve(event: Recorded<Order>, reaction: &mut Reaction) {
    if let Order::Created { customer, cents } = event.event {
        reaction.send(customer, Customer::ReserveCredit { order: event.key, cents });
    }
}

fn release(event: Recorded<Order>, reaction: &mut Reaction) -> Result {
    match event.event {
        Order::Cancelled { why } if why.is_empty() => Err(refused("no_reason", "an order is cancelled for a reason")),
        Order::Cancelled { .. } => {
            reaction.send_at(reaction.key(), Customer::ReleaseCredit { order: event.key }, 7);
            Ok(())
        }
        Order::Created { .. } | Order::Approved => Ok(()),
    }
}

fn credit() -> Policy<Stateless> {
    Policy::stateless("credit")
        .on("order.created", reserve)
        .by("/customer")
        .on("order.cancelled", release)
        .sends(["customer.reserve-credit", "customer.release-credit"])
}

/// What is left to do for an order.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Open {
    customer: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    reminded: BTreeSet<String>,
}

fn begin(open: &mut Open, event: Recorded<Order>, reaction: &mut Reaction) {
    if let Order::Created { customer, .. } = event.event {
        open.customer = customer;
        reaction.set_timer_with("remind/1", context::now() + Duration::from_secs(60), "first");
        reaction.set_timer("give-up", context::now() + Duration::from_secs(3600));
    }
}

fn finish(_: &mut Open, _: Recorded<Order>, reaction: &mut Reaction) {
    reaction.end();
}

fn remind(open: &mut Open, timer: Timer, reaction: &mut Reaction) -> Result {
    let text: String = timer.data()?;
    reaction.publish("reminder", &open.customer, &text);
    open.reminded.insert(timer.name);
    reaction.set_timer("give-up", timer.at + Duration::from_secs(120));
    Ok(())
}

fn give_up(open: &mut Open, timer: Timer, reaction: &mut Reaction) {
    assert!(timer.data::<Value>().is_err());
    let stay = Stay { customer: open.customer.clone(), nights: 1 };
    reaction.start(self::stay(), &stay);
    reaction.start_as(format!("stay-{}", reaction.key()), "stay", &stay);
    reaction.end();
}

#[derive(Deserialize)]
struct Paid {
    cents: u64,
}

fn pay(open: &mut Open, event: Recorded<Paid>, reaction: &mut Reaction) {
    reaction.clear_timer("remind/1");
    reaction.send_to(To::new("customer", &open.customer), "add-points", &json!({"points": event.event.cents / 100}));
}

fn told(open: &mut Open, answer: AnswerTo, reaction: &mut Reaction) {
    match answer.answer {
        Decided::Accepted(accepted) => open.customer = format!("{} has {}", answer.id, accepted.data["points"]),
        Decided::Refused(failure) => {
            reaction.publish("refusal", format!("{}.{}", answer.aggregate, answer.name), &failure.code);
        }
    }
}

fn orders() -> Policy<Keeping<Open>> {
    Policy::keeping("orders")
        .starts_on("order.created", begin)
        .on(["order.approved", "order.cancelled"], finish)
        .on_published("paid", pay)
        .on_timer("remind", remind)
        .on_timer("give-up", give_up)
        .on_answer(told)
        .sends("customer.add-points")
        .publishes(["reminder", "refusal"])
        .starts("stay")
}

fn module() -> Module {
    Module::new("rules").policy(credit()).policy(orders())
}
amends_sdk::export!(policy: module);

/// What a call that must not return says.
fn panics<T>(call: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("words")
}

#[test]
fn an_event_is_answered_with_commands() {
    given(credit())
        .when("O1", created("C1", 1234))
        .then(r#"send customer/C1 reserve-credit {"order":"O1","cents":1234}"#)
        .stored("order.created", 1, "O2", json!({"customer": "C2", "euros": 7}))
        .then(r#"send customer/C2 reserve-credit {"order":"O2","cents":700}"#)
        .when("O1", Order::Cancelled { why: "late".into() })
        .then(r#"send customer/O1 release-credit {"order":"O1"} at revision 7"#);
}

#[test]
fn what_the_policy_fails_at_waits_and_what_comes_after_it_with_the_same_key() {
    let unreadable = json!({"customer": "C1", "cents": -1});
    given(credit())
        .when("O1", Order::Cancelled { why: String::new() })
        .stored("order.created", 2, "O2", unreadable)
        .then("failed no_reason\n failed unreadable_event")
        .when("O1", Order::Cancelled { why: "late".into() })
        .when("O3", created("C1", 1))
        .then("waits for an operator ×2")
        .when("O4", created("C4", 1))
        .then(r#"send customer/C4 reserve-credit {"order":"O4","cents":1}"#);
    let failed = given(credit()).when("O1", Order::Cancelled { why: String::new() });
    assert_eq!(failed.failure(), Some(Failure::new("no_reason", "an order is cancelled for a reason")));
    let before = panics(|| given(credit()).events("O1", [Order::Cancelled { why: String::new() }]));
    assert_eq!(before, "the policy credit fails before the test: an order is cancelled for a reason (no_reason)");
    given(credit().stops_on_poison())
        .when("O1", Order::Cancelled { why: String::new() })
        .when("O4", created("C4", 1))
        .then("failed no_reason\n waits for an operator");
}

#[test]
fn an_instance_goes_from_its_start_over_its_timers_to_its_end() {
    let orders = given(orders())
        .when("O1", created("C1", 1234))
        .then("set remind/1 in 1min \"first\"\n set give-up in 1h\n state {\"customer\":\"C1\"}")
        .advance(Duration::from_secs(59))
        .when("O2", created("C2", 1))
        .then("set remind/1 in 1min \"first\"\n set give-up in 1h\n state {\"customer\":\"C2\"}")
        .advance(Duration::from_secs(1))
        .then(
            r#"timer remind/1 of O1
               publish reminder/C1 "first"
               set give-up in 2min
               state {"customer":"C1","reminded":["remind/1"]}"#,
        )
        .when("O2", Order::Approved)
        .then("end")
        .advance(Duration::from_secs(3600))
        .then(
            r#"timer give-up of O1
               start stay {"customer":"C1","nights":1}
               start stay as stay-O1 {"customer":"C1","nights":1}
               end"#,
        );
    assert_eq!((orders.state("O1"), orders.state("O2")), (None, None));
    assert_eq!(orders.now().to_string(), "2026-01-01T01:01:00Z");
}

/// An order that has begun.
fn o1() -> Reactions<Keeping<Open>> {
    given(orders()).events("O1", [created("C1", 500)])
}

#[test]
fn the_route_of_an_event_says_what_it_means_for_an_instance() {
    given(orders())
        .published("paid", "O1", json!({"cents": 500}))
        .then("kept for its instance")
        .when("O1", created("C1", 500))
        .then(
            r#"set remind/1 in 1min "first"
               set give-up in 1h
               state {"customer":"C1"}
               send customer/C1 add-points {"points":5}
               clear remind/1"#,
        )
        .when("O1", created("C1", 500))
        .then("dead letter: order.created starts O1, and there is one already")
        .when("O1", Order::Approved)
        .when("O1", Order::Approved)
        .then("end\n late")
        .when("O1", created("C3", 1))
        .then("set remind/1 in 1min \"first\"\n set give-up in 1h\n state {\"customer\":\"C3\"}");
}

#[test]
fn an_answer_comes_to_the_instance_that_asked() {
    let paid = || {
        o1().published("paid", "O1", json!({"cents": 500})).then("send customer/C1 add-points {\"points\":5}\n clear remind/1")
    };
    let orders = paid().accepted("customer/C1 add-points", json!({"points": 105})).then(r#"state {"customer":"C1 has 105"}"#);
    assert_eq!(orders.state("O1").unwrap().customer, "C1 has 105");
    let closed = || Failure::new("closed", "C1 is closed");
    paid().refused("customer/C1 add-points", closed()).then(r#"publish refusal/customer.add-points "closed""#);
    paid().when("O1", Order::Approved).refused("customer/C1 add-points", closed()).then("end\n late");
    let why = panics(|| paid().refused("customer/C2 add-points", closed()));
    assert_eq!(why, "the policy has not sent customer/C2 add-points; not answered are: customer/C1 add-points");
    let limit = Failure::new("credit_limit_exceeded", "0 left");
    given(credit())
        .when("O1", created("C1", 9))
        .when("O2", created("C1", 9))
        .accepted("customer/C1 reserve-credit", json!(null))
        .refused("customer/C1 reserve-credit", limit)
        .then(
            r#"send customer/C1 reserve-credit {"order":"O1","cents":9}
               send customer/C1 reserve-credit {"order":"O2","cents":9}
               nothing
               dead letter: customer/C1 refused reserve-credit with credit_limit_exceeded"#,
        );
}

#[test]
fn a_replay_gives_state_and_timers_and_effects_only_where_that_is_wanted() {
    let replayed = given(orders()).when_replayed("O1", created("C1", 1));
    replayed.then("set remind/1 in 1min \"first\"\n set give-up in 1h\n state {\"customer\":\"C1\"}");
    given(credit()).when_replayed("O1", created("C1", 1)).then("nothing");
    let told = |event: Recorded<Order>, reaction: &mut Reaction| {
        reaction.publish("told", event.key, &reaction.is_replay());
    };
    let policy = Policy::stateless("tell").on("order.approved", told).publishes("told");
    let policy = policy.from_beginning().replays_with_effects();
    given(policy)
        .when_replayed("O1", Order::Approved)
        .when("O1", Order::Approved)
        .then("publish told/O1 true\n publish told/O1 false");
}

#[test]
fn nothing_follows_from_erased_data_unless_the_policy_says_so() {
    given(orders()).erased("order.created", "O1").then("nothing").when("O1", Order::Approved).then("kept for its instance");
    // It holds nothing that could have been erased.
    o1().erased("order.approved", "O1").then("end");
    let forget = |event: Recorded<Erased>, reaction: &mut Reaction| {
        reaction.publish("forgotten", event.key, &event.event_type);
    };
    let policy = Policy::stateless("forget").on(["order.created", "order.cancelled"], |_: Recorded<Order>, _: &mut Reaction| {});
    let policy = policy.on_erased(forget).publishes("forgotten");
    given(policy).erased("order.cancelled", "O1").then(r#"publish forgotten/O1 "order.cancelled""#);
}

#[test]
fn states_of_older_forms_are_read_and_kept_in_the_new_one() {
    #[derive(Deserialize)]
    struct First {
        name: String,
    }
    let policy = || {
        orders()
            .state_version(3)
            .reads(1, |first: First| Open { customer: first.name, ..Open::default() })
            .reads(2, |old: Value| {
                old["who"].as_str().map(|who| Open { customer: who.to_owned(), ..Open::default() }).ok_or("nobody")
            })
    };
    let paid = |version, state: Value| given(policy()).kept("O1", version, state).published("paid", "O1", json!({"cents": 0}));
    let sent = |state: &str| format!("send customer/C1 add-points {{\"points\":0}}\n clear remind/1\n{state}");
    paid(1, json!({"name": "C1"})).then(&sent(r#"state {"customer":"C1"}"#));
    paid(2, json!({"who": "C1"})).then(&sent(r#"state {"customer":"C1"}"#));
    paid(3, json!({"customer": "C1"})).then(&sent(""));
    paid(2, json!({})).then("failed unreadable_state");
    paid(4, json!({"customer": "C1"})).then("failed unreadable_state");
    let so_far = given(policy()).so_far("O1", &Open { customer: "C1".into(), ..Open::default() });
    so_far.published("paid", "O1", json!({"cents": 0})).then(&sent(""));
}

#[test]
fn the_host_is_told_what_the_policy_takes_and_may_want() {
    let wit::Description { module, policies } = exports::describe_policies(self::module(), &["policy"]);
    let [credit, orders] = &policies[..] else { panic!("two policies") };
    assert_eq!((module.as_str(), credit.name.as_str(), &credit.state), ("rules", "credit", &None));
    let subscriptions: Vec<_> =
        credit.subscriptions.iter().map(|of| (&*of.event_type, &*of.versions, of.key.as_deref())).collect();
    assert_eq!(subscriptions, [("order.created", &[1, 2][..], Some("/customer")), ("order.cancelled", &[1], None)]);
    assert_eq!((credit.answers, orders.answers, credit.attempts_max), (false, true, 5));
    assert_eq!((credit.on_poison, credit.start, credit.replay), (wit::OnPoison::Park, wit::Start::Now, wit::Replay::Silent));
    let routes: Vec<_> = orders.subscriptions.iter().map(|of| (&*of.event_type, of.route)).collect();
    let (start, go_on) = (wit::Route::Start, wit::Route::Continue);
    assert_eq!(routes, [("order.created", start), ("order.approved", go_on), ("order.cancelled", go_on), ("paid", go_on)]);
    assert_eq!(orders.state, Some(wit::StateForm { version: 1, reads: vec![] }));
    assert_eq!((&*orders.sends, &*orders.starts), (&["customer.add-points".to_owned()][..], &["stay".to_owned()][..]));
    assert_eq!(
        panics(|| exports::describe_policies(self::module(), &["saga"])),
        "this module has policies; add `policy: …` to its export!"
    );
}

/// A policy that does this at each `order.approved`.
fn doing(react: impl Fn(&mut Reaction) + 'static) -> Reactions<Stateless> {
    let react = move |_: Recorded<Order>, reaction: &mut Reaction| react(reaction);
    given(Policy::stateless("p").on("order.approved", react).sends("customer.reserve-credit"))
}

fn said(react: impl Fn(&mut Reaction) + 'static) -> String {
    panics(|| doing(react).when("O1", Order::Approved))
}

#[test]
fn a_test_stops_at_what_the_policy_has_not_declared() {
    let undeclared = said(|reaction| reaction.send("C1", Customer::ReleaseCredit { order: "O1".into() }));
    let add = "and does not declare it; add";
    assert_eq!(undeclared, format!("the policy p sends customer.release-credit, {add} .sends(\"customer.release-credit\")"));
    assert_eq!(said(|reaction| reaction.publish("t", "k", &1)), format!("the policy p publishes t, {add} .publishes(\"t\")"));
    assert_eq!(said(|reaction| reaction.start("s", &1)), format!("the policy p starts the saga s, {add} .starts(\"s\")"));
}

#[test]
fn a_test_stops_where_the_host_would_end_the_call() {
    let reserve = |id: &str| (id.to_owned(), Customer::ReserveCredit { order: "O1".into(), cents: 1 });
    let bad_id = said(move |reaction| {
        let (id, command) = reserve("a/b");
        reaction.send(id, command);
    });
    assert_eq!(bad_id, "the policy p sends reserve-credit to a customer of the id \"a/b\", which no aggregate can have");
    let many = said(move |reaction| {
        (0..1025).for_each(|_| {
            let (id, command) = reserve("C1");
            reaction.send(id, command);
        });
    });
    assert_eq!(many, "the policy p wants 1025 commands, events and starts for one cause; at most 1024");
    let timers = |_: &mut u8, _: Recorded<Order>, reaction: &mut Reaction| {
        (0..65).for_each(|number| reaction.set_timer(format!("t/{number}"), context::now()));
    };
    let timers =
        Policy::keeping("p").starts_on("order.approved", timers).on_timer("t", |_: &mut u8, _: Timer, _: &mut Reaction| {});
    let many = panics(|| given(timers).when("O1", Order::Approved));
    assert_eq!(many, "the instance O1 of the policy p has 65 timers; at most 64");
    let heavy = |_: &mut u8, _: Recorded<Order>, reaction: &mut Reaction| {
        reaction.set_timer_with("t", context::now(), &"x".repeat(64 << 10));
    };
    let heavy =
        Policy::keeping("p").starts_on("order.approved", heavy).on_timer("t", |_: &mut u8, _: Timer, _: &mut Reaction| {});
    let heavy = panics(|| given(heavy).when("O1", Order::Approved));
    assert_eq!(heavy, "the timers of the instance O1 of the policy p have 65538 bytes of data; at most 65536");
    given(credit().by("/customer")).when("O1", Order::Cancelled { why: "not for anybody".into() }).then("");
    let no_key = panics(|| given(credit().by("")).when("O1", Order::Cancelled { why: "late".into() }));
    assert!(no_key.starts_with("the policy credit takes order.cancelled by , where there is no text and no number"), "{no_key}");
    assert_eq!(panics(|| given(credit()).when("O1", Order::Approved)), "the policy credit does not take events order.approved");
}

#[test]
fn a_reaction_that_contradicts_the_policy_fails() {
    doing(|reaction| reaction.end()).when("O1", Order::Approved).then("failed no_instance");
    doing(|reaction| reaction.set_timer("t", context::now())).when("O1", Order::Approved).then("failed no_instance");
    let not_json = BTreeMap::from([((1, 2), 3)]);
    doing(move |reaction| reaction.publish("t", "k", &not_json)).when("O1", Order::Approved).then("failed bad_json");
    let timer = |_: &mut u8, _: Recorded<Order>, reaction: &mut Reaction| reaction.set_timer("t", context::now());
    given(Policy::keeping("p").starts_on("order.approved", timer)).when("O1", Order::Approved).then("failed no_such_timer");
    let misnamed = |reaction: &mut Reaction| reaction.send_to(club().to("C1"), "leave", &json!(null));
    doing(misnamed).when("O1", Order::Approved).then("failed no_command");
    let panicking = said(|_| panic!("no such order"));
    assert_eq!(panicking, "handle panicked at revision 1 of O1, order.approved version 1: no such order");
}

#[test]
fn a_policy_wants_the_same_when_it_is_called_again() {
    let calls = Cell::new(0);
    let counted = said(move |reaction| {
        calls.set(calls.get() + 1);
        reaction.send("C1", Customer::ReserveCredit { order: "O1".into(), cents: calls.get() });
    });
    assert!(counted.starts_with("the policy p wants something else when it is called again for the same cause"), "{counted}");
    doing(|reaction| {
        let order = format!("{} {} {:?}", context::now(), context::new_id().len(), context::random_bytes(1).len());
        reaction.send("C1", Customer::ReserveCredit { order, cents: 1 });
    })
    .when("O1", Order::Approved)
    .then(r#"send customer/C1 reserve-credit {"order":"2026-01-01T00:00:00Z 32 1","cents":1}"#);
    let hashed = |seen: &mut HashSet<String>, event: Recorded<Order>, _: &mut Reaction| {
        seen.extend((0..20).map(|number| format!("{} {number}", event.key)));
    };
    let unordered = panics(|| given(Policy::keeping("p").starts_on("order.approved", hashed)).when("O1", Order::Approved));
    assert!(unordered.contains("as BTreeMap and BTreeSet do"), "{unordered}");
}

#[test]
fn a_policy_reaches_nothing_outside() {
    let remedy = "it depends on the cause and the state alone; what needs more is a step of a saga, which it can start";
    let outside = |what: &str| {
        format!("handle panicked at revision 1 of O1, order.approved version 1: the policy asks for {what}; {remedy}")
    };
    assert_eq!(said(|_| drop(http::get("http://h/x").send())), outside("GET http://h/x"));
    assert_eq!(said(|_| drop(config::get("k"))), outside("the setting k"));
    assert_eq!(said(|_| drop(secrets::get("s"))), outside("the secret s"));
    assert_eq!(said(|reaction| reaction.set_timer("t", context::attempt_started_at())), outside("the start of an attempt"));
}

#[derive(Command, Serialize, Deserialize)]
enum InClub {
    Join { name: String },
    Praise,
}

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "club")]
enum Club {
    Joined { name: String },
}

fn club() -> Aggregate<u32, InClub, Club> {
    let decide = |_: &u32, command: InClub| match command {
        InClub::Join { name } => accept(Club::Joined { name }),
        InClub::Praise => nothing(),
    };
    Aggregate::new("club", decide, |members: &mut u32, Club::Joined { .. }: Club| *members += 1)
}

#[test]
fn every_rule_that_a_policy_breaks_is_named_with_its_remedy() {
    let nothing = |_: Recorded<Order>, _: &mut Reaction| {};
    let kept = |_: &mut u8, _: Recorded<Order>, _: &mut Reaction| {};
    let join = |_: Recorded<Club>, _: &mut Reaction| {};
    let timer = |_: &mut u8, _: Timer, _: &mut Reaction| {};
    let module = Module::new("m")
        .aggregate(club())
        .policy(Policy::stateless("Empty").attempts(101))
        .policy(Policy::stateless("early").by("/x").on("order.create", nothing))
        .policy(Policy::stateless("twice").on(["order.approved", "order.approved"], nothing).by("customer"))
        .policy(Policy::stateless("twice").on_published("", |_: Recorded<Value>, _: &mut Reaction| {}))
        .policy(
            Policy::keeping("middle").on("order.approved", kept).on_timer("", timer).on_timer("t", timer).on_timer("t", timer),
        )
        .policy(
            Policy::keeping("forms")
                .starts_on("order.approved", kept)
                .state_version(2)
                .reads(2, |_: Value| 0)
                .reads(1, |_: Value| 0)
                .reads(1, |_: Value| 0),
        )
        .policy(
            Policy::stateless("wishes")
                .on("order.approved", nothing)
                .sends(["club", "club", "club.leave", "club.join"])
                .publishes(["", "club.joined"])
                .starts("S"),
        )
        .policy(Policy::stateless("fine").on("club.joined", join).sends("club.praise").publishes("praise").starts("stay"));
    let expected = "\
policy `Empty`: the name \"Empty\" is not of the form [a-z][a-z0-9-]{0,62}
policy `Empty`: it tries a cause 101 times; say 1 to 100 `attempts`
policy `Empty`: it takes no events; add `on` or `on_published`
policy `early`: `by(\"/x\")` stands behind no events; put it behind the `on` that it is about
policy `early`: its enum has no event `order.create`; it has order.created, order.approved, order.cancelled
policy `early`: it takes no events; add `on` or `on_published`
policy `twice`: `customer`, by which it takes `order.approved`, is no JSON pointer; begin it with `/`
policy `twice`: it takes `order.approved` twice; take it in one function
policy `twice`: `customer`, by which it takes `order.approved`, is no JSON pointer; begin it with `/`
policy `twice`: another policy of the module has this name; give each its own
policy `twice`: nobody can publish an event ``; a type has 1 to 255 printable bytes
policy `middle`: no event begins an instance of it; add `starts_on`
policy `middle`: a timer is named ``; a name has 1 to 255 printable bytes
policy `middle`: it takes the timer `t` twice; leave one out
policy `forms`: it `reads` the form 2 of its state, which is not older than its `state_version` 2
policy `forms`: it `reads` the form 1 of its state twice; leave one out
policy `wishes`: it says twice that it sends `club`; leave one out
policy `wishes`: it sends `club`; a command is the name of its aggregate, a dot, and its name
policy `wishes`: it sends `club`; a command is the name of its aggregate, a dot, and its name
policy `wishes`: it publishes ``; a type has 1 to 255 printable bytes
policy `wishes`: it starts a saga: the name \"S\" is not of the form [a-z][a-z0-9-]{0,62}
policy `wishes`: the aggregate `club` has no command `leave`; it has `join`, `praise`
policy `wishes`: it publishes `club.joined`, which only its aggregate records; give the event another type";
    assert_eq!(module.check().unwrap_err().to_string(), expected);
}
