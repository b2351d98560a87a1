//! Fan-out over lists, and children, run in the test kit as the host would run them.

use std::time::Duration;

use amends_sdk::testing::{Run, given};
use amends_sdk::{Call, Collected, Each, Element, Failure, Result, Retry, Saga, Step, kind, log, refused, transient, unknown};
use serde::Deserialize;
use serde_json::{Value, json};

fn done<I>(_: I, _: &Call) -> Result {
    Ok(())
}

fn undo<I, O>(_: I, _: Option<O>, _: &Call) -> Result {
    Ok(())
}

fn refuses<I>(_: I, _: &Call) -> Result {
    Err(refused("no", "never"))
}

/// A step that takes anything, and can be undone.
fn step(name: &'static str) -> Step<kind::Compensatable, Value, ()> {
    Step::compensatable(name, done).undo(undo)
}

fn pay(amount: u32, call: &Call) -> Result<String> {
    match amount {
        0 => Err(refused("nothing", "nothing to pay")),
        _ => Ok(format!("{}={amount}", call.element().unwrap_or_default())),
    }
}

#[test]
fn the_outputs_of_elements_are_a_list() {
    let saga: Saga<Value> = Saga::new("s").step(Step::retriable("pay", pay).each(Each::in_input("/amounts")));
    let run = given(saga).when(json!({"amounts": [3, 5]})).then("pay[0] done\npay[1] done\ncompleted");
    assert_eq!(run.output::<Vec<String>>(), ["0=3", "1=5"]);
}

#[test]
fn no_element_is_done_at_once() {
    let saga = || -> Saga<Value> {
        let pays = Step::retriable("pay", pay).each(Each::in_input("/amounts").collect());
        Saga::new("s").step(pays)
    };
    let run = given(saga()).when(json!({"amounts": []})).then("completed");
    assert_eq!(run.output::<Vec<String>>(), [""; 0]);
}

#[test]
fn one_refused_element_refuses_the_step_and_the_others_are_undone() {
    let pays = Step::compensatable("pay", pay).undo(undo).each(Each::in_input("/amounts").concurrency(2));
    let saga: Saga<Value> = Saga::new("s").step(pays);
    given(saga).when(json!({"amounts": [1, 2, 3, 0, 5, 6]})).then(
        "pay[0] done
         pay[1] done
         pay[2] done
         pay[3] refused nothing
         undo pay[2] done
         undo pay[1] done
         undo pay[0] done
         compensated nothing",
    );
}

#[test]
fn what_begins_together_ends_before_the_way_back() {
    let pays = Step::compensatable("pay", pay).undo(undo).each(Each::in_input(""));
    let saga: Saga<Value> = Saga::new("s").step(pays);
    given(saga).when(json!([0, 2])).then(
        "pay[0] refused nothing
         pay[1] done
         undo pay[1] done
         compensated nothing",
    );
}

#[derive(Deserialize)]
struct Bill {
    amount: u32,
}

fn pay_bill(bill: Bill, call: &Call) -> Result<String> {
    pay(bill.amount, call)
}

fn bills() -> Value {
    json!({"bills": [{"id": "a", "amount": 3}, {"id": "b", "amount": 0}, {"id": 7, "amount": 5}]})
}

#[test]
fn where_refusals_are_collected_they_are_results() {
    let plan = Step::compensatable("plan", |input: Value, _: &Call| Ok(input)).undo_nothing();
    let pays = Step::retriable("pay", pay_bill).each(Each::in_output("plan", "/bills").key("/id").collect());
    let run = given(Saga::new("s").step(plan).step(pays)).when(bills()).then(
        "plan done
         pay[a] done
         pay[b] refused nothing
         pay[7] done
         completed",
    );
    let element = |key: &str, ended| Element { key: key.to_owned(), ended };
    let elements = vec![
        element("a", Ok("a=3".to_owned())),
        element("b", Err(Failure::new("nothing", "nothing to pay"))),
        element("7", Ok("7=5".to_owned())),
    ];
    assert_eq!(run.output::<Collected<String>>(), Collected { elements });
    let json = json!([
        {"key": "a", "done": "a=3"},
        {"key": "b", "refused": {"code": "nothing", "message": "nothing to pay"}},
        {"key": "7", "done": "7=5"},
    ]);
    assert_eq!(run.output::<Value>(), json);
}

#[test]
fn a_later_rollback_undoes_elements_that_are_done_or_may_have_run() {
    let run = |bill: Bill, call: &Call| match (bill.amount, call.attempt()) {
        (0, 1) => Err(unknown("no_answer", "the line broke")),
        (5, _) => Err(refused("closed", "come back tomorrow")),
        _ => pay_bill(bill, call),
    };
    let cancel = |_: Bill, paid: Option<String>, call: &Call| {
        log::info!("{:?} had paid {paid:?}", call.element());
        Ok(())
    };
    let pays = Step::compensatable("pay", run).undo(cancel).each(Each::in_input("/bills").key("/id").collect());
    let run = given(Saga::new("s").step(pays).step(Step::pivot("report", refuses::<Value>))).when(bills()).then(
        "pay[a] done
         pay[b] unknown no_answer
         pay[7] refused closed
         pay[b] refused nothing
         report refused no
         undo pay[b] done
         undo pay[a] done
         compensated no",
    );
    assert_eq!(run.logs(), [r#"info Some("b") had paid None"#, r#"info Some("a") had paid Some("a=3")"#]);
}

#[test]
fn equal_elements_are_one_and_what_fits_no_list_is_refused_before_it_begins() {
    let run = |input: Value| -> Run {
        let pays = Step::compensatable("pay", pay_bill).undo(undo).each(Each::in_input("/bills").key("/id"));
        let saga: Saga<Value> = Saga::new("s").step(pays);
        given(saga).when(input)
    };
    let bill = |id: &str, amount: u32| json!({"id": id, "amount": amount});
    run(json!({"bills": [bill("a", 1), bill("b", 1), bill("a", 1)]})).then("pay[a] done\npay[b] done\ncompleted");
    run(json!({"bills": [bill("a", 1), bill("a", 2)]})).then("pay refused key_clash\ncompensated key_clash");
    run(json!({"bills": [{"amount": 1}]})).then("pay refused no_key\ncompensated no_key");
    run(json!({"bills": {"a": 1}})).then("pay refused no_list\ncompensated no_list");
    let many = vec![Value::Null; 100_001];
    run(json!({"bills": many})).then("pay refused too_many_elements\ncompensated too_many_elements");
}

#[test]
fn no_more_elements_run_at_once_than_the_step_says() {
    let nap = |seconds: u64, call: &Call| call.sleep(Duration::from_secs(seconds));
    let naps = Step::retriable("nap", nap).each(Each::in_input("").concurrency(2));
    let saga: Saga<Value> = Saga::new("s").step(naps);
    given(saga)
        .when([2, 1, 3])
        .then("nap[0] waits until +2s\nnap[1] waits until +1s")
        .advance(Duration::from_secs(1))
        .then("nap[1] done\nnap[2] waits until +3s")
        .advance(Duration::from_secs(3))
        .then("nap[0] done\nnap[2] done\ncompleted");
}

#[test]
fn elements_have_their_own_retries_and_ways() {
    let run = |name: String, call: &Call| match call.attempt() {
        1 => Err(transient("busy", "come back")),
        _ => Err::<(), _>(refused("no", format_args!("not {name}"))),
    };
    let steps = Step::retriable("call", run).alternate(done).retry(Retry::attempts(2)).each(Each::in_input("").key(""));
    let saga: Saga<Value> = Saga::new("s").step(steps);
    given(saga).when(["ada", "bob"]).then(
        "call[ada] transient busy
         call[bob] transient busy
         call[ada] refused no
         call[bob] refused no
         call[ada] alternate 1 done
         call[bob] alternate 1 done
         completed",
    );
}

#[test]
fn a_thousand_elements_are_no_strain() {
    let pays = Step::retriable("pay", pay).each(Each::in_input("").collect());
    let saga: Saga<Value> = Saga::new("s").step(pays);
    let run = given(saga).when((0..1000).collect::<Vec<u32>>());
    let collected: Collected<String> = run.output();
    assert_eq!((collected.done().count(), collected.refused().count()), (999, 1));
}

/// Two branches and a step before them; the files are open until both are undone.
#[test]
fn tb_08_each_branch_is_undone_in_its_own_reverse_order_before_what_came_first() {
    let branch = |name, steps: [&'static str; 2]| Saga::new(name).step(step(steps[0])).step(step(steps[1]));
    let saga = Saga::new("s")
        .step(step("open-file"))
        .parallel((
            Step::child("left", branch("left-branch", ["a", "b"])),
            Step::child("right", Saga::new("right-branch").step(step("a"))),
        ))
        .step(step("join"))
        .step(Step::pivot("charge", refuses::<Value>));
    given(saga).when(()).then(
        "open-file done
         left/a done
         right/a done
         left/b done
         join done
         charge refused no
         undo join done
         undo right/a done
         undo left/b done
         undo left/a done
         undo open-file done
         compensated no",
    );
}

#[derive(Deserialize)]
struct Traveller {
    name: String,
}

/// A saga for each traveller, whose second step refuses bob.
fn traveller() -> Saga<Traveller> {
    let seat = |traveller: Traveller, call: &Call| match traveller.name.as_str() {
        "bob" => Err(refused("no_seat", "no seat for bob")),
        name => Ok(format!("{} {} {name}", call.definition(), call.path())),
    };
    Saga::new("traveller")
        .step(Step::compensatable("passport", done::<Traveller>).undo(undo))
        .step(Step::compensatable("seat", seat).undo(undo))
}

#[test]
fn tb_20_travellers_before_a_refused_one_are_undone_as_units() {
    let travellers = Step::child("group", traveller()).each(Each::in_input("/travellers").key("/name").concurrency(1));
    let saga: Saga<Value> = Saga::new("s").step(travellers);
    given(saga).when(json!({"travellers": [{"name": "ada"}, {"name": "bob"}, {"name": "eve"}]})).then(
        "group[ada]/passport done
         group[ada]/seat done
         group[bob]/passport done
         group[bob]/seat refused no_seat
         undo group[bob]/passport done
         undo group[ada]/seat done
         undo group[ada]/passport done
         compensated no_seat",
    );
}

#[test]
fn where_children_are_collected_a_refused_one_is_undone_alone() {
    let travellers = Step::child("group", traveller()).each(Each::in_input("").key("/name").concurrency(1).collect());
    let saga: Saga<Value> = Saga::new("s").step(travellers);
    let run = given(saga).when(json!([{"name": "ada"}, {"name": "bob"}])).then(
        "group[ada]/passport done
         group[ada]/seat done
         group[bob]/passport done
         group[bob]/seat refused no_seat
         undo group[bob]/passport done
         completed",
    );
    let collected: Collected<String> = run.output();
    assert_eq!(collected.done().next(), Some(("ada", &"traveller group[ada]/seat ada".to_owned())));
    assert_eq!(
        collected.refused().map(|(name, failure)| (name, failure.code.as_str())).collect::<Vec<_>>(),
        [("bob", "no_seat")]
    );
}

#[test]
fn a_refused_child_that_waits_on_its_way_back_holds_up_nobody() {
    let slow = |_: Traveller, _: Option<()>, call: &Call| call.sleep(Duration::from_secs(60));
    let refuses_bob = |traveller: Traveller, _: &Call| match traveller.name.as_str() {
        "bob" => Err(refused("no", "not bob")),
        _ => Ok(()),
    };
    let child = Saga::new("traveller")
        .step(Step::compensatable("passport", done::<Traveller>).undo(slow))
        .step(Step::compensatable("seat", refuses_bob).undo(undo));
    let travellers = Step::child("group", child).each(Each::in_input("").key("/name").collect());
    let saga: Saga<Value> = Saga::new("s").step(travellers);
    given(saga)
        .when(json!([{"name": "bob"}, {"name": "eve"}]))
        .then(
            "group[bob]/passport done
             group[eve]/passport done
             group[bob]/seat refused no
             undo group[bob]/passport waits until +1min
             group[eve]/seat done",
        )
        .advance(Duration::from_secs(60))
        .then("undo group[bob]/passport done\ncompleted");
}

#[test]
fn the_outputs_of_a_childs_last_steps_are_its_output() {
    let child = Saga::new("child")
        .step(Step::retriable("one", |input: Value, _| Ok(input["x"].clone())))
        .step(Step::retriable("two", |_: Value, call| Ok(call.output::<u32>("one")? + 1)).needs(["one"]));
    let saga = Saga::new("s").parallel((Step::retriable_child("left", child), Step::retriable("right", done::<Value>)));
    let run = given(saga).when(json!({"x": 4})).then("left/one done\nright done\nleft/two done\ncompleted");
    assert_eq!(run.output::<Value>(), json!({"left": 5, "right": null}));
}
