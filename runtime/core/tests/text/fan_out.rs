//! Fan-out over a list that is known only at run time.

use amends_core::{
    Context, Input, Payload, Room, Saga,
    outcome::{Left, Outcome, Report},
    view::Status,
};
use expect_test::expect;

use crate::{
    check::check,
    play::Play,
    script::{Given, T0, failure, moves},
};

const ROOMS: &str = r#"; input {"rooms":[{"id":"r1"},{"id":"r2"},{"id":"r3"}]}"#;

#[test]
fn each_element_is_a_step_with_its_own_input_and_path() {
    check(
        &format!("book(each /input/rooms by /id) {ROOMS}"),
        "call book[r2] · book[r2] done 2 · book[r1] done 1 · book[r3] done 3 · show",
        expect![[r#"
            > start
              started
              listed book: r1, r2, r3
              intent book[r1] #1
              intent book[r2] #1
              intent book[r3] #1
            > call book[r2]
              now +0ms, began +0ms, until +30s, element r2, input {"id":"r2"}
            > book[r2] done 2
              done book[r2] #1 2
            > book[r1] done 1
              done book[r1] #1 1
            > book[r3] done 3
              done book[r3] #1 3
              completed
            > show
              completed revision 9, output [1,2,3]
              book done, 3 elements, 3 settled, 0 refused, 0 moving from +0ms to +0ms
              book[r1] done, 1 attempts from +0ms to +0ms
              book[r2] done, 1 attempts from +0ms to +0ms
              book[r3] done, 1 attempts from +0ms to +0ms
            = completed
        "#]],
    );
}

#[test]
fn at_most_so_many_elements_run_at_once_both_ways() {
    check(
        &format!("book(each /input/rooms by /id, at once 2) | z {ROOMS}"),
        "book[r1] transient busy · book[r2] done · +1s · book[r3] done · book[r1] done · z refused no · undo book[r3] done · undo book[r1] done · undo book[r2] done",
        expect![[r#"
            > start
              started
              listed book: r1, r2, r3
              intent book[r1] #1
              intent book[r2] #1
            > book[r1] transient busy
              transient book[r1] #1 busy
              backoff book[r1] until +1s
            > book[r2] done
              done book[r2] #1
              intent book[r3] #1
            > +1s
              intent book[r1] #2
            > book[r3] done
              done book[r3] #1
            > book[r1] done
              done book[r1] #2
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo book[r2] #1
              intent undo book[r3] #1
            > undo book[r3] done
              undone undo book[r3] #1
              intent undo book[r1] #1
            > undo book[r1] done
              undone undo book[r1] #1
            > undo book[r2] done
              undone undo book[r2] #1
              compensated
            = compensated
        "#]],
    );
}

/// The kind: a place in a fan-out was given away between two records. Between the record of a failure and that of its backoff no leg
/// of the element is live; the next element became ready then and had no place. So the time that its guest was told was too early,
/// and a `sleep` too short; and in a rollback it took the place of one that waited. Found by playing the same sagas through the
/// SDK's test kit.
#[test]
fn the_time_of_an_element_begins_with_its_place() {
    check(
        &format!("book(each /input/rooms by /id, at once 1) {ROOMS}"),
        "book[r1] transient busy · +1s · book[r1] done · call book[r2]",
        expect![[r#"
            > start
              started
              listed book: r1, r2, r3
              intent book[r1] #1
            > book[r1] transient busy
              transient book[r1] #1 busy
              backoff book[r1] until +1s
            > +1s
              intent book[r1] #2
            > book[r1] done
              done book[r1] #2
              intent book[r2] #1
            > call book[r2]
              now +1s, began +1s, until +31s, element r2, input {"id":"r2"}
            = running, runs book[r2]
        "#]],
    );
}

#[test]
fn an_element_that_waits_in_its_compensation_keeps_its_place() {
    check(
        &format!("book(each /input/rooms by /id, at once 1) | z {ROOMS}"),
        "book[r1] done · book[r2] done · book[r3] done · z refused no · undo book[r3] transient busy · +1s · undo book[r3] waits for 5s · +5s · undo book[r3] done · call undo book[r2]",
        expect![[r#"
            > start
              started
              listed book: r1, r2, r3
              intent book[r1] #1
            > book[r1] done
              done book[r1] #1
              intent book[r2] #1
            > book[r2] done
              done book[r2] #1
              intent book[r3] #1
            > book[r3] done
              done book[r3] #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo book[r3] #1
            > undo book[r3] transient busy
              transient undo book[r3] #1 busy
              backoff undo book[r3] until +1s
            > +1s
              intent undo book[r3] #2
            > undo book[r3] waits for 5s
              wait undo book[r3] #2 for +6s
            > +5s
              timer_fired undo book[r3]
              intent undo book[r3] #3
            > undo book[r3] done
              undone undo book[r3] #3
              intent undo book[r2] #1
            > call undo book[r2]
              now +6s, began +6s, until +36s, element r2, input {"id":"r2"}, own output null, because z refused no
            = compensating, runs undo book[r2], outstanding book[r1], book[r2]
        "#]],
    );
}

#[test]
fn fail_fast_one_refusal_is_the_steps() {
    check(
        &format!("a | book(each /input/rooms by /id, at once 2) {ROOMS}"),
        "a done · book[r1] done · book[r2] refused full · book[r3] done · undo book[r3] done · undo book[r1] done · undo a done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              listed book: r1, r2, r3
              intent book[r1] #1
              intent book[r2] #1
            > book[r1] done
              done book[r1] #1
              intent book[r3] #1
            > book[r2] refused full
              refused book[r2] #1 full
              rollback_begun book[r2] refused full
            > book[r3] done
              done book[r3] #1
              intent undo book[r1] #1
              intent undo book[r3] #1
            > undo book[r3] done
              undone undo book[r3] #1
            > undo book[r1] done
              undone undo book[r1] #1
              intent undo a #1
            > undo a done
              undone undo a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn collect_is_done_when_every_element_is_done_or_refused() {
    check(
        &format!("out(each /input/rooms by /id, collect, undo nothing) {ROOMS}"),
        "out[r1] done 1 · out[r2] refused busy · show · out[r3] done · show",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
              intent out[r2] #1
              intent out[r3] #1
            > out[r1] done 1
              done out[r1] #1 1
            > out[r2] refused busy
              refused out[r2] #1 busy
            > show
              running revision 7
              out running, 3 elements, 2 settled, 1 refused, 1 moving from +0ms
              out[r1] done, 1 attempts from +0ms to +0ms
              out[r2] refused, 1 attempts from +0ms to +0ms, busy ×1
              out[r3] running, may have run, 1 attempts from +0ms
            > out[r3] done
              done out[r3] #1
              completed
            > show
              completed revision 9, output {"done":[{"key":"r1","output":1},{"key":"r3","output":null}],"refused":[{"key":"r2","failure":{"code":"busy","message":"","data":null}}]}
              out done, 3 elements, 3 settled, 1 refused, 0 moving from +0ms to +0ms
              out[r1] done, 1 attempts from +0ms to +0ms
              out[r2] refused, 1 attempts from +0ms to +0ms, busy ×1
              out[r3] done, 1 attempts from +0ms to +0ms
            = completed
        "#]],
    );
}

/// The outputs of all elements were in memory twice, as theirs and in the output of the fan-out, and may be as large as a journal.
#[test]
fn c2_29_the_output_of_an_element_is_a_part_of_the_fan_outs() {
    for collect in ["", ", collect, undo nothing"] {
        let given = Given::new(&format!("out(each /input/rooms by /id{collect}) {ROOMS}"));
        let mut play = Play::start(&given);
        for step in moves("out[r2] done 22 · out[r1] done 1 · out[r3] done 333") {
            play.play(&step).unwrap();
        }
        let view = play.saga.view();
        let whole = view.output.clone().unwrap().bytes;
        for (step, expected) in view.steps.iter().skip(1).zip(["1", "22", "333"]) {
            let own = step.output.as_ref().unwrap().bytes.clone();
            assert_eq!(own, expected);
            assert!(whole.as_ptr_range().contains(&own.as_ptr()), "{} is a copy", step.path);
        }
        assert_eq!(play.replayed().unwrap(), play.saga);
    }
}

#[test]
fn a_later_rollback_undoes_the_collected_that_are_done() {
    check(
        &format!("out(each /input/rooms by /id, collect) | z {ROOMS}"),
        "out[r1] done · out[r2] refused no · out[r3] traps unanswered · +1s · out[r3] refused no · undo out[r3] done · z refused no · undo out[r1] done",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
              intent out[r2] #1
              intent out[r3] #1
            > out[r1] done
              done out[r1] #1
            > out[r2] refused no
              refused out[r2] #1 no
            > out[r3] traps trap unanswered
              unknown out[r3] #1 trap
              backoff out[r3] until +1s
            > +1s
              intent out[r3] #2
            > out[r3] refused no
              refused out[r3] #2 no
              intent undo out[r3] #1
            > undo out[r3] done
              undone undo out[r3] #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo out[r1] #1
            > undo out[r1] done
              undone undo out[r1] #1
              compensated
            = compensated
        "#]],
    );
}

/// The kind: the mark `may have run` counted everywhere but in `collect`. A refusal is about one attempt; the attempt before it may
/// have taken the room. As a plain result it left an effect that nobody undid and no list of outstanding effects named.
#[test]
fn c2_33_a_refused_element_that_may_have_run_is_undone_before_it_is_a_result() {
    check(
        &format!("out(each /input/rooms by /id, collect, at once 2) {ROOMS}"),
        "out[r1] unknown lost · out[r2] refused no · +1s · out[r1] refused no · show · out[r3] done · undo out[r1] transient busy · +1s · undo out[r1] done · show",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
              intent out[r2] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > out[r2] refused no
              refused out[r2] #1 no
              intent out[r3] #1
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              intent undo out[r1] #1
            > show
              running revision 11
              out compensating, 3 elements, 1 settled, 1 refused, 2 moving from +0ms
              out[r1] compensating, may have run, 2 attempts from +0ms to +1s, lost ×1, no ×1; undo, 1 attempts from +1s
              out[r2] refused, 1 attempts from +0ms to +0ms, no ×1
              out[r3] running, may have run, 1 attempts from +0ms
            > out[r3] done
              done out[r3] #1
            > undo out[r1] transient busy
              transient undo out[r1] #1 busy
              backoff undo out[r1] until +2s
            > +1s
              intent undo out[r1] #2
            > undo out[r1] done
              undone undo out[r1] #2
              completed
            > show
              completed revision 17, output {"done":[{"key":"r3","output":null}],"refused":[{"key":"r1","failure":{"code":"no","message":"","data":null}},{"key":"r2","failure":{"code":"no","message":"","data":null}}]}
              out done, 3 elements, 3 settled, 2 refused, 0 moving from +0ms to +2s
              out[r1] refused, may have run, 2 attempts from +0ms to +1s, lost ×1, no ×1; undo, 2 attempts from +1s to +2s, busy ×1
              out[r2] refused, 1 attempts from +0ms to +0ms, no ×1
              out[r3] done, 1 attempts from +0ms to +1s
            = completed
        "#]],
    );
}

#[test]
fn c2_33_what_leaves_nothing_to_undo_is_a_result_at_once() {
    check(
        &format!("out(each /input/rooms by /id, collect, at once 1, undo nothing) {ROOMS}"),
        "out[r1] unknown lost · +1s · out[r1] refused no · out[r2] refused no",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              intent out[r2] #1
            > out[r2] refused no
              refused out[r2] #1 no
              intent out[r3] #1
            = running, runs out[r3]
        "#]],
    );
}

#[test]
fn c2_33_a_compensation_of_a_refused_element_that_is_given_up_stays_outstanding() {
    check(
        &format!("out(each /input/rooms by /id, collect, at once 1, undo tries 1) {ROOMS}"),
        "out[r1] unknown lost · +1s · out[r1] refused no · undo out[r1] transient busy · out[r2] done · out[r3] done · skip out[r1] · show",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              intent undo out[r1] #1
            > undo out[r1] transient busy
              transient undo out[r1] #1 busy
              stuck undo out[r1]: exhausted busy
              intent out[r2] #1
            > out[r2] done
              done out[r2] #1
              intent out[r3] #1
            > out[r3] done
              done out[r3] #1
            > skip out[r1]
              skipped out[r1]
              completed
            > show
              completed revision 16, output {"done":[{"key":"r2","output":null},{"key":"r3","output":null}],"refused":[{"key":"r1","failure":{"code":"no","message":"","data":null}}]}
              out done, 3 elements, 3 settled, 1 refused, 0 moving from +0ms to +1s
              out[r1] skipped, may have run, 2 attempts from +0ms to +1s, lost ×1, no ×1; undo, 1 attempts from +1s to +1s, busy ×1
              out[r2] done, 1 attempts from +1s to +1s
              out[r3] done, 1 attempts from +1s to +1s
            = completed, outstanding out[r1]
        "#]],
    );
}

#[test]
fn c2_33_a_refused_element_without_a_compensation_that_may_have_run_is_stuck_until_somebody_says_what_happened() {
    check(
        &format!("out>(each /input/rooms by /id, collect, at once 1) {ROOMS}"),
        "out[r1] unknown lost · +1s · out[r1] refused no · out[r2] refused no · out[r3] done · resolve out[r1] not-done · show",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              stuck out[r1]: refused no
              intent out[r2] #1
            > out[r2] refused no
              refused out[r2] #1 no
              intent out[r3] #1
            > out[r3] done
              done out[r3] #1
            > resolve out[r1] not-done
              resolved out[r1] not-done
              completed
            > show
              completed revision 14, past the point of no return, output {"done":[{"key":"r3","output":null}],"refused":[{"key":"r1","failure":{"code":"no","message":"","data":null}},{"key":"r2","failure":{"code":"no","message":"","data":null}}]}
              out done, 3 elements, 3 settled, 2 refused, 0 moving from +0ms to +1s
              out[r1] refused, by hand, 2 attempts from +0ms to +1s, lost ×1, no ×1
              out[r2] refused, 1 attempts from +1s to +1s, no ×1
              out[r3] done, 1 attempts from +1s to +1s
            = completed, manual 1
        "#]],
    );
    check(
        &format!("out>(each /input/rooms by /id, collect, at once 1, alternates 1) {ROOMS}"),
        "out[r1] unknown lost · +1s · out[r1] refused no · resolve out[r1] done 7",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              stuck out[r1]: refused no
              intent out[r2] #1
            > resolve out[r1] done 7
              resolved out[r1] done 7
            = running, runs out[r2], manual 1
        "#]],
    );
}

#[test]
fn c2_33_a_rollback_takes_over_the_compensation_of_a_refused_element() {
    check(
        &format!("a ‖ out(each /input/rooms by /id, collect, at once 1) {ROOMS}"),
        "out[r1] unknown lost · +1s · out[r1] refused no · a refused full · undo out[r1] done",
        expect![[r#"
            > start
              started
              intent a #1
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] unknown lost
              unknown out[r1] #1 lost
              backoff out[r1] until +1s
            > +1s
              intent out[r1] #2
            > out[r1] refused no
              refused out[r1] #2 no
              intent undo out[r1] #1
            > a refused full
              refused a #1 full
              rollback_begun a refused full
            > undo out[r1] done
              undone undo out[r1] #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_refused_element_of_a_retriable_step_is_a_result_too() {
    check(
        &format!("pay* | out>(each /input/rooms by /id, collect) {ROOMS}"),
        "pay done · out[r1] refused no · out[r2] done · out[r3] done",
        expect![[r#"
        > start
          started
          intent pay #1
        > pay done
          done pay #1
          listed out: r1, r2, r3
          intent out[r1] #1
          intent out[r2] #1
          intent out[r3] #1
        > out[r1] refused no
          refused out[r1] #1 no
        > out[r2] done
          done out[r2] #1
        > out[r3] done
          done out[r3] #1
          completed
        = completed
    "#]],
    );
}

#[test]
fn an_element_tries_its_alternates() {
    check(
        &format!("out(each /input/rooms by /id, collect, alternates 1, at once 1) {ROOMS}"),
        "out[r1] refused no · out[r1] alternate 1 refused no · out[r2] refused no · out[r2] alternate 1 done",
        expect![[r#"
            > start
              started
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] refused no
              refused out[r1] #1 no
              intent out[r1] alternate 1 #1
            > out[r1] alternate 1 refused no
              refused out[r1] alternate 1 #1 no
              intent out[r2] #1
            > out[r2] refused no
              refused out[r2] #1 no
              intent out[r2] alternate 1 #1
            > out[r2] alternate 1 done
              done out[r2] alternate 1 #1
              intent out[r3] #1
            = running, runs out[r3]
        "#]],
    );
}

#[test]
fn the_list_may_be_an_earlier_output_and_an_empty_one_is_done_at_once() {
    check(
        "find | book(each /outputs/find/found) | z",
        r#"find done {"found":[7,8]} · call book[1] · book[0] done · book[1] done"#,
        expect![[r#"
        > start
          started
          intent find #1
        > find done {"found":[7,8]}
          done find #1 {"found":[7,8]}
          listed book: 0, 1
          intent book[0] #1
          intent book[1] #1
        > call book[1]
          now +0ms, began +0ms, until +30s, element 1, input 8
        > book[0] done
          done book[0] #1
        > book[1] done
          done book[1] #1
          intent z #1
        = running, runs z
    "#]],
    );
    check(
        "find | book(each /outputs/find) | z>(each /outputs/find)",
        "find done []",
        expect![[r#"
        > start
          started
          intent find #1
        > find done []
          done find #1 []
          listed book:
          listed z:
          completed
        = completed
    "#]],
    );
}

#[test]
fn equal_keys_are_one_element_and_a_list_that_cannot_be_used_refuses_the_step() {
    check(
        r#"b(each /input) ; input ["x","x","y"]"#,
        "b[0] done",
        expect![[r#"
        > start
          started
          listed b: 0, 1, 2
          intent b[0] #1
          intent b[1] #1
          intent b[2] #1
        > b[0] done
          done b[0] #1
        = running, runs b[1], b[2]
    "#]],
    );
    check(
        r#"b(each /input by /k) ; input [{"k":"x/y"},{"k":"x/y"}]"#,
        "b[x%2Fy] done",
        expect![[r#"
        > start
          started
          listed b: x/y
          intent b[x%2Fy] #1
        > b[x%2Fy] done
          done b[x%2Fy] #1
          completed
        = completed
    "#]],
    );
    check(
        r#"a | b(each /input by /k) ; input [{"k":1},{"k":1,"n":2}]"#,
        "a done",
        expect![[r#"
        > start
          started
          intent a #1
        > a done
          done a #1
          rollback_begun b refused clashing_keys
          intent undo a #1
        = compensating, runs undo a, outstanding a
    "#]],
    );
    check(
        r#"a | b(each /input/x)"#,
        "a done · show",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              rollback_begun b refused no_list
              intent undo a #1
            > show
              compensating revision 5, rolls back: b refused no_list
              a compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
              b refused to +0ms
            = compensating, runs undo a, outstanding a
        "#]],
    );
    check(
        "pay* | b>(each /input)",
        "pay done · retry · resolve b done",
        expect![[r#"
        > start
          started
          intent pay #1
        > pay done
          done pay #1
          stuck b: refused no_list
        > retry
          retried b
          stuck b: refused no_list
        > resolve b done
          409 `b` is not stuck, waiting, backing off or in doubt on the way forward; fits: retry, abandon
        = stuck, stuck b: refused no_list
    "#]],
    );
}

#[test]
fn a_stuck_element_leaves_its_place_to_others_and_takes_one_again() {
    check(
        &format!("pay* | out>(each /input/rooms by /id, at once 1) {ROOMS}"),
        "pay done · out[r1] refused no · out[r2] refused no · retry out · out[r3] done · out[r1] done · out[r2] done",
        expect![[r#"
            > start
              started
              intent pay #1
            > pay done
              done pay #1
              listed out: r1, r2, r3
              intent out[r1] #1
            > out[r1] refused no
              refused out[r1] #1 no
              stuck out[r1]: refused no
              intent out[r2] #1
            > out[r2] refused no
              refused out[r2] #1 no
              stuck out[r2]: refused no
              intent out[r3] #1
            > retry out
              retried out[r1], out[r2]
            > out[r3] done
              done out[r3] #1
              intent out[r1] #2
            > out[r1] done
              done out[r1] #2
              intent out[r2] #2
            > out[r2] done
              done out[r2] #2
              completed
            = completed
        "#]],
    );
}

#[test]
fn an_element_may_be_a_child() {
    check(
        &format!("t(child trip, each /input/rooms by /id, at once 2) | z {ROOMS} where trip = a | b"),
        "call t[r1]/a · t[r1]/a done · t[r1]/b done 1 · t[r2]/a done · t[r3]/a done · t[r2]/b done · t[r3]/b refused no · undo t[r3]/a done · undo t[r2]/b done · undo t[r1]/b done · undo t[r2]/a done · undo t[r1]/a done",
        expect![[r#"
            > start
              started
              listed t: r1, r2, r3
              intent t[r1]/a #1
              intent t[r2]/a #1
            > call t[r1]/a
              now +0ms, began +0ms, until +30s, element r1, input {"id":"r1"}
            > t[r1]/a done
              done t[r1]/a #1
              intent t[r1]/b #1
            > t[r1]/b done 1
              done t[r1]/b #1 1
              intent t[r3]/a #1
            > t[r2]/a done
              done t[r2]/a #1
              intent t[r2]/b #1
            > t[r3]/a done
              done t[r3]/a #1
              intent t[r3]/b #1
            > t[r2]/b done
              done t[r2]/b #1
            > t[r3]/b refused no
              refused t[r3]/b #1 no
              rollback_begun t[r3]/b refused no
              intent undo t[r2]/b #1
              intent undo t[r3]/a #1
            > undo t[r3]/a done
              undone undo t[r3]/a #1
              intent undo t[r1]/b #1
            > undo t[r2]/b done
              undone undo t[r2]/b #1
              intent undo t[r2]/a #1
            > undo t[r1]/b done
              undone undo t[r1]/b #1
              intent undo t[r1]/a #1
            > undo t[r2]/a done
              undone undo t[r2]/a #1
            > undo t[r1]/a done
              undone undo t[r1]/a #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_new_round_lists_anew_and_the_same_element_has_another_key() {
    check(
        "a !s | find | b(each /outputs/find) | z",
        "a done · find done [1] · b[0] done · z refused no · undo b[0] done · undo find done · find round 1 done [1,2] · b[0] round 1 done · b[1] round 1 done · show",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent find #1
            > find done [1]
              done find #1 [1]
              listed b: 0
              intent b[0] #1
            > b[0] done
              done b[0] #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo b[0] #1
            > undo b[0] done
              undone undo b[0] #1
              intent undo find #1
            > undo find done
              undone undo find #1
              round_begun 1 from s
              intent find round 1 #1
            > find round 1 done [1,2]
              done find round 1 #1 [1,2]
              listed b: 0, 1
              intent b[0] round 1 #1
              intent b[1] round 1 #1
            > b[0] round 1 done
              done b[0] round 1 #1
            > b[1] round 1 done
              done b[1] round 1 #1
              intent z round 1 #1
            > show
              running revision 24, round 1
              a done, 1 attempts from +0ms to +0ms
              find done, alternate 0 of round 0 compensated, 1 attempts from +0ms to +0ms
              b done, 2 elements, 2 settled, 0 refused, 0 moving from +0ms to +0ms
              b[0] done, alternate 0 of round 0 compensated, 1 attempts from +0ms to +0ms
              b[1] done, 1 attempts from +0ms to +0ms
              z running, alternate 0 of round 0 refused no, may have run, 1 attempts from +0ms
            = running, runs z round 1
        "#]],
    );
}

/// Each event costs what it changes and not what there is: with a scan of all elements an event this would take minutes.
#[test]
fn ten_thousand_elements_are_done_and_undone() {
    let n = 10_000;
    let list = format!("[{}]", (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let given = Given::new(&format!("b(each /input, at once 50) | z ; input {list}"));
    let context = Context { now: T0, jitter: 0, may_reach_outside: true, snapshot: 1, journal: Room::Free };
    let (mut saga, mut history) = Saga::start(given.plan(), given.started(), context);
    while !saga.is_ended() {
        let open = saga.effects().run;
        assert!(open.len() <= 50, "{} at once", open.len());
        let attempt = open[0].attempt.clone();
        let refused = attempt.leg.path.as_str() == "z";
        let outcome = if refused { Outcome::Refused(failure("no")) } else { Outcome::Done(Payload::null()) };
        history
            .extend(saga.handle(Input::Report(Report { attempt, outcome, left: Left::Answered, messages: Vec::new() }), context));
    }
    assert_eq!(saga.status(), Status::Compensated);
    assert_eq!(history.len(), 1 + 1 + 2 * n + 3 + 2 * n + 1);
    assert_eq!(Saga::replay(given.plan(), history.into_iter().map(|event| (T0, event))), Ok(saga));
}
