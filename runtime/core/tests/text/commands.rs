//! Commands that undo commands: what they say, and that it is the same in every attempt.

use expect_test::{Expect, expect};

use crate::check::check;

/// An order that is created, and credit that is reserved for it.
const ORDER: &str = "create~(command order create, says order=/input/id cents=/input/cents, undone by reject reason=/cause/code) \
                     | reserve*~(command customer reserve, says /input/cents) ; input {\"id\":\"O1\",\"cents\":7}";

#[test]
fn a_command_says_an_object_or_one_value_of_what_is_known() {
    check(
        ORDER,
        "call create · create done {} · call reserve",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > call create
          now +0ms, began +0ms, until +30s, input {"id":"O1","cents":7}
          sends create to order O1: {"order":"O1","cents":7}
        > create done {}
          done create #1 {}
          intent reserve #1 (effect-free)
        > call reserve
          now +0ms, began +0ms, until +30s, input {"id":"O1","cents":7}
          sends reserve to customer O1: 7
        = running, runs reserve
    "#]],
    );
}

#[test]
fn the_command_that_undoes_says_why() {
    check(
        ORDER,
        "create done {} · reserve refused no_credit · call undo create · undo create done",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent reserve #1 (effect-free)
        > reserve refused no_credit
          refused reserve #1 no_credit
          rollback_begun reserve refused no_credit
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1","cents":7}, own output {}, because reserve refused no_credit
          sends reject to order O1: {"reason":"no_credit"}
        > undo create done
          undone undo create #1
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn after_a_cancel_or_a_passed_deadline_the_code_says_so() {
    check(
        ORDER,
        "create done {} · reserve transient busy · cancel · call undo create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent reserve #1 (effect-free)
        > reserve transient busy
          transient reserve #1 busy
          backoff reserve until +1s
        > cancel
          cancel_requested asked
          rollback_begun cancelled
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1","cents":7}, own output {}, because cancelled
          sends reject to order O1: {"reason":"cancelled"}
        = compensating, runs undo create, outstanding create
    "#]],
    );
    let late = ORDER.replace(" ; input", " ; deadline 5s, input").replace("reserve*~(", "reserve*~(first 1m, ");
    check(
        &late,
        "create done {} · reserve transient busy · +5s · call undo create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent reserve #1 (effect-free)
        > reserve transient busy
          transient reserve #1 busy
          backoff reserve until +1m
        > +5s
          cancel_requested deadline
          rollback_begun deadline
          intent undo create #1 (effect-free)
        > call undo create
          now +5s, began +5s, until +35s, input {"id":"O1","cents":7}, own output {}, because deadline
          sends reject to order O1: {"reason":"deadline"}
        = compensating, runs undo create, outstanding create
    "#]],
    );
}

/// Without data of its own it says what the command says that it undoes.
#[test]
fn a_command_that_undoes_says_by_default_the_same_as_the_command_that_it_undoes() {
    let definition =
        "take~(command order create, says cents=/input/cents, undone by give-back) | pay*~ ; input {\"id\":\"O1\",\"cents\":7}";
    check(
        definition,
        "take done {} · pay refused broke · call undo take",
        expect![[r#"
        > start
          started
          intent take #1 (effect-free)
        > take done {}
          done take #1 {}
          intent pay #1 (effect-free)
        > pay refused broke
          refused pay #1 broke
          rollback_begun pay refused broke
          intent undo take #1 (effect-free)
        > call undo take
          now +0ms, began +0ms, until +30s, input {"id":"O1","cents":7}, own output {}, because pay refused broke
          sends give-back to order O1: {"cents":7}
        = compensating, runs undo take, outstanding take
    "#]],
    );
}

#[test]
fn all_of_the_cause_and_of_the_output_can_be_said_and_what_they_do_not_have_is_null() {
    let says = "id=/input/id quote=/outputs/quote/price cause=/cause detail=/cause/data/left event=/output/events/0/type none=/output/events/1";
    let definition = format!(
        "quote~(undo nothing) | create~(command order create, undone by reject {says}) | pay*~ ; input {{\"id\":\"O1\"}}"
    );
    let done = r#"quote done {"price":"7.00"} · create done {"events":[{"type":"created"}]}"#;
    check(
        &definition,
        &format!("{done} · pay refused broke · call undo create"),
        expect![[r#"
        > start
          started
          intent quote #1 (effect-free)
        > quote done {"price":"7.00"}
          done quote #1 {"price":"7.00"}
          intent create #1 (effect-free)
        > create done {"events":[{"type":"created"}]}
          done create #1 {"events":[{"type":"created"}]}
          intent pay #1 (effect-free)
        > pay refused broke
          refused pay #1 broke
          rollback_begun pay refused broke
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1"}, own output {"events":[{"type":"created"}]}, because pay refused broke
          sends reject to order O1: {"id":"O1","quote":"7.00","cause":{"kind":"refused","step":"pay","code":"broke","message":"","data":null},"detail":null,"event":"created","none":null}
        = compensating, runs undo create, outstanding create
    "#]],
    );
}

/// A step that may have happened has no output that is known.
#[test]
fn the_output_of_a_command_that_may_have_happened_is_null() {
    let definition = "create~(command order create, undone by reject revision=/output/revision) | pay*~ ; input {\"id\":\"O1\"}";
    check(
        definition,
        "host stops · cancel · create transient busy · call undo create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > host stops
          unknown create #1 host_stopped (not charged)
          intent create #2 (effect-free)
        > cancel
          cancel_requested asked
          rollback_begun cancelled
        > create transient busy
          transient create #2 busy
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1"}, after busy, because cancelled
          sends reject to order O1: {"revision":null}
        = compensating, runs undo create, outstanding create
    "#]],
    );
}

/// An undo cannot be refused: it is tried again, and stuck in the end, and the failure names the pointer.
#[test]
fn a_command_whose_pointer_finds_nothing_in_the_input_is_not_sent() {
    let definition =
        "create~(command order create, undone by reject reason=/cause/code by=/input/by) | pay*~ ; input {\"id\":\"O1\"}";
    check(
        definition,
        "create done {} · pay refused broke · call undo create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent pay #1 (effect-free)
        > pay refused broke
          refused pay #1 broke
          rollback_begun pay refused broke
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1"}, own output {}, because pay refused broke
          sends nothing: no_data there is nothing at `/input/by`
        = compensating, runs undo create, outstanding create
    "#]],
    );
}

/// What a command said had no bound: each of its 64 members may be all that a fan-out has brought, so that the thread of the shard
/// copied gigabytes, and the guest that was to decide was blamed for what it could not be given.
#[test]
fn a_command_that_would_say_more_than_a_payload_is_not_made() {
    let input = |bytes: usize| format!("{{\"id\":\"O1\",\"text\":\"{}\"}}", "x".repeat(bytes));
    let play = |data: &str, undone: &str, bytes: usize, script: &str, expect: Expect| {
        let definition =
            format!("create~(command order create, says {data}, undone by reject {undone}) | pay*~ ; input {}", input(bytes));
        check(&definition, script, expect);
    };
    // An object has its names and its punctuation too.
    let both = "a=/input/text b=/input/text";
    play(
        both,
        both,
        72,
        "call create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > call create
          now +0ms, began +0ms, until +30s, input {"id":"O1","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
          sends create to order O1: {"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","b":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
        = running, runs create
    "#]],
    );
    play(
        both,
        both,
        73,
        "call create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > call create
          now +0ms, began +0ms, until +30s, input {"id":"O1","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
          sends nothing: payload_too_large the data of the command has 161 bytes and may have 160 (`payload` in [limits])
        = running, runs create
    "#]],
    );
    play(
        "/input/id",
        "/input/text",
        159,
        "create done {} · pay refused broke · call undo create",
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent pay #1 (effect-free)
        > pay refused broke
          refused pay #1 broke
          rollback_begun pay refused broke
          intent undo create #1 (effect-free)
        > call undo create
          now +0ms, began +0ms, until +30s, input {"id":"O1","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, own output {}, because pay refused broke
          sends nothing: payload_too_large the data of the command has 161 bytes and may have 160 (`payload` in [limits])
        = compensating, runs undo create, outstanding create
    "#]],
    );
}

/// The kind: a compensation that changes while it is tried. A rollback to a savepoint that is cancelled goes on for another reason,
/// and its commands would have other bodies under their old keys.
#[test]
fn a_command_that_undoes_stays_the_same_when_the_saga_is_cancelled_after_its_first_attempt() {
    let definition = "a~(undo nothing) !s | create~(command order create, undone by reject reason=/cause/code) | pay*~ ; input {\"id\":\"O1\"}";
    check(
        definition,
        "a done · create done {} · pay refused broke · call undo create · undo create transient busy · cancel · +1s \
         · call undo create · host stops · +10s · call undo create · undo create done",
        expect![[r#"
            > start
              started
              intent a #1 (effect-free)
            > a done
              done a #1
              intent create #1 (effect-free)
            > create done {}
              done create #1 {}
              intent pay #1 (effect-free)
            > pay refused broke
              refused pay #1 broke
              rollback_begun pay refused broke
              intent undo create #1 (effect-free)
            > call undo create
              now +0ms, began +0ms, until +30s, input {"id":"O1"}, own output {}, because pay refused broke
              sends reject to order O1: {"reason":"broke"}
            > undo create transient busy
              transient undo create #1 busy
              backoff undo create until +1s
            > cancel
              cancel_requested asked
              rollback_begun cancelled
            > +1s
              intent undo create #2 (effect-free)
            > call undo create
              now +0ms, began +1s, until +31s, input {"id":"O1"}, own output {}, after busy, because pay refused broke
              sends reject to order O1: {"reason":"broke"}
            > host stops
              unknown undo create #2 host_stopped (not charged)
              intent undo create #3 (effect-free)
            > +10s
            > call undo create
              now +0ms, began +1s, until +31s, input {"id":"O1"}, own output {}, after host_stopped, because pay refused broke, may have run
              sends reject to order O1: {"reason":"broke"}
            > undo create done
              undone undo create #3
              compensated
            = compensated
        "#]],
    );
}

/// A step that has begun stays what it is, also in what undoes it.
#[test]
fn a_command_that_undoes_stays_the_same_on_another_version() {
    let definition = "create~(command order create, undone by reject reason=/cause/code) | pay*~ ; input {\"id\":\"O1\"}";
    let until = "create done {} · pay refused broke · undo create transient busy";
    let other = "move test as create~(command order create, undone by reject reason=/cause/kind)";
    let same = "move test with 2 note>~";
    check(
        definition,
        &format!("{until} · {other} · {same} · +1s · call undo create · undo create done"),
        expect![[r#"
        > start
          started
          intent create #1 (effect-free)
        > create done {}
          done create #1 {}
          intent pay #1 (effect-free)
        > pay refused broke
          refused pay #1 broke
          rollback_begun pay refused broke
          intent undo create #1 (effect-free)
        > undo create transient busy
          transient undo create #1 busy
          backoff undo create until +1s
        > move test as create~(rollback, any tries, box 1d, first 1s, jitter 0, undo tries 20, undo effect-free, command order create, says /input, undone by reject reason=/cause/kind)
          409 it cannot move: step `create`: it has begun, and what stands for it differs; keep it
        > move test with 2 note>~(stuck, tries 20, no box, first 1s, jitter 0, no undo)
          moved to version 2
        > +1s
          intent undo create #2 (effect-free)
        > call undo create
          now +0ms, began +1s, until +31s, input {"id":"O1"}, own output {}, after busy, because pay refused broke
          sends reject to order O1: {"reason":"broke"}
        > undo create done
          undone undo create #2
          compensated
        = compensated
    "#]],
    );
}

#[test]
fn each_element_is_undone_with_its_own_data() {
    check(
        "take~(command stock take, each /input/of by /id, says /input/id, undone by give-back id=/input/id why=/cause/step) | pay*~ \
         ; input {\"of\":[{\"id\":\"A\"},{\"id\":\"B\"}]}",
        "take[A] done {} · take[B] done {} · pay refused broke · call undo take[B] · call undo take[A]",
        expect![[r#"
            > start
              started
              listed take: A, B
              intent take[A] #1 (effect-free)
              intent take[B] #1 (effect-free)
            > take[A] done {}
              done take[A] #1 {}
            > take[B] done {}
              done take[B] #1 {}
              intent pay #1 (effect-free)
            > pay refused broke
              refused pay #1 broke
              rollback_begun pay refused broke
              intent undo take[A] #1 (effect-free)
              intent undo take[B] #1 (effect-free)
            > call undo take[B]
              now +0ms, began +0ms, until +30s, element B, input {"id":"B"}, own output {}, because pay refused broke
              sends give-back to stock B: {"id":"B","why":"pay"}
            > call undo take[A]
              now +0ms, began +0ms, until +30s, element A, input {"id":"A"}, own output {}, because pay refused broke
              sends give-back to stock A: {"id":"A","why":"pay"}
            = compensating, runs undo take[A], undo take[B], outstanding take[A], take[B]
        "#]],
    );
}

/// A step that nobody could decide waited for up to a minute after somebody could.
#[test]
fn a_command_that_no_code_could_decide_is_sent_again_at_once_when_code_comes_for_its_aggregate() {
    check(
        "a~(command order create, undone by reject) \u{2016} b~(command customer open, undone by close) | pay*~ ; input {\"id\":\"O1\"}",
        "a host-fails no_handler · b host-fails unavailable · code comes for customer · code comes for order · a done {} · +1s · b done {} \
         · pay refused broke · undo a host-fails quarantined · undo b done · code comes for order · undo a done",
        expect![[r#"
            > start
              started
              intent a #1 (effect-free)
              intent b #1 (effect-free)
            > a host-fails no_handler
              transient a #1 no_handler (not charged)
              backoff a until +194ms
            > b host-fails unavailable
              transient b #1 unavailable (not charged)
              backoff b until +176ms
            > code comes for customer
            > code comes for order
              unstuck a
              intent a #2 (effect-free)
            > a done {}
              done a #2 {}
            > +1s
              intent b #2 (effect-free)
            > b done {}
              done b #2 {}
              intent pay #1 (effect-free)
            > pay refused broke
              refused pay #1 broke
              rollback_begun pay refused broke
              intent undo a #1 (effect-free)
              intent undo b #1 (effect-free)
            > undo a host-fails quarantined
              transient undo a #1 quarantined (not charged)
              backoff undo a until +1206ms
            > undo b done
              undone undo b #1
            > code comes for order
              unstuck undo a
              intent undo a #2 (effect-free)
            > undo a done
              undone undo a #2
              compensated
            = compensated
        "#]],
    );
}
