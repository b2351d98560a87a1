//! Steps that are commands, as the kit runs them: on aggregates with their events, and on answers that stand for others.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use amends_sdk::testing::{Status, given};
use amends_sdk::{
    Aggregate, Answered, At, Call, Command, Decision, Each, Event, Module, Result, Retry, Saga, Step, accept, nothing, refuse,
    refused, transient,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Command, Serialize, Deserialize)]
enum Do {
    #[command(new)]
    Open {
        name: String,
    },
    #[command(existing)]
    Pay {
        cents: u64,
    },
    GiveBack {
        cents: u64,
    },
    #[command(existing)]
    Close,
}

#[derive(Event, Serialize, Deserialize)]
enum Did {
    Opened { name: String },
    Paid { cents: u64 },
    GivenBack { cents: u64 },
    Closed,
}

#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    paid: u64,
    closed: bool,
}

/// At most 10.00 in all.
fn decide(account: &Account, command: Do) -> Decision<Did> {
    match command {
        Do::Open { name } => accept(Did::Opened { name: name.clone() }).claim(name),
        Do::Pay { .. } if account.closed => refuse("closed", "it is closed"),
        Do::Pay { cents } if account.paid + cents > 1000 => refuse("limit", "10.00 in all").data(json!({"paid": account.paid})),
        Do::Pay { cents } => accept(Did::Paid { cents }).answer(json!({"left": 1000 - account.paid - cents})),
        Do::GiveBack { .. } if account.closed => refuse("closed", "it is closed"),
        Do::GiveBack { cents } => accept(Did::GivenBack { cents }),
        Do::Close if account.closed => nothing(),
        Do::Close => accept(Did::Closed),
    }
}

fn evolve(account: &mut Account, event: Did) {
    match event {
        Did::Opened { .. } => {}
        Did::Paid { cents } => account.paid += cents,
        Did::GivenBack { cents } => account.paid = account.paid.saturating_sub(cents),
        Did::Closed => account.closed = true,
    }
}

fn account() -> Aggregate<Account, Do, Did> {
    Aggregate::new("account", decide, evolve)
}

/// The account of this id, open.
fn open(id: &str) -> amends_sdk::testing::History<Account, Do, Did> {
    given(account()).id(id).events([Did::Opened { name: id.to_owned() }])
}

/// Pays from two accounts, and closes the first.
fn pays() -> Saga<Value> {
    Saga::new("pays")
        .step(Step::command("first", account().at("/input/a"), "pay").data("/input/first").undo("give-back"))
        .step(Step::pivot_command("second", account().at("/input/b"), "pay").data("/input/second"))
        .step(Step::retriable_command("close", account().at("/input/a"), "close"))
}

fn input(first: u64, second: u64) -> Value {
    json!({"a": "A", "b": "B", "first": {"cents": first}, "second": {"cents": second}})
}

#[test]
fn what_an_aggregate_accepts_is_done_and_stays_from_step_to_step() {
    let run = given(pays()).with(open("A")).with(open("B")).when(input(300, 400)).then(
        "first done
         second done
         close done
         completed",
    );
    assert_eq!(run.state(account(), "A"), Account { paid: 300, closed: true });
    assert_eq!(run.state(account(), "B"), Account { paid: 400, closed: false });
    assert_eq!(run.output::<Answered>().events[0].event_type, "account.closed");
}

#[test]
fn what_an_aggregate_refuses_is_refused_and_the_commands_before_it_are_undone() {
    let run = given(pays()).with(open("A")).with(open("B")).when(input(300, 1001)).then(
        "first done
         second refused limit
         undo first done
         compensated limit",
    );
    assert_eq!(run.state(account(), "A"), Account::default());
    assert_eq!(run.failure().unwrap().data, Some(json!({"paid": 0})));
}

#[test]
fn an_aggregate_without_events_has_no_commands_for_existing_ones() {
    given(pays()).with(account()).when(input(1, 1)).then("first refused no_such_aggregate\n compensated no_such_aggregate");
}

#[test]
fn a_key_that_another_aggregate_holds_is_taken() {
    let opens = |name| Step::command(name, account().at(format!("/input/{name}")), "open").undo_nothing();
    let saga: Saga<Value> = Saga::new("opens").step(opens("a")).step(opens("b"));
    given(saga).with(account()).when(json!({"a": 1, "b": 2, "name": "ada"})).then(
        "a done
         b refused taken
         compensated taken",
    );
}

#[test]
fn the_output_is_what_was_recorded_and_answered() {
    fn tell(_: Value, call: &Call) -> Result<String> {
        let paid: Answered<Value> = call.output("first")?;
        Ok(format!("{} {} {:?}", paid.revision, paid.data, paid.events))
    }
    let saga = Saga::new("tells")
        .step(Step::command("first", account().at("/input/a"), "pay").data("/input/first").undo("give-back"))
        .step(Step::compensatable("tell", tell).needs(["first"]).undo_nothing());
    let run = given(saga).with(open("A")).when(input(300, 0));
    let expected = r#"2 {"left":700} [AnsweredEvent { event_type: "account.paid", version: 1, revision: 2, data: Object {"cents": Number(300)} }]"#;
    assert_eq!(run.output::<String>(), expected);
}

#[test]
fn ids_and_data_are_found_in_earlier_outputs() {
    let saga = Saga::new("pays-what-was-quoted")
        .step(Step::compensatable("quote", |_: Value, _| Ok(json!({"account": "A", "price": {"cents": 7}}))).undo_nothing())
        .step(Step::pivot_command("pay", account().at("/outputs/quote/account"), "pay").data("/outputs/quote/price"));
    let run = given(saga).with(open("A")).when(()).then("quote done\n pay done\n completed");
    assert_eq!(run.state(account(), "A").paid, 7);
}

#[test]
fn a_command_without_an_id_or_data_is_refused() {
    let end = |input: Value| given(pays()).with(open("A")).when(input).failure().unwrap();
    let without_id = end(json!({"first": {"cents": 1}}));
    assert_eq!(
        (without_id.code.as_str(), without_id.message.as_str()),
        ("no_id", "there is no id of an aggregate at `/input/a`")
    );
    for no_id in ["x/y", ".", "..", "a\u{202e}b", "a\u{2028}b"] {
        assert_eq!(end(json!({"a": no_id})).code, "no_id", "{no_id:?}");
    }
    let without_data = end(json!({"a": "A"}));
    assert_eq!((without_data.code.as_str(), without_data.message.as_str()), ("no_data", "there is nothing at `/input/first`"));
}

/// Each of 64 members may be all that a fan-out has brought, and the host makes the object on the thread of all sagas.
#[test]
fn a_command_that_would_say_more_than_a_payload_is_not_sent_in_either_direction() {
    let run = |half: usize, data: amends_sdk::CommandData, undone: amends_sdk::CommandData| {
        let bill = Step::command("bill", At::new("invoice", "/input/id"), "write").data(data).undo_with("cancel", undone);
        let pay = Step::pivot_command("pay", At::new("bank", "/input/id"), "pay").data("/input/id");
        let saga: Saga<Value> = Saga::new("bills").step(bill.undo_retry(Retry::attempts(1))).step(pay);
        let given = given(saga).commands("invoice", |_| Ok(json!(null))).commands("bank", |_| Err(refused("no_funds", "none")));
        given.when(json!({"id": "I1", "text": "x".repeat(half)})).to_string()
    };
    let both = || [("a", "/input/text"), ("b", "/input/text")].into();
    // Two texts of 524,281 bytes in `{"a":"…","b":"…"}` are 1 MiB and one byte too many.
    let undone = "bill done\npay refused no_funds\nundo bill done\ncompensated no_funds";
    assert_eq!(run(524_281, both(), "/input/id".into()), "bill refused payload_too_large\ncompensated payload_too_large");
    assert_eq!(run(524_280, both(), both()), undone);
    let stuck = "bill done\npay refused no_funds\nundo bill transient payload_too_large\nstuck at undo bill: payload_too_large";
    assert_eq!(run((1 << 20) - 1, "/input/id".into(), "/input/text".into()), stuck);
}

#[test]
fn each_element_sends_its_own_command() {
    let pay: Step<_, Value, _> = Step::command("pay", account().at("/input/id"), "pay").undo("give-back");
    let saga: Saga<Value> = Saga::new("pays-all").step(pay.each(Each::in_input("/of").key("/id")));
    let of = json!([{"id": "A", "cents": 1}, {"id": "B", "cents": 2}, {"id": "C", "cents": 3}]);
    let run = given(saga).with(open("A")).with(open("B")).when(json!({"of": of})).then(
        "pay[A] done
         pay[B] done
         pay[C] refused no_such_aggregate
         undo pay[B] done
         undo pay[A] done
         compensated no_such_aggregate",
    );
    assert_eq!(run.state(account(), "B").paid, 0);
}

/// `bill` is written, and then paid by a bank that answers so; what the invoices were told.
fn told(place: Saga<Value>, bank: fn(&Value) -> Result<Value>) -> (String, Vec<String>) {
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let commands = seen.clone();
    let run = given(place)
        .commands("invoice", move |command| {
            commands.borrow_mut().push(format!("{} {} {}", command.name(), command.id(), command.data()));
            Ok(json!({"bank": "b1"}))
        })
        .commands("bank", move |command| bank(command.data()))
        .when(json!({"customer": "ada", "cents": 5}));
    (run.to_string(), seen.take())
}

#[test]
fn an_undo_says_why_and_what_was_recorded_and_the_same_in_every_attempt() {
    let invoice = || At::new("invoice", "/input/customer");
    let bill = || Step::command("bill", invoice(), "write").data([("for", "/input/cents")]);
    let pay = || Step::pivot_command("pay", At::new("bank", "/outputs/bill/data/bank"), "pay").data("/input/cents");
    let why = [("why", "/cause/code"), ("by", "/cause/step"), ("left", "/cause/data/left"), ("gone", "/cause/data/x/y")];
    let (run, told) = self::told(Saga::new("bills").step(bill().undo_with("cancel", why)).step(pay()), |_| {
        Err(refused("no_funds", "none").with(json!({"left": 2})))
    });
    assert_eq!(run, "bill done\npay refused no_funds\nundo bill done\ncompensated no_funds");
    assert_eq!(told, [r#"write ada {"for":5}"#, r#"cancel ada {"by":"pay","gone":null,"left":2,"why":"no_funds"}"#]);

    let undone = bill().undo_with("cancel", [("cause", "/cause"), ("bank", "/output/data/bank")]);
    let (_, told) = self::told(Saga::new("bills").step(undone).step(pay()), |_| Err(refused("no_funds", "none")));
    let cause = r#"{"code":"no_funds","data":null,"kind":"refused","message":"none","step":"pay"}"#;
    assert_eq!(told[1], format!(r#"cancel ada {{"bank":"b1","cause":{cause}}}"#));

    let only = bill().undo_with("cancel", "/cause/kind");
    let (_, told) = self::told(Saga::new("bills").step(only).step(pay()), |_| Err(refused("no_funds", "none")));
    assert_eq!(told[1], r#"cancel ada "refused""#);
}

#[test]
fn an_undo_that_finds_nothing_in_the_input_is_not_sent_and_is_stuck_in_the_end() {
    let bill = Step::command("bill", At::new("invoice", "/input/customer"), "write").undo_with("cancel", [("by", "/input/by")]);
    let saga = Saga::new("bills").step(bill.undo_retry(Retry::attempts(2))).step(Step::pivot_command(
        "pay",
        At::new("bank", "/input/customer"),
        "pay",
    ));
    let (run, told) = told(saga, |_| Err(refused("no_funds", "none")));
    assert_eq!(run, "bill done\npay refused no_funds\nundo bill transient no_data ×2\nstuck at undo bill: no_data");
    assert_eq!(told.len(), 1);
}

#[test]
fn an_undo_that_is_refused_is_tried_as_its_policy_says_and_is_stuck_then() {
    let first = Step::command("first", account().at("/input/a"), "pay").data("/input/first").undo("give-back");
    let close = Step::command("close", account().at("/input/a"), "close").undo_nothing();
    let saga: Saga<Value> = Saga::new("closes-too-early")
        .step(first.undo_retry(Retry::attempts(3)))
        .step(close)
        .step(Step::pivot_command("again", account().at("/input/a"), "pay").data("/input/first"));
    let run = given(saga).with(open("A")).when(input(1, 0)).then(
        "first done
         close done
         again refused closed
         undo first transient closed ×3
         stuck at undo first: closed",
    );
    assert_eq!(run.status(), Status::Stuck);
}

#[test]
fn a_refusal_after_the_pivot_leaves_the_saga_stuck() {
    let saga: Saga<Value> = Saga::new("late")
        .step(Step::retriable_command("close", account().at("/input/a"), "close"))
        .step(Step::retriable_command("pay", account().at("/input/a"), "pay").data("/input/first"));
    given(saga).with(open("A")).when(input(1, 0)).then("close done\n pay refused closed\n stuck at pay: closed");
}

#[test]
fn answers_stand_for_an_aggregate_of_another_module() {
    let saga = || -> Saga<Value> {
        Saga::new("bills")
            .step(Step::command("bill", At::new("invoice", "/input/customer"), "write").undo("cancel"))
            .step(Step::pivot_command("pay", At::new("bank", "/outputs/bill/data/bank"), "pay").data("/outputs/bill/data"))
    };
    let run = |bank: fn(&Value) -> Result<Value>| {
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let commands = seen.clone();
        let run = given(saga())
            .commands("invoice", move |command| {
                commands.borrow_mut().push(format!("{} {} {}", command.name(), command.id(), command.data()));
                Ok(json!({"bank": "b1", "cents": 5}))
            })
            .commands("bank", move |command| bank(command.data()))
            .when(json!({"customer": "ada"}));
        (run.to_string(), seen.take())
    };
    let wrote = r#"write ada {"customer":"ada"}"#.to_owned();
    let (done, sent) = run(|data| Ok(data["cents"].clone()));
    assert_eq!((done.as_str(), sent), ("bill done\npay done\ncompleted", vec![wrote.clone()]));
    let (back, sent) = run(|_| Err(refused("no_funds", "none")));
    assert_eq!(back, "bill done\npay refused no_funds\nundo bill done\ncompensated no_funds");
    assert_eq!(sent, [wrote, r#"cancel ada {"customer":"ada"}"#.to_owned()]);
    let (again, _) = run(|_| Err(transient("busy", "later")));
    assert!(again.contains("pay transient busy ×"), "{again}");
}

#[test]
#[should_panic = "nobody decides pay of account; add .with(…) or .commands(…) to the test"]
fn a_test_says_who_decides() {
    given(pays()).when(input(1, 1));
}

#[test]
fn a_module_knows_the_commands_of_its_aggregates_and_of_those_that_its_steps_were_made_of() {
    let problems = |module: Module| module.check().unwrap_err().to_string();
    let wrong = |at: At| -> Saga<Value> { Saga::new("wrong").step(Step::command("pay", at, "pays").undo("give-bacc")) };
    let expected = "saga `wrong`, step `pay`: the aggregate `account` has no command `pays`; it has `open`, `pay`, `give-back`, `close`\n\
                    saga `wrong`, step `pay`: the aggregate `account` has no command `give-bacc`; it has `open`, `pay`, `give-back`, `close`";
    assert_eq!(problems(Module::new("m").saga(wrong(account().at("/input/a")))), expected);
    assert_eq!(problems(Module::new("m").saga(wrong(At::new("account", "/input/a"))).aggregate(account())), expected);
    // What another module has is not known here.
    assert_eq!(Module::new("m").saga(wrong(At::new("account", "/input/a"))).check(), Ok(()));
}

#[test]
fn a_module_is_told_where_its_commands_find_nothing() {
    let saga: Saga<Value> = Saga::new("wrong")
        .step(Step::command("pay", At::new("Account", "/a"), "pay it").data("/outputs/close").undo("give~back"))
        .step(Step::pivot_command("close", At::new("account", "input/a"), "close").data("/outputs/pay/data"));
    assert_eq!(
        Module::new("m").saga(saga).check().unwrap_err().to_string(),
        "saga `wrong`, step `pay`: its aggregate: the name \"Account\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         saga `wrong`, step `pay`: its command: the name \"pay it\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         saga `wrong`, step `pay`: its command that undoes it: the name \"give~back\" is not of the form [a-z][a-z0-9-]{0,62}\n\
         saga `wrong`, step `pay`: its id of the aggregate is at no pointer that begins with /input or /outputs/<step>\n\
         saga `wrong`, step `pay`: its data is in the output of `close`, which is no step of an earlier stage\n\
         saga `wrong`, step `close`: its id of the aggregate is at no pointer that begins with /input or /outputs/<step>",
    );
}

#[test]
fn a_module_is_told_what_no_undo_can_say() {
    let undone = |data: amends_sdk::CommandData| -> String {
        let pay = Step::command("pay", At::new("account", "/input/a"), "pay").undo_with("give-back", data);
        let saga: Saga<Value> =
            Saga::new("s").step(pay).step(Step::pivot_command("close", At::new("account", "/input/a"), "close"));
        Module::new("m").saga(saga).check().map_or_else(|problems| problems.to_string(), |()| String::new())
    };
    assert_eq!(undone([("why", "/cause/code"), ("event", "/output/events/0/type"), ("id", "/input/a")].into()), "");
    assert_eq!(undone("/cause".into()), "");
    let of = "saga `s`, step `pay`:";
    let undo = "the data of the command that undoes it";
    assert_eq!(
        undone("/cause/reason".into()),
        format!("{of} {undo} is at `/cause/reason`, where nothing ever is; there are kind, step, code, message, data")
    );
    assert_eq!(
        undone([("a", "/outputs/close"), ("a", "/why"), ("b", "/cause/data/~x")].into()),
        format!(
            "{of} the member `a` of {undo} is in the output of `close`, which is no step of an earlier stage\n\
             {of} {undo} has two members `a`\n\
             {of} the member `a` of {undo} is at no pointer that begins with /input, /outputs/<step>, /output or /cause\n\
             {of} the member `b` of {undo} is at no pointer that begins with /input, /outputs/<step>, /output or /cause"
        )
    );
    assert_eq!(
        undone([("a\u{202e}", "/cause/code")].into()),
        format!("{of} {undo} has a member `a\\u{{202e}}`; use 1 to 128 printable bytes")
    );
    let forward = Step::pivot_command("pay", At::new("account", "/input/a"), "pay").data([("why", "/cause/code")]);
    assert_eq!(
        Module::new("m").saga(Saga::<Value>::new("s").step(forward)).check().unwrap_err().to_string(),
        format!("{of} the member `why` of its data is at no pointer that begins with /input or /outputs/<step>")
    );
}
