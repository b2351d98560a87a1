//! Lock keys, as one saga sees them; who comes first is the engine's to know.

use expect_test::expect;

use crate::check::check;

const ORDER: &str = r#"a | b ; lock order /id, lock seat /seat, input {"id":7,"seat":"12A"}"#;

#[test]
fn a_saga_begins_when_all_its_keys_are_its_own() {
    check(
        ORDER,
        "locks taken · a done · b done · locks taken",
        expect![[r#"
        > start
          started
        > locks taken
          lock_taken
          intent a #1
        > a done
          done a #1
          intent b #1
        > b done
          done b #1
          completed
        > locks taken
        = completed
    "#]],
    );
}

#[test]
fn a_saga_that_is_queued_waits_and_does_not_begin() {
    check(
        ORDER,
        "locks queued order/7 · locks queued seat/12A · +1h · locks taken · locks taken",
        expect![[r#"
        > start
          started
        > locks queued order/7
          lock_queued order/7
        > locks queued seat/12A
        > +1h
        > locks taken
          lock_taken
          intent a #1
        > locks taken
        = running, runs a
    "#]],
    );
}

#[test]
fn the_deadline_of_a_queued_saga_runs() {
    check(
        r#"a | b ; deadline 10s, lock order /id, input {"id":7}"#,
        "locks queued order/7 · +10s · locks taken",
        expect![[r#"
        > start
          started
        > locks queued order/7
          lock_queued order/7
        > +10s
          cancel_requested deadline
          rollback_begun deadline
          compensated
        > locks taken
        = compensated
    "#]],
    );
}

#[test]
fn a_queued_saga_is_cancelled_without_having_begun() {
    check(
        ORDER,
        "locks queued order/7 · unlock order/7 · cancel",
        expect![[r#"
            > start
              started
            > locks queued order/7
              lock_queued order/7
            > unlock order/7
              409 it does not hold the lock key `order/7`; it holds none; fits: cancel, abandon
            > cancel
              cancel_requested asked
              rollback_begun cancelled
              compensated
            = compensated
        "#]],
    );
    check(
        ORDER,
        "locks queued order/7 · abandon",
        expect![[r#"
        > start
          started
        > locks queued order/7
          lock_queued order/7
        > abandon
          abandoned
        = abandoned
    "#]],
    );
}

#[test]
fn an_operator_breaks_a_key_once_and_the_saga_goes_on() {
    check(
        ORDER,
        "locks taken · unlock seat/1 · unlock seat/12A · unlock seat/12A · a done · b done · unlock order/7",
        expect![[r#"
            > start
              started
            > locks taken
              lock_taken
              intent a #1
            > unlock seat/1
              409 it does not hold the lock key `seat/1`; it holds order/7, seat/12A; fits: cancel, unlock, abandon
            > unlock seat/12A
              lock_broken seat/12A
            > unlock seat/12A
            > a done
              done a #1
              intent b #1
            > b done
              done b #1
              completed
            > unlock order/7
              409 it has ended
            = completed
        "#]],
    );
}
