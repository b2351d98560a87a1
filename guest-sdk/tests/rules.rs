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
        "saga `s`: no step of its own comes before its savepoint `early`; put it after one"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).savepoint("last")),
        "saga `s`: nothing follows its savepoint `last`; leave it out"
    );
    assert_eq!(
        broken(Saga::new("s").step(Step::pivot("p", nothing)).savepoint("late").step(Step::retriable("r", nothing))),
        "saga `s`, step `p`: the savepoint `late` stands after it, and there is no way back to there; put it before"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).savepoint("x").step(step("b")).savepoint("x").step(step("c"))),
        "saga `s`: it has two savepoints `x`; names are unique"
    );
    assert_eq!(
        broken(Saga::new("s").step(step("a")).savepoint("x").rounds(101).step(step("b"))),
        "saga `s`: it allows 101 more rounds; at most 100"
    );
}

#[test]
fn alternates_have_a_limit() {
    let many = (0..17).fold(step("a"), |step, _| step.alternate(nothing).undo_alternate(undo));
    assert_eq!(
        broken(Saga::new("s").step(many)),
        "saga `s`, step `a`: it has 17 alternates of its compensation; at most 16 are tried\n\
         saga `s`, step `a`: it has 17 alternates; at most 16 are tried"
    );
}

#[test]
fn children_are_of_the_kind_of_their_step() {
    let with_pivot = Saga::new("child").step(Step::pivot("p", nothing));
    assert_eq!(
        broken(Saga::new("s").step(Step::child("a", with_pivot))),
        "saga `s`, step `a`: it is compensatable, and its child `child` has the pivot step `p`; a child's steps are of its kind"
    );
    let with_savepoint = Saga::new("child").step(step("x")).savepoint("mid").step(step("y"));
    assert_eq!(
        broken(Saga::new("s").step(Step::child("a", with_savepoint))),
        "saga `s`, step `a`: its child `child` has a savepoint; they stand between the stages of the saga itself"
    );
    let collected = Step::child("a", Saga::new("child").step(step("x"))).each(Each::in_input("").collect());
    assert_eq!(
        broken(Saga::new("s").step(collected)),
        "saga `s`, step `a`: it collects the ends of sagas; a child that is refused is rolled back with its saga: fan out fail-fast"
    );
}

#[test]
fn sagas_with_their_children_are_neither_too_deep_nor_too_large() {
    let nested = |levels: u32| {
        let inner = Saga::new("s0").step(step("x"));
        (1..=levels).fold(inner, |saga, level| Saga::new(format!("s{level}")).step(Step::child("inner", saga)))
    };
    assert_eq!(Module::new("m").saga(nested(8)).check(), Ok(()));
    assert_eq!(broken(nested(9)), "saga `s9`: its children are nested deeper than 8; flatten them");
    let ten = || (0..10).fold(Saga::new("ten"), |saga, number| saga.step(step(format!("x{number}").leak())));
    let many = (0..24).fold(Saga::new("s"), |saga, number| saga.step(Step::child(format!("c{number}"), ten())));
    assert_eq!(broken(many), "saga `s`: it has more than 256 steps");
}

#[test]
fn two_sagas_of_one_name_are_told_apart() {
    let other = Saga::new("other").step(Step::child("a", Saga::new("s").step(step("x"))));
    let problems = Module::new("m").saga(Saga::new("s").step(step("y"))).saga(other).check().expect_err("two sagas s");
    assert_eq!(problems.to_string(), "saga `s`: another saga of the module has this name; give each its own");
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
        "saga `s`, step `b`: its list is in the output of `c`, which is no step of an earlier stage"
    );
    assert_eq!(
        broken(over(Each::in_output("b", "/list"))),
        "saga `s`, step `b`: its list is in the output of `b`, which is no step of an earlier stage"
    );
    assert_eq!(
        broken(over(Each::in_input("list"))),
        "saga `s`, step `b`: its list is at no pointer that begins with /input or /outputs/<step>"
    );
    assert_eq!(
        broken(over(Each::in_input("/list").key("id"))),
        "saga `s`, step `b`: `id` is no JSON pointer; it is empty or begins with `/`, and writes `~` as `~0`"
    );
    assert_eq!(
        broken(Saga::new("s").lock("seat", "seat").step(step("a"))),
        "saga `s`: its lock key `seat`: `seat` is no JSON pointer; it is empty or begins with `/`, and writes `~` as `~0`"
    );
    assert_eq!(
        broken(Saga::new("s").lock("seat", "/seat").lock("seat", "/seat").step(step("a"))),
        "saga `s`: it has the lock key `seat` twice"
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

#[test]
fn an_event_that_starts_a_saga_can_be_published_and_starts_it_once() {
    let saga = |types: &[&str]| types.iter().fold(Saga::new("s").step(step("a")), |saga, event| saga.started_by(*event));
    assert_eq!(Module::new("m").saga(saga(&["order.placed", "order.changed"])).check(), Ok(()));
    assert_eq!(
        broken(saga(&["order.placed", "order.placed"])),
        "saga `s`: the event `order.placed` starts it twice; say it once"
    );
    assert_eq!(broken(saga(&[""])), "saga `s`: nobody can publish an event ``; a type has 1 to 255 printable bytes");
    let many: Vec<String> = (0..65).map(|number| format!("t{number}")).collect();
    assert_eq!(
        broken(saga(&many.iter().map(String::as_str).collect::<Vec<_>>())),
        "saga `s`: with it, events start sagas of its module in 65 ways; at most 64"
    );
}
