//! What the host would refuse at deploy is found by the author's own tests, with the step, the rule and the remedy.

use amends_sdk::testing::given;
use amends_sdk::{Call, Each, Module, Result, Retry, Saga, Step};

fn nothing(_: (), _: &Call) -> Result {
    Ok(())
}

fn undo(_: (), _: Option<()>, _: &Call) -> Result {
    Ok(())
}

fn step(name: &'static str) -> Step<amends_sdk::kind::Compensatable, (), ()> {
    Step::compensatable(name, nothing).undo(undo)
}

/// The one rule that this saga breaks.
#[track_caller]
fn broken(saga: Saga<()>) -> String {
    Module::new("m").saga(saga).check().expect_err("a broken rule").to_string()
}

#[test]
fn a_saga_that_keeps_the_rules_is_taken() {
    let child = Saga::new("child").step(step("inner"));
    let saga = Saga::new("s")
        .lock("seat", "/seat")
        .parallel((step("one").into_each(), Step::child("two", child)))
        .savepoint("booked")
        .rounds(2)
        .step(Step::pivot("charge", nothing))
        .step(Step::retriable("notify", nothing).needs(["one"]).each(Each::in_output("one", "/0").collect()));
    assert_eq!(Module::new("m").saga(saga).check(), Ok(()));
}

/// Names what a step of the list is about.
trait IntoEach {
    fn into_each(self) -> Step<amends_sdk::kind::FannedOut, (), ()>;
}

impl IntoEach for Step<amends_sdk::kind::Compensatable, (), ()> {
    fn into_each(self) -> Step<amends_sdk::kind::FannedOut, (), ()> {
        self.each(Each::in_input("/list").key("/id"))
    }
}

#[test]
fn steps_need_outputs_of_earlier_stages() {
    assert_eq!(
        broken(Saga::new("s").step(step("late").needs(["early"]))),
        "saga `s`, step `late`: it needs the output of `early`, which is no step of this saga"
    );
    assert_eq!(
        broken(Saga::new("s").parallel((step("a"), step("b").needs(["a"])))),
        "saga `s`, step `b`: it needs the output of `a`, which is not of an earlier stage"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).step(step("a"))),
        "saga `s`, step `a`: an earlier step has this name; names are unique in a saga"
    );
    assert_eq!(broken(Saga::new("s").step(step("a")).output("b")), "saga `s`: its output names a step that it does not have");
}

#[test]
fn kinds_come_in_their_order() {
    assert_eq!(
        broken(Saga::new("s").step(Step::pivot("p", nothing)).step(step("a"))),
        "saga `s`, step `a`: it is compensatable after the pivot `p`; put it before, or make it retriable"
    );
    assert_eq!(
        broken(Saga::new("s").parallel((Step::pivot("p", nothing), Step::retriable("r", nothing)))),
        "saga `s`, step `p`: it is a pivot and shares its stage; give it a stage of its own"
    );
    assert_eq!(
        broken(Saga::new("s").parallel((step("a"), Step::retriable("r", nothing)))),
        "saga `s`, step `r`: it is retriable and shares a stage with the compensatable step `a`; move it to a later stage"
    );
}

#[test]
fn policies_are_possible() {
    assert_eq!(
        broken(Saga::new("s").step(step("a").undo_retry(Retry::never().factor_percent(50)))),
        "saga `s`, step `a`: the compensation's delays shrink: the factor is at least 100 percent"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a").deadline(std::time::Duration::ZERO))),
        "saga `s`, step `a`: the step's deadline is 0 ms; it is 1 to 3600000 ms"
    );
}

#[test]
fn savepoints_stand_between_stages_before_the_point_of_no_return() {
    assert_eq!(
        broken(Saga::new("s").savepoint("early").step(step("a"))),
        "saga `s`: savepoint `early` has no step of its own before it; put it after one"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).savepoint("last")),
        "saga `s`: savepoint `last` has no step after it that could fail; put it before one"
    );
    assert_eq!(
        broken(Saga::new("s").step(Step::pivot("p", nothing)).savepoint("late").step(Step::retriable("r", nothing))),
        "saga `s`: savepoint `late` comes after the point of no return; put it before `p`"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).savepoint("x").step(step("b")).savepoint("x").step(step("c"))),
        "saga `s`: two savepoints are named `x`; give each its own name"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).rounds(1)),
        "saga `s`: it has rounds and no savepoint that one could begin at; add a savepoint, or leave them out"
    );
}

#[test]
fn children_are_of_the_kind_of_their_step() {
    let with_pivot = Saga::new("child").step(Step::pivot("p", nothing));
    assert_eq!(
        broken(Saga::new("s").step(Step::child("a", with_pivot))),
        "saga `s`, step `a`: it is compensatable, and step `p` of its child `child` is not; all steps of the child are"
    );
    let with_savepoint = Saga::new("child").step(step("x")).savepoint("mid").step(step("y"));
    assert_eq!(
        broken(Saga::new("s").step(Step::child("a", with_savepoint))),
        "saga `s`, step `a`: its child `child` has the savepoint `mid`; savepoints stand between stages of the saga itself"
    );
    let namesake = Saga::new("s").step(step("x"));
    assert_eq!(
        broken(Saga::new("s").step(Step::child("a", namesake))),
        "saga `s`: another saga of the module has this name; give each its own"
    );
}

#[test]
fn a_child_that_is_also_started_alone_is_one_saga() {
    let child = || Saga::new("child").step(step("x"));
    let parent = Saga::new("s").parallel([Step::child("a", child()), Step::child("b", child())]);
    assert_eq!(Module::new("m").saga(child()).saga(parent).check(), Ok(()));
}

#[test]
fn lists_and_locks_are_where_they_can_be() {
    let over = |each| Saga::new("s").step(step("a")).step(step("b").each(each));
    assert_eq!(
        broken(over(Each::in_output("c", "/list"))),
        "saga `s`, step `b`: its list is an output of `c`, which is no step of this saga"
    );
    assert_eq!(
        broken(over(Each::in_output("b", "/list"))),
        "saga `s`, step `b`: its list is an output of `b`, which is not of an earlier stage"
    );
    assert_eq!(
        broken(over(Each::in_input("list"))),
        "saga `s`, step `b`: its list `/inputlist` is in neither `/input` nor `/outputs/STEP`"
    );
    assert_eq!(
        broken(over(Each::in_input("/list").key("id"))),
        "saga `s`, step `b`: `id` is no JSON pointer; it is empty or begins with `/`, and writes `~` as `~0`"
    );
    assert_eq!(
        broken(Saga::new("s").lock("seat", "seat").step(step("a"))),
        "saga `s`: lock `seat`: `seat` is no JSON pointer; it is empty or begins with `/`, and writes `~` as `~0`"
    );
}

#[test]
#[should_panic(expected = "the host would not take this saga:\nsaga `s`, step `late`: it needs the output of `early`")]
fn a_test_of_a_saga_stops_at_a_broken_rule() {
    drop(given(Saga::new("s").step(step("late").needs(["early"]))));
}

#[test]
#[should_panic(expected = "lock `seat` finds no text or number at `/seat` of the input")]
fn a_start_whose_lock_finds_nothing_is_caught() {
    given(Saga::new("s").lock("seat", "/seat").step(step("a"))).when(serde_json::json!({"room": 7}));
}
