//! Policies: what follows from the events of accounts, by policies whose names say what they do.

use amends_core::{
    event::{Act, Published, Sent, Topic},
    policy::{self, OnPoison, Replay, Route, SagaStart, StartAt, StateForm, Subscription, Timer},
};
use expect_test::expect;

use super::{
    aggregates::{Bank, definition_of},
    *,
};
use crate::{
    engine::{
        guests::{CallFault, CallId, HandleCall, Suspect, ToldCause, Wishes},
        policy::letters,
        port::{PolicyRequest, PolicyStatus, PolicyVerb, PolicyView},
    },
    journal::{Fact, StreamKind, keys, record},
    store::{Range, Table},
};

/// Events of a type, by a pointer into their data or by their own key.
fn on(event_type: &str, key: Option<&str>, route: Route) -> Subscription {
    Subscription { event_type: event_type.into(), versions: vec![1], key: key.map(str::to_owned), route }
}

/// A policy without a state that takes what is put into accounts.
fn stateless(name: &str) -> policy::Definition {
    policy::Definition {
        name: name.into(),
        subscriptions: vec![on("account.put", None, Route::StartOrContinue)],
        state: None,
        on_poison: OnPoison::Park,
        attempts_max: 2,
        start: StartAt::Now,
        replay: Replay::Silent,
        answers: false,
        sends: vec!["account.put".into(), "account.take".into()],
        publishes: vec!["copied".into()],
        starts: vec!["demo".into()],
    }
}

/// A process manager, which begins with the opening of an account and goes on with what is put in.
fn keeping(name: &str) -> policy::Definition {
    let subscriptions = vec![
        on("account.opened", None, Route::Start),
        on("account.put", None, Route::Continue),
        on("account.taken", None, Route::StartOrContinue),
    ];
    policy::Definition {
        subscriptions,
        state: Some(StateForm { version: 1, reads: Vec::new() }),
        answers: true,
        ..stateless(name)
    }
}

fn sent(number: u32, to: &str, name: &str, data: &str) -> Sent {
    let data = Payload::json(data.to_owned());
    Sent { number, aggregate: "account".into(), to: to.into(), name: name.into(), data, expect_revision: None }
}

fn timer(name: &str, at: Instant) -> Timer {
    Timer { name: name.into(), at, data: None, root: String::new(), depth: 0 }
}

/// The version of the rules that can take a 13.
const MENDED: u8 = 80;

/// The code of all of them. A cause of 13 is poison, but for the mended version.
pub(super) fn reacts(call: &HandleCall, digest: &[u8; 32]) -> Result<Wishes, CallFault> {
    let (what, data) = match &call.cause {
        ToldCause::Event(event) => {
            let data = event.data.as_ref().map(|data| String::from_utf8_lossy(&data.bytes).into_owned());
            (event.event_type.clone(), data.unwrap_or_default())
        }
        ToldCause::Timer(timer) => (format!("timer {}", timer.name), String::new()),
        ToldCause::Answer { answered, name, .. } => {
            let said = match &answered.answer {
                amends_core::event::Answer::Accepted { revision, .. } => format!("accepted #{revision}"),
                amends_core::event::Answer::Refused(failure) => failure.code.clone(),
            };
            (format!("answer {name}"), said)
        }
    };
    let event_at = match &call.cause {
        ToldCause::Event(event) => event.at,
        ToldCause::Timer(timer) => timer.at,
        ToldCause::Answer { .. } => Instant(0),
    };
    if data == "13" && digest[0] != 100 + MENDED {
        return Err(CallFault { failure: Failure::new("bad_number", "13 is no number"), is_hosts: false });
    }
    let copy = |key: &str| format!("{key}-copy");
    Ok(match call.policy.as_str() {
        // Copies what is put in.
        "copy" if !call.key.ends_with("copy") => {
            Wishes { commands: vec![sent(0, &copy(&call.key), "put", &data)], ..Wishes::default() }
        }
        // Goes round for ever.
        "echo" => Wishes { commands: vec![sent(0, &call.key, "put", &data)], ..Wishes::default() },
        "tell" => {
            let topic = Topic { event_type: "copied".into(), key: call.key.clone() };
            let events = vec![Published { number: 0, topic, data: Payload::json(data.clone()) }];
            let starts = vec![SagaStart { number: 0, saga: "demo".into(), id: None, input: Payload::json(data) }];
            Wishes { events, starts, ..Wishes::default() }
        }
        "greedy" => Wishes { commands: vec![sent(0, "A", "bomb", "null")], ..Wishes::default() },
        // Keeps the list of what it was told. 1 sets a timer, 2 clears it, 9 ends; what is taken is put back.
        name if name.starts_with("list") => {
            let state = call.state.as_ref().map(|state| String::from_utf8_lossy(&state.data.bytes).trim_matches('"').to_owned());
            let state = format!("{} {what} {data}", state.unwrap_or_default()).trim().replace("account.", "");
            let set = if data == "1" { vec![timer("grace", event_at.plus(60_000))] } else { Vec::new() };
            let cleared = if data == "2" { vec!["grace".to_owned()] } else { Vec::new() };
            let commands = if what == "account.taken" { vec![sent(0, &call.key, "put", &data)] } else { Vec::new() };
            Wishes {
                state: Some(Payload::json(format!("\"{state}\""))),
                set,
                cleared,
                commands,
                ends: data == "9",
                ..Wishes::default()
            }
        }
        _ => Wishes::default(),
    })
}

struct Office {
    bank: Bank,
}

impl Office {
    /// Accounts, and these policies beside them.
    fn with(policies: Vec<policy::Definition>) -> Self {
        let mut office = Self { bank: Bank::of(Sim::new(all_done)) };
        let deploy = Deploy { aggregates: vec![definition_of(0)], ..deploy(1, vec![definition(&["~a"])]) };
        office.deploy(deploy);
        office.rules(1, policies);
        office.bank.sim.calls.clear();
        office.bank.sim.commits = 0;
        office
    }

    fn deploy(&mut self, deploy: Deploy) {
        let answered = self.bank.sim.ask_deploy(deploy);
        self.bank.sim.settle();
        said(answered).expect("deployed");
    }

    /// A version of the module `rules`, made active.
    fn rules(&mut self, digest: u8, policies: Vec<policy::Definition>) {
        let deploy = Deploy { module: "rules".into(), policies, imports: Vec::new(), ..deploy(100 + digest, Vec::new()) };
        self.deploy(deploy);
        self.bank.sim.pass(100);
    }

    fn script(&mut self, script: &str) -> String {
        let told = self.bank.script(script);
        self.bank.sim.pass(100);
        told
    }

    fn restart(self) -> Self {
        Self { bank: Bank::of(self.bank.sim.kill_and_restart()) }
    }

    /// What was put into an account, and taken.
    fn account(&self, id: &str) -> String {
        let records = self.bank.records(id);
        let lines = records.lines().map(|line| line.split(" by ").next().unwrap_or(line).replace("account.", ""));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// What a policy did with a key.
    fn did(&self, policy: &str, key: &str) -> String {
        self.stream(StreamKind::Instance, &format!("{policy}/{key}"), |record| match &record.fact {
            Fact::Instance(event) => shown(event),
            other => format!("{other:?}"),
        })
    }

    /// The depth of each record of a stream.
    fn depths(&self, kind: StreamKind, id: &str) -> String {
        self.stream(kind, id, |record| record.depth.to_string()).replace('\n', " ")
    }

    /// What is recorded of a policy.
    fn stands(&self, policy: &str) -> String {
        self.stream(StreamKind::Policy, policy, |record| match &record.fact {
            Fact::Policy(fact) => {
                let text = format!("{fact:?}");
                text.split(['{', '(']).next().unwrap_or_default().trim().to_lowercase()
            }
            other => format!("{other:?}"),
        })
        .replace('\n', " ")
    }

    fn stream(&self, kind: StreamKind, id: &str, line: impl Fn(&record_of) -> String) -> String {
        let name = StreamId { namespace: namespace(), kind, id: id.to_owned() };
        let stored = reads::stream(self.bank.sim.store.as_ref(), &name).unwrap().unwrap_or_default();
        let lines = stored.iter().map(|stored| line(&record::decode_stored(stored).unwrap()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn rows(&self, table: Table) -> usize {
        self.bank.sim.store.rows(&Range::under(table, &[], usize::MAX)).unwrap().len()
    }

    /// Positions that are taken behind the cursor.
    fn ahead(&self) -> usize {
        let rows = self.bank.sim.store.rows(&Range::under(Table::Cursors, &[], usize::MAX)).unwrap();
        rows.iter().filter(|row| keys::parse_cursor(&row.key).unwrap().2.is_some()).count()
    }

    fn act(&mut self, name: &str, verb: PolicyVerb) -> String {
        let request = PolicyRequest { name: name.into(), verb, act: Act::default() };
        let answered = self.bank.sim.ask(|answer| Request::ActOnPolicy(origin(), Box::new(request), answer));
        self.bank.sim.settle();
        self.bank.sim.pass(100);
        match said(answered) {
            Ok(view) => status(&view),
            Err(refusal) => format!("{}: {}", refusal.code.as_str(), refusal.message),
        }
    }

    fn view(&mut self, name: &str) -> PolicyView {
        let answered = self.bank.sim.ask(|answer| Request::Policy(origin(), name.into(), answer));
        self.bank.sim.settle();
        said(answered).expect("there is one")
    }

    /// The position of the first cause that waits with a key.
    fn position_of(&self, policy: &str, key: &str) -> Position {
        let rows = self.bank.sim.store.rows(&keys::parked_with(&namespace(), policy, key, 0, 1)).unwrap();
        keys::parse_parked(&rows[0].key).unwrap().3
    }

    /// What waits, in groups.
    fn groups(&self, policy: &str) -> String {
        let groups = letters::groups(self.bank.sim.store.as_ref(), &namespace(), (policy, 1)).unwrap();
        let shown = |group: letters::LetterGroup| {
            let code = group.failure.map_or_else(|| "kept".to_owned(), |failure| failure.code);
            format!("{code} keys {} causes {}", group.keys, group.causes)
        };
        groups.into_iter().map(shown).collect::<Vec<_>>().join("\n")
    }

    /// Why a key waits for an operator.
    fn why(&self, policy: &str, key: &str) -> String {
        self.stream(StreamKind::Policy, policy, |record| match &record.fact {
            Fact::Policy(policy::PolicyEvent::Parked { key: of, failure, attempts, .. }) if of == key => {
                format!("{} after {attempts}: {}", failure.code, failure.message)
            }
            _ => String::new(),
        })
        .trim()
        .to_owned()
    }

    /// Lets time pass until nothing is tried again any more.
    fn rest(&mut self) {
        for _ in 0..10 {
            self.bank.sim.pass(60_000);
        }
    }
}

#[expect(non_camel_case_types, reason = "the name of a record here")]
type record_of = crate::journal::Record;

fn status(view: &PolicyView) -> String {
    let PolicyView { status, active, failing, parked, waiting, version, .. } = view;
    let status = match status {
        PolicyStatus::Runs => "runs".to_owned(),
        PolicyStatus::Paused => "paused".to_owned(),
        PolicyStatus::Stopped { at, failure, .. } => format!("stopped at {at:?}: {}", failure.code),
        PolicyStatus::Withdrawn => "withdrawn".to_owned(),
    };
    format!("{status} v{version} active {active} failing {failing} parked {parked} waiting {waiting}")
}

fn shown(event: &policy::InstanceEvent) -> String {
    use policy::InstanceEvent;
    match event {
        InstanceEvent::Handled(reaction) => {
            let state = reaction.state.as_ref().map(|state| format!(" state {}", String::from_utf8_lossy(&state.data.bytes)));
            let set: String = reaction.set.iter().map(|timer| format!(" set {}@{}", timer.name, timer.at.0)).collect();
            let cleared: String = reaction.cleared.iter().map(|name| format!(" clear {name}")).collect();
            let ends = if reaction.ends { " ends" } else { "" };
            let silent = if reaction.is_silent { " silently" } else { "" };
            format!("handled{silent}{}{set}{cleared}{ends}", state.unwrap_or_default())
        }
        InstanceEvent::Sent(sent) => {
            format!("sent {} {} {}", sent.to, sent.name, String::from_utf8_lossy(&sent.data.bytes))
        }
        InstanceEvent::Published(published) => format!("published {} {}", published.topic.event_type, published.topic.key),
        InstanceEvent::Started(start) => format!("started {}", start.saga),
        InstanceEvent::Answered { name, answered, .. } => match &answered.answer {
            amends_core::event::Answer::Accepted { revision, .. } => format!("answered {name} #{revision}"),
            amends_core::event::Answer::Refused(failure) => format!("answered {name} {}", failure.code),
        },
        InstanceEvent::TimerFired(timer) => format!("fired {}", timer.name),
        InstanceEvent::Late { .. } => "late".to_owned(),
    }
}

#[test]
fn what_follows_from_an_event_is_done_once_and_the_cursor_passes_the_event() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nA-copy open\n-\nA put 5\nA put 7");
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("A-copy"));
    expect![[r#"
        handled
        sent A-copy put 5
        handled
        sent A-copy put 7"#]]
    .assert_eq(&office.did("copy", "A"));
    assert_eq!((office.rows(Table::Messages), office.ahead()), (0, 0));
    let office = office.restart();
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("A-copy"));
}

#[test]
fn what_follows_from_an_event_goes_on_at_a_start_whenever_the_host_is_killed() {
    // After each step in turn the host is killed; what was durable by then decides what is done again, and the end is the same.
    for steps in 0.. {
        let mut office = Office::with(vec![stateless("copy"), keeping("list")]);
        office.script("A open\nA-copy open");
        office.bank.send("A put 5");
        let mut left = steps;
        while left > 0 && (office.bank.sim.answer_one() || office.bank.sim.decide_one() || office.bank.sim.commit()) {
            left -= 1;
        }
        let mut office = office.restart();
        office.bank.sim.settle();
        office.bank.sim.pass(100);
        let put = office.account("A").matches("put").count();
        assert_eq!(office.account("A-copy").matches("put").count(), put, "killed after {steps} steps");
        assert_eq!(office.did("list", "A").matches("handled").count(), 1 + put, "killed after {steps} steps");
        if left > 0 {
            assert_eq!(put, 1);
            break;
        }
    }
}

#[test]
fn a_policy_begins_with_the_first_event_after_its_activation_or_with_the_first_there_is() {
    let mut office = Office::with(Vec::new());
    office.script("A open\nA-copy open\nB open\n-\nA put 5");
    let early = policy::Definition { start: StartAt::Beginning, replay: Replay::Effects, ..stateless("copy") };
    office.rules(2, vec![early, stateless("tell")]);
    expect!["#1 opened #2 put"].assert_eq(&office.account("A-copy"));
    office.script("B put 1");
    assert_eq!(office.did("tell", "A"), "");
    expect![[r#"
        handled
        published copied B
        started demo"#]]
    .assert_eq(&office.did("tell", "B"));
    assert_eq!(office.stands("copy"), "installed");
}

#[test]
fn a_silent_replay_makes_the_state_and_sends_nothing_and_sets_only_timers_to_come() {
    let mut office = Office::with(Vec::new());
    office.script("A open\n-\nA put 1\nA take 1");
    office.bank.sim.pass(90_000);
    office.script("B open\n-\nB put 1");
    office.rules(2, vec![policy::Definition { start: StartAt::Beginning, ..keeping("list") }]);
    expect![[r#"
        handled silently state "opened null"
        handled silently state "opened null put 1"
        handled silently state "opened null put 1 taken 1""#]]
    .assert_eq(&office.did("list", "A"));
    expect![[r#"
        handled silently state "opened null"
        handled silently state "opened null put 1" set grace@1150200"#]]
    .assert_eq(&office.did("list", "B"));
    office.bank.sim.pass(60_000);
    expect![[r#"
        handled silently state "opened null"
        handled silently state "opened null put 1" set grace@1150200
        fired grace"#]]
    .assert_eq(&office.did("list", "B"));
}

/// XR-08, XR-09.
#[test]
fn xr_08_a_poison_event_parks_its_key_and_what_comes_after_it_and_other_keys_go_on() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nB open\nA-copy open\nB-copy open\n-\nA put 5\nA put 13\nA put 7\nB put 1");
    office.rest();
    office.script("A put 8\nB put 2");
    expect!["#1 opened #2 put"].assert_eq(&office.account("A-copy"));
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("B-copy"));
    let view = office.view("copy");
    expect!["runs v1 active 0 failing 0 parked 1 waiting 3"].assert_eq(&status(&view));
    assert_eq!((office.rows(Table::Parked), office.ahead()), (3, 0));
    // XR-09: another version can take it. What waits is taken in its order.
    let mut office = office.restart();
    office.rules(MENDED, vec![stateless("copy")]);
    expect!["runs v2 active 0 failing 0 parked 1 waiting 3"].assert_eq(&office.act("copy", PolicyVerb::Redrive { key: None }));
    expect![[r#"
        handled
        sent A-copy put 5
        handled
        sent A-copy put 13
        handled
        sent A-copy put 7
        handled
        sent A-copy put 8"#]]
    .assert_eq(&office.did("copy", "A"));
    expect!["installed parked installed redriven cleared"].assert_eq(&office.stands("copy"));
    assert_eq!((office.rows(Table::Parked), office.ahead()), (0, 0));
}

#[test]
fn what_waits_is_taken_in_order_when_it_is_redriven_and_what_comes_meanwhile_comes_behind_it() {
    let mut office = Office::with(vec![keeping("list")]);
    office.script("A open\n-\nA put 13\nA put 3\nA put 4");
    office.rest();
    expect![[r#"handled state "opened null""#]].assert_eq(&office.did("list", "A"));
    assert_eq!(office.groups("list"), "bad_number keys 1 causes 3");
    let position = office.position_of("list", "A");
    assert_eq!(
        office.act("list", PolicyVerb::Redrive { key: Some("A".into()) }),
        "runs v1 active 0 failing 0 parked 1 waiting 3"
    );
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 1 waiting 2"]
        .assert_eq(&office.act("list", PolicyVerb::Drop { key: "A".into(), position }));
    // Nothing is before them any more, and they are no dead letters of an instance that never began.
    assert_eq!(office.groups("list"), "not_redriven keys 1 causes 2");
    office.bank.send("A put 5");
    expect!["runs v1 active 0 failing 0 parked 1 waiting 2"]
        .assert_eq(&office.act("list", PolicyVerb::Redrive { key: Some("A".into()) }));
    office.script("A put 6");
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 3"
        handled state "opened null put 3 put 4"
        handled state "opened null put 3 put 4 put 5"
        handled state "opened null put 3 put 4 put 5 put 6""#]]
    .assert_eq(&office.did("list", "A"));
    expect!["installed parked redriven parked dropped redriven cleared"].assert_eq(&office.stands("list"));
    assert_eq!(office.rows(Table::Parked), 0);
    expect!["verb_does_not_fit: nothing waits with the key `A`"]
        .assert_eq(&office.act("list", PolicyVerb::Redrive { key: Some("A".into()) }));
}

#[test]
fn a_policy_that_is_to_stop_at_poison_stops_there_and_goes_on_there_when_it_is_resumed() {
    let mut office = Office::with(vec![policy::Definition { on_poison: OnPoison::Stop, ..stateless("copy") }, stateless("tell")]);
    office.script("A open\nA-copy open\nB open\nB-copy open\n-\nA put 13\n-\nB put 1");
    office.rest();
    office.script("B put 2");
    expect!["stopped at Some(14): bad_number v1 active 0 failing 0 parked 0 waiting 0"].assert_eq(&status(&office.view("copy")));
    expect!["runs v1 active 0 failing 0 parked 1 waiting 1"].assert_eq(&status(&office.view("tell")));
    let mut office = office.restart();
    expect!["stopped at Some(14): bad_number v1 active 0 failing 0 parked 0 waiting 0"].assert_eq(&status(&office.view("copy")));
    office.act("copy", PolicyVerb::Resume);
    office.rest();
    expect!["installed stopped resumed stopped"].assert_eq(&office.stands("copy"));
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("B-copy"));
}

#[test]
fn a_paused_policy_takes_nothing_and_misses_nothing() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nA-copy open");
    assert_eq!(office.act("copy", PolicyVerb::Pause), "paused v1 active 0 failing 0 parked 0 waiting 0");
    office.script("A put 5");
    let mut office = office.restart();
    office.script("A put 6");
    assert_eq!(office.did("copy", "A"), "");
    assert_eq!(office.act("copy", PolicyVerb::Resume), "runs v1 active 0 failing 0 parked 0 waiting 0");
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("A-copy"));
    assert_eq!(office.stands("copy"), "installed paused resumed");
}

/// ES-21: a policy that is replaced under load neither misses nor repeats an event.
#[test]
fn es_21_a_policy_that_is_replaced_goes_on_where_the_one_before_stopped() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nA-copy open");
    office.bank.send("A put 1");
    while office.bank.sim.answer_one() || office.bank.sim.decide_one() && office.bank.sim.decisions.is_empty() {}
    let deploy =
        Deploy { module: "rules".into(), policies: vec![stateless("copy")], imports: Vec::new(), ..deploy(102, Vec::new()) };
    let answered = office.bank.sim.ask_deploy(deploy);
    office.bank.send("A put 2");
    office.bank.sim.settle();
    said(answered).expect("deployed");
    office.script("A put 3");
    expect!["#1 opened #2 put #3 put #4 put"].assert_eq(&office.account("A-copy"));
    assert_eq!(office.stands("copy"), "installed installed");
}

#[test]
fn a_policy_that_no_version_has_any_more_keeps_its_place() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nA-copy open\n-\nA put 1");
    office.rules(2, Vec::new());
    office.script("A put 2");
    expect!["withdrawn v1 active 0 failing 0 parked 0 waiting 0"].assert_eq(&status(&office.view("copy")));
    let mut office = office.restart();
    office.rules(3, vec![stateless("copy")]);
    expect!["#1 opened #2 put #3 put"].assert_eq(&office.account("A-copy"));
    assert_eq!(office.stands("copy"), "installed withdrawn installed");
}

#[test]
fn a_policy_that_is_reset_begins_anew_and_what_it_did_before_is_another_thing() {
    let mut office = Office::with(vec![keeping("list"), stateless("copy")]);
    office.script("A open\nA-copy open\n-\nA put 1\nA put 13");
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 0 waiting 0"].assert_eq(&office.act("list", PolicyVerb::Reset(Some(0))));
    office.rest();
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 1" set grace@1060100
        fired grace
        handled silently state "opened null"
        handled silently state "opened null put 1""#]]
    .assert_eq(&office.did("list", "A"));
    expect!["verb_does_not_fit: the journal has no position 18446744073709551615: its last one is 31"]
        .assert_eq(&office.act("copy", PolicyVerb::Reset(Some(u64::MAX))));
    let mut office = office.restart();
    office.rest();
    office.script("A put 2");
    expect!["runs v1 active 0 failing 0 parked 1 waiting 2"].assert_eq(&status(&office.view("list")));
}

#[test]
fn a_process_manager_keeps_its_state_by_key_and_ends() {
    let mut office = Office::with(vec![keeping("list")]);
    office.script("A open\nB open\n-\nA put 3\nB put 4\nA put 5\n-\nA put 9\n-\nA put 6");
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 3"
        handled state "opened null put 3 put 5"
        handled state "opened null put 3 put 5 put 9" ends
        late"#]]
    .assert_eq(&office.did("list", "A"));
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 4""#]]
    .assert_eq(&office.did("list", "B"));
}

/// XR-21: what addresses an instance that is not there is kept for it, then a dead letter, and never dropped.
#[test]
fn xr_21_an_event_that_comes_before_its_instance_is_kept_for_it_and_is_a_dead_letter_in_the_end() {
    let early = || vec![on("account.taken", None, Route::Start), on("account.put", None, Route::Continue)];
    let mut office = Office::with(vec![policy::Definition { subscriptions: early(), ..keeping("list") }]);
    office.script("A open\nB open\n-\nA put 3\nA put 4\nB put 5");
    expect![""].assert_eq(&office.did("list", "A"));
    expect!["runs v1 active 0 failing 0 parked 0 waiting 3"].assert_eq(&status(&office.view("list")));
    let mut office = office.restart();
    office.script("A take 1");
    expect![[r#"
        handled state "taken 1" set grace@1060200
        sent A put 1
        answered put #5
        handled state "taken 1 put 3"
        handled state "taken 1 put 3 put 4"
        handled state "taken 1 put 3 put 4 put 1" set grace@1060200
        handled state "taken 1 put 3 put 4 put 1 answer put accepted #5""#]]
    .assert_eq(&office.did("list", "A"));
    office.bank.sim.pass(30 * 86_400_000);
    expect!["installed kept kept kept dead"].assert_eq(&office.stands("list"));
    expect!["runs v1 active 0 failing 0 parked 0 waiting 1"].assert_eq(&status(&office.view("list")));
    // It is there for an operator, and its instance may have begun meanwhile.
    office.script("B take 2");
    office.act("list", PolicyVerb::Redrive { key: Some("B".into()) });
    expect![[r#"
        handled state "taken 2" clear grace
        sent B put 2
        answered put #4
        handled state "taken 2 put 2" clear grace
        handled state "taken 2 put 2 answer put accepted #4"
        handled state "taken 2 put 2 answer put accepted #4 put 5""#]]
    .assert_eq(&office.did("list", "B"));
    assert_eq!(office.rows(Table::Parked), 0);
}

#[test]
fn an_event_that_begins_an_instance_which_is_there_is_a_dead_letter_and_holds_nothing_up() {
    let begins = vec![on("account.put", None, Route::Start), on("account.taken", None, Route::Continue)];
    let mut office = Office::with(vec![policy::Definition { subscriptions: begins, ..keeping("list") }]);
    office.script("A open\n-\nA put 3\nA put 4\nA take 2");
    expect![[r#"
        handled state "put 3"
        handled state "put 3 taken 2" clear grace
        sent A put 2
        answered put #5
        handled state "put 3 taken 2 answer put accepted #5""#]]
    .assert_eq(&office.did("list", "A"));
    expect!["runs v1 active 0 failing 0 parked 0 waiting 2"].assert_eq(&status(&office.view("list")));
    // What was put back is one more.
    assert_eq!(office.stands("list"), "installed dead dead");
}

/// XR-20: a timer belongs to its instance, and to no later one with the same key.
#[test]
fn xr_20_a_timer_fires_once_unless_it_is_cleared_or_its_instance_has_ended() {
    let mut office = Office::with(vec![keeping("list")]);
    office.script("A open\nB open\nC open\n-\nA put 1\nB put 1\nC put 1\n-\nB put 2\nC put 9");
    office.bank.sim.pass(59_999);
    assert!(!office.did("list", "A").contains("timer"));
    let mut office = office.restart();
    office.bank.sim.pass(240_000);
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 1" set grace@1060100
        fired grace"#]]
    .assert_eq(&office.did("list", "A"));
    assert!(!office.did("list", "B").contains("timer") && !office.did("list", "C").contains("timer"));
    office.bank.sim.pass(240_000);
    assert_eq!(office.did("list", "A").matches("fired").count(), 1);
    assert_eq!(office.rows(Table::Arrivals), 0);
}

#[test]
fn the_answers_to_its_commands_come_to_a_policy_that_wants_them() {
    let mut office = Office::with(vec![keeping("list")]);
    office.script("A open\n-\nA put 7\n-\nA take 2");
    expect![[r#"
        handled state "opened null"
        handled state "opened null put 7"
        handled state "opened null put 7 taken 2" clear grace
        sent A put 2
        answered put #4
        handled state "opened null put 7 taken 2 put 2" clear grace
        handled state "opened null put 7 taken 2 put 2 answer put accepted #4""#]]
    .assert_eq(&office.did("list", "A"));
    assert_eq!((office.rows(Table::Arrivals), office.rows(Table::Messages)), (0, 0));
}

#[test]
fn a_command_that_is_refused_to_a_policy_without_answers_is_recorded_as_such() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\n-\nA put 7");
    expect![[r#"
        handled
        sent A-copy put 7
        answered put no_such_aggregate"#]]
    .assert_eq(&office.did("copy", "A"));
    assert_eq!(office.rows(Table::Messages), 0);
}

#[test]
fn a_loop_ends_when_its_chain_of_causes_is_too_long() {
    let mut office = Office::with(vec![stateless("echo")]);
    office.script("A open\n-\nA put 1");
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 1 waiting 1"].assert_eq(&status(&office.view("echo")));
    let depths = office.depths(StreamKind::Instance, "echo/A");
    expect!["1 1 3 3 5 5 7 7 9 9 11 11 13 13 15 15 17"].assert_eq(&depths[..40]);
    assert_eq!(office.account("A").matches("put").count(), 33);
}

#[test]
fn a_policy_publishes_events_and_starts_sagas_each_once() {
    let mut office = Office::with(vec![stateless("tell")]);
    office.script("A open\n-\nA put 5");
    expect![[r#"
        handled
        published copied A
        started demo"#]]
    .assert_eq(&office.did("tell", "A"));
    assert!(office.bank.sim.metrics.text().contains("amends_sagas_started_total{saga=\"demo\"} 1"));
    assert_eq!(office.rows(Table::Messages), 0);
}

#[test]
fn what_a_policy_has_not_declared_it_cannot_have() {
    let mut office = Office::with(vec![stateless("greedy")]);
    office.script("A open\n-\nA put 5");
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 1 waiting 1"].assert_eq(&status(&office.view("greedy")));
    expect!["bad_output after 2: it sends `account.bomb`, which its definition does not declare"]
        .assert_eq(&office.why("greedy", "A"));
}

/// GC-07: an event that says of itself that it is for no instance is none of the policy's.
#[test]
fn gc_07_an_event_without_a_key_is_passed_over_and_one_with_an_odd_key_is_a_dead_letter_that_holds_nothing_up() {
    let by = |pointer: &str| vec![on("approval", Some(pointer), Route::StartOrContinue)];
    let nothing_there = policy::Definition { subscriptions: by("/to"), ..stateless("tell") };
    let odd = policy::Definition { subscriptions: by(""), ..keeping("list") };
    let stops = policy::Definition { on_poison: OnPoison::Stop, subscriptions: by(""), ..stateless("copy") };
    let mut office = Office::with(vec![nothing_there, odd, stops]);
    for id in ["e1", "e2"] {
        drop(office.bank.sim.publish(id, None, "K"));
        office.bank.sim.settle();
    }
    office.bank.sim.pass(100);
    expect!["runs v1 active 0 failing 0 parked 0 waiting 0"].assert_eq(&status(&office.view("tell")));
    assert!(office.bank.sim.metrics.text().contains(r#"amends_policy_causes_total{policy="tell",outcome="not_for_it"} 2"#));
    expect!["installed dead dead"].assert_eq(&office.stands("list"));
    expect!["runs v1 active 0 failing 0 parked 0 waiting 2"].assert_eq(&status(&office.view("list")));
    assert!(status(&office.view("copy")).ends_with("no_key v1 active 0 failing 0 parked 0 waiting 0"));
    assert_eq!(office.view("tell").cursor, office.view("list").cursor);
}

#[test]
fn more_keys_than_a_policy_has_calls_are_redriven_and_none_is_lost_when_the_host_is_killed() {
    let mut office = Office::with(vec![stateless("copy")]);
    let ids = || (0..40).map(|id| format!("A{id}"));
    office.script(&ids().map(|id| format!("{id} open\n{id}-copy open\n")).collect::<String>());
    office.script(&ids().map(|id| format!("{id} put 13\n{id} put 5\n")).collect::<String>());
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 40 waiting 80"].assert_eq(&status(&office.view("copy")));
    office.rules(MENDED, vec![stateless("copy")]);
    let request = PolicyRequest { name: "copy".into(), verb: PolicyVerb::Redrive { key: None }, act: Act::default() };
    drop(office.bank.sim.ask(|answer| Request::ActOnPolicy(origin(), Box::new(request), answer)));
    office.bank.sim.settle();
    let mut office = office.restart();
    office.rest();
    expect!["runs v2 active 0 failing 0 parked 0 waiting 0"].assert_eq(&status(&office.view("copy")));
    let copies: std::collections::BTreeSet<String> = ids().map(|id| office.account(&format!("{id}-copy"))).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert!(copies.iter().all(|copy| copy.matches("put").count() == 2), "{copies:?}");
}

/// The timer of a kept event was found by the event's position, which two policies share.
#[test]
fn an_event_that_two_policies_keep_is_a_dead_letter_of_both() {
    let early = || vec![on("account.taken", None, Route::Start), on("account.put", None, Route::Continue)];
    let keeps = |name: &str| policy::Definition { subscriptions: early(), ..keeping(name) };
    let mut office = Office::with(vec![keeps("list-a"), keeps("list-b")]);
    office.script("A open\n-\nA put 3");
    office.bank.sim.pass(30 * 86_400_000);
    assert_eq!([office.stands("list-a"), office.stands("list-b")], ["installed kept dead", "installed kept dead"]);
}

/// A dead letter that was redriven was not among what the next host went on with: only parked keys were.
#[test]
fn a_dead_letter_that_is_redriven_is_tried_once_more_also_by_the_next_host() {
    let begins = vec![on("account.put", None, Route::Start), on("account.taken", None, Route::Continue)];
    let mut office = Office::with(vec![policy::Definition { subscriptions: begins, ..keeping("list") }]);
    office.script("A open\n-\nA put 3\nA put 4\nA put 9");
    expect!["installed dead dead"].assert_eq(&office.stands("list"));
    office.act("list", PolicyVerb::Pause);
    office.act("list", PolicyVerb::Redrive { key: None });
    let mut office = office.restart();
    office.act("list", PolicyVerb::Resume);
    office.rest();
    expect!["installed dead dead paused redriven resumed dead dead cleared"].assert_eq(&office.stands("list"));
    expect!["runs v1 active 0 failing 0 parked 0 waiting 2"].assert_eq(&status(&office.view("list")));
}

/// Law 11: a guest that takes the host down is not run again and again.
#[test]
fn a_cause_that_a_guest_had_at_three_deaths_of_the_host_waits_for_an_operator() {
    let mut office = Office::with(vec![stateless("copy")]);
    office.script("A open\nA-copy open\nB open\nB-copy open");
    office.act("copy", PolicyVerb::Pause);
    office.script("A put 5\nB put 6");
    let puts = office.bank.sim.store.rows(&keys::events_named(&namespace(), "account.put", 0, 1)).unwrap();
    let (.., position) = keys::parse_event_name(&puts[0].key).unwrap();
    for _ in 0..3 {
        let Sim { store, world, now, .. } = office.bank.sim;
        let of = StreamId { namespace: namespace(), kind: StreamKind::Instance, id: "copy/A".into() };
        let suspect = Suspect { of, call: CallId::Handle { position, attempt: 1 } };
        office = Office { bank: Bank::of(Sim::on(store, world, now, &[suspect])) };
        office.bank.sim.pass(100);
    }
    office.act("copy", PolicyVerb::Resume);
    office.rest();
    expect!["runs v1 active 0 failing 0 parked 1 waiting 1"].assert_eq(&status(&office.view("copy")));
    expect!["host_died after 0: it was with a guest at 3 deaths of the host"].assert_eq(&office.why("copy", "A"));
    // An operator may want it once more.
    office.act("copy", PolicyVerb::Redrive { key: None });
    office.rest();
    assert!(["A-copy", "B-copy"].iter().all(|copy| office.account(copy).matches("put").count() == 1));
}

#[test]
fn an_act_that_is_sent_again_under_its_key_is_done_once() {
    let mut office = Office::with(vec![keeping("list")]);
    let mut act = |verb: PolicyVerb| {
        let request = PolicyRequest { name: "list".into(), verb, act: Act::default() };
        let origin = Origin { idempotency_key: Some("K1".into()), ..origin() };
        let answered = office.bank.sim.ask(|answer| Request::ActOnPolicy(origin, Box::new(request), answer));
        office.bank.sim.settle();
        said(answered).map_or_else(|refusal| refusal.code.as_str().to_owned(), |view| format!("life {}", view.incarnation))
    };
    let told = [PolicyVerb::Reset(None), PolicyVerb::Reset(None), PolicyVerb::Reset(Some(0))].map(&mut act);
    assert_eq!(told, ["life 2", "life 2", "key_reused"]);
}

#[test]
fn many_keys_go_on_at_the_same_time_and_each_in_its_order() {
    let mut office = Office::with(vec![keeping("list")]);
    let open: String = (0..50).map(|id| format!("A{id} open\n")).collect();
    office.script(&open);
    let put: String = (1..=9).flat_map(|cents| (0..50).map(move |id| format!("A{id} put {}\n", cents % 9 + 10))).collect();
    office.script(&put.replace("put 13", "put 20"));
    let last = |id: u32| office.did("list", &format!("A{id}")).lines().last().unwrap_or_default().to_owned();
    let all: std::collections::BTreeSet<String> = (0..50).map(last).collect();
    expect![[r#"handled state "opened null put 11 put 12 put 20 put 14 put 15 put 16 put 17 put 18 put 10""#]]
        .assert_eq(&all.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!(office.ahead(), 0);
}
