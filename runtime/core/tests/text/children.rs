//! Child sagas: expanded in place under the path of their step, undone as one unit in their own reverse order.

use expect_test::expect;

use crate::check::check;

const BRANCHES: &str = "open | left(child left) ‖ right(child right) | last where left = a | b and right = c";

#[test]
fn tb_08_each_branch_is_undone_in_its_own_reverse_order_and_both_before_what_came_before_the_fork() {
    check(
        BRANCHES,
        "open done · left/a done · right/c done · left/b done · last refused no · undo right/c done · undo left/b done · show · undo left/a done · undo open done",
        expect![[r#"
            > start
              started
              intent open #1
            > open done
              done open #1
              intent left/a #1
              intent right/c #1
            > left/a done
              done left/a #1
              intent left/b #1
            > right/c done
              done right/c #1
            > left/b done
              done left/b #1
              intent last #1
            > last refused no
              refused last #1 no
              rollback_begun last refused no
              intent undo left/b #1
              intent undo right/c #1
            > undo right/c done
              undone undo right/c #1
            > undo left/b done
              undone undo left/b #1
              intent undo left/a #1
            > show
              compensating revision 17, rolls back: last refused no
              open done, 1 attempts from +0ms to +0ms
              left compensating from +0ms to +0ms
              left/a compensating, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms
              left/b compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              right compensated from +0ms to +0ms
              right/c compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              last refused, 1 attempts from +0ms to +0ms, no ×1
            > undo left/a done
              undone undo left/a #1
              intent undo open #1
            > undo open done
              undone undo open #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_branch_that_is_refused_half_way_is_undone_from_there_once_no_attempt_is_open() {
    check(
        BRANCHES,
        "open done · left/a done · left/b refused no · right/c done · undo left/a done · undo right/c done",
        expect![[r#"
            > start
              started
              intent open #1
            > open done
              done open #1
              intent left/a #1
              intent right/c #1
            > left/a done
              done left/a #1
              intent left/b #1
            > left/b refused no
              refused left/b #1 no
              rollback_begun left/b refused no
            > right/c done
              done right/c #1
              intent undo left/a #1
              intent undo right/c #1
            > undo left/a done
              undone undo left/a #1
            > undo right/c done
              undone undo right/c #1
              intent undo open #1
            = compensating, runs undo open, outstanding open
        "#]],
    );
}

#[test]
fn tb_20_a_refused_second_traveller_undoes_the_first_as_one_unit() {
    check(
        "first(child trip) | second(child trip) where trip = flight | hotel",
        "first/flight done · first/hotel done · second/flight done · second/hotel refused full · undo second/flight done · undo first/hotel done · undo first/flight done · show",
        expect![[r#"
            > start
              started
              intent first/flight #1
            > first/flight done
              done first/flight #1
              intent first/hotel #1
            > first/hotel done
              done first/hotel #1
              intent second/flight #1
            > second/flight done
              done second/flight #1
              intent second/hotel #1
            > second/hotel refused full
              refused second/hotel #1 full
              rollback_begun second/hotel refused full
              intent undo second/flight #1
            > undo second/flight done
              undone undo second/flight #1
              intent undo first/hotel #1
            > undo first/hotel done
              undone undo first/hotel #1
              intent undo first/flight #1
            > undo first/flight done
              undone undo first/flight #1
              compensated
            > show
              compensated revision 17, rolls back: second/hotel refused full
              first compensated from +0ms to +0ms
              first/flight compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              first/hotel compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              second compensated from +0ms
              second/flight compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              second/hotel refused, 1 attempts from +0ms to +0ms, full ×1
            = compensated
        "#]],
    );
}

#[test]
fn a_child_is_given_its_parents_input_and_its_output_is_its_last_steps() {
    check(
        r#"t(child trip) | pay*(needs t) ; input {"n":1} where trip = flight | hotel(needs flight)"#,
        r#"call t/flight · t/flight done {"seat":1} · call t/hotel · t/hotel done {"room":2} · call pay"#,
        expect![[r#"
            > start
              started
              intent t/flight #1
            > call t/flight
              now +0ms, began +0ms, until +30s, input {"n":1}
            > t/flight done {"seat":1}
              done t/flight #1 {"seat":1}
              intent t/hotel #1
            > call t/hotel
              now +0ms, began +0ms, until +30s, input {"n":1}, flight = {"seat":1}
            > t/hotel done {"room":2}
              done t/hotel #1 {"room":2}
              intent pay #1
            > call pay
              now +0ms, began +0ms, until +30s, input {"n":1}, t = {"room":2}
            = running, runs pay
        "#]],
    );
}

#[test]
fn a_child_whose_step_has_needs_is_given_both() {
    check(
        r#"quote | t(child trip, needs quote) | end ; input {"n":1} where trip = flight ‖ hotel"#,
        r#"quote done {"p":5} · call t/flight · t/flight done 1 · t/hotel done 2 · end done"#,
        expect![[r#"
            > start
              started
              intent quote #1
            > quote done {"p":5}
              done quote #1 {"p":5}
              intent t/flight #1
              intent t/hotel #1
            > call t/flight
              now +0ms, began +0ms, until +30s, input {"input":{"n":1},"outputs":{"quote":{"p":5}}}
            > t/flight done 1
              done t/flight #1 1
            > t/hotel done 2
              done t/hotel #1 2
              intent end #1
            > end done
              done end #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn children_have_children() {
    check(
        "a(child outer) | z where outer = b | c(child inner) | d and inner = e | f",
        "a/b done · a/c/e done · a/c/f done · a/d done · z refused no · undo a/d done · undo a/c/f done · undo a/c/e done · undo a/b done",
        expect![[r#"
            > start
              started
              intent a/b #1
            > a/b done
              done a/b #1
              intent a/c/e #1
            > a/c/e done
              done a/c/e #1
              intent a/c/f #1
            > a/c/f done
              done a/c/f #1
              intent a/d #1
            > a/d done
              done a/d #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo a/d #1
            > undo a/d done
              undone undo a/d #1
              intent undo a/c/f #1
            > undo a/c/f done
              undone undo a/c/f #1
              intent undo a/c/e #1
            > undo a/c/e done
              undone undo a/c/e #1
              intent undo a/b #1
            > undo a/b done
              undone undo a/b #1
              compensated
            = compensated
        "#]],
    );
}

#[test]
fn a_child_after_a_savepoint_begins_afresh() {
    check(
        "a !s | t(child trip) | z where trip = b | c",
        "a done · t/b done · t/c done · z refused no · undo t/c done · undo t/b done · t/b round 1 done · t/c round 1 done · z round 1 done",
        expect![[r#"
            > start
              started
              intent a #1
            > a done
              done a #1
              intent t/b #1
            > t/b done
              done t/b #1
              intent t/c #1
            > t/c done
              done t/c #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo t/c #1
            > undo t/c done
              undone undo t/c #1
              intent undo t/b #1
            > undo t/b done
              undone undo t/b #1
              round_begun 1 from s
              intent t/b round 1 #1
            > t/b round 1 done
              done t/b round 1 #1
              intent t/c round 1 #1
            > t/c round 1 done
              done t/c round 1 #1
              intent z round 1 #1
            > z round 1 done
              done z round 1 #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn a_step_of_a_child_has_alternates_and_the_child_goes_on() {
    check(
        "t(child trip) where trip = b(alternates 1) | c",
        "t/b refused full · t/b alternate 1 done · t/c done",
        expect![[r#"
            > start
              started
              intent t/b #1
            > t/b refused full
              refused t/b #1 full
              intent t/b alternate 1 #1
            > t/b alternate 1 done
              done t/b alternate 1 #1
              intent t/c #1
            > t/c done
              done t/c #1
              completed
            = completed
        "#]],
    );
}

#[test]
fn a_retriable_child_is_beyond_the_point_of_no_return_with_its_first_step() {
    check(
        "t>(child mail) where mail = a> | b>",
        "cancel · t/a done · t/b refused no · retry t · t/b done",
        expect![[r#"
            > start
              started
              intent t/a #1
            > cancel
              409 it is past its point of no return
            > t/a done
              done t/a #1
              intent t/b #1
            > t/b refused no
              refused t/b #1 no
              stuck t/b: refused no
            > retry t
              retried t/b
              intent t/b #2
            > t/b done
              done t/b #2
              completed
            = completed
        "#]],
    );
}

#[test]
fn verbs_name_steps_of_children_by_their_paths() {
    check(
        "t(child trip) | z where trip = b(undo tries 1) | c",
        "t/b done · t/c done · z refused no · skip t · undo t/c done · undo t/b transient x · skip t/b · show",
        expect![[r#"
            > start
              started
              intent t/b #1
            > t/b done
              done t/b #1
              intent t/c #1
            > t/c done
              done t/c #1
              intent z #1
            > z refused no
              refused z #1 no
              rollback_begun z refused no
              intent undo t/c #1
            > skip t
              409 only a stuck compensation can be skipped, and `t` has none; fits: abandon
            > undo t/c done
              undone undo t/c #1
              intent undo t/b #1
            > undo t/b transient x
              transient undo t/b #1 x
              stuck undo t/b: exhausted x
            > skip t/b
              skipped t/b
              compensated
            > show
              compensated revision 15, rolls back: z refused no
              t skipped from +0ms to +0ms
              t/b skipped, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms, x ×1
              t/c compensated, 1 attempts from +0ms to +0ms; undo, 1 attempts from +0ms to +0ms
              z refused, 1 attempts from +0ms to +0ms, no ×1
            = compensated, outstanding t/b
        "#]],
    );
}
