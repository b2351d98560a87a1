//! Fan-out over lists, and children, run in the test kit as the host would run them.

use std::time::Duration;

use amends_sdk::testing::{Run, given};
use amends_sdk::{
    Call, Collected, Done, Each, Failure, FromParent, Refused, Result, Retry, Saga, Step, kind, log, refused, transient, unknown,
};
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
    let saga: Saga<Value> = Saga::new("s").step(Step::retriable("pay", pay).each(Each::in_input("")));
    let run = given(saga).when(json!([])).then("completed");
    assert_eq!(run.output::<Value>(), json!([]));
}

#[test]
fn one_refused_element_refuses_the_step_and_those_that_had_begun_are_undone() {
    let pays = Step::compensatable("pay", pay).undo(undo).each(Each::in_input("/amounts").concurrency(2));
    let saga: Saga<Value> = Saga::new("s").step(pays);
    given(saga).when(json!({"amounts": [1, 2, 3, 0, 5, 6]})).then(
        "pay[0] done
         pay[1] done
         pay[2] done
         pay[3] refused nothing
         pay[4] done
         undo pay[4] done
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
    let done = |key: &str, output: &str| Done { key: key.to_owned(), output: output.to_owned() };
    let refused = Refused { key: "b".to_owned(), failure: Failure::new("nothing", "nothing to pay") };
    let collected = Collected { done: vec![done("a", "a=3"), done("7", "7=5")], refused: vec![refused] };
    assert_eq!(run.output::<Collected<String>>(), collected);
    let json = json!({
        "done": [{"key": "a", "output": "a=3"}, {"key": "7", "output": "7=5"}],
        "refused": [{"key": "b", "failure": {"code": "nothing", "message": "nothing to pay", "data": null}}],
    });
    assert_eq!(run.output::<Value>(), json);
}

#[test]
fn a_refused_element_that_may_have_run_is_undone_at_once_and_one_that_is_done_by_a_later_rollback() {
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
         undo pay[b] done
         report refused no
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
    run(json!({"bills": [bill("a", 1), bill("a", 2)]})).then("pay refused clashing_keys\ncompensated clashing_keys");
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
    assert_eq!((collected.done.len(), collected.refused.len()), (999, 1));
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
fn a_child_gets_outputs_of_its_parent_where_its_step_says_so() {
    #[derive(Deserialize)]
    struct Outputs {
        quote: u32,
    }
    let seat = |given: FromParent<String, Outputs>, call: &Call| {
        assert_eq!((call.definition(), call.element()), ("s", Some(given.input.as_str())));
        Ok(format!("{} pays {}", given.input, given.outputs.quote))
    };
    let child = Saga::new("child").step(Step::compensatable("seat", seat).undo(undo));
    let quote = Step::compensatable("quote", |_: Value, _| Ok(90)).undo_nothing();
    let seats = Step::child("seats", child).with_outputs_of(["quote"]).each(Each::in_input("").key(""));
    let run = given(Saga::new("s").step(quote).step(seats)).when(["ada", "bob"]);
    assert_eq!(run.output::<Vec<String>>(), ["ada pays 90", "bob pays 90"]);
}

#[test]
fn keys_that_mean_something_in_a_path_are_escaped_there() {
    let steps = Step::retriable("call", done::<String>).each(Each::in_input("").key(""));
    let saga: Saga<Value> = Saga::new("s").step(steps);
    given(saga).when(["a]/b[c d%"]).then("call[a%5D%2Fb%5Bc%20d%25] done\ncompleted");
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
