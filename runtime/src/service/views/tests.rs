//! Views against scripted code.

use std::{future::pending, sync::Arc, time::Instant as Moment};

use amends_core::{event::Act, value::Payload};

use super::{Answered, GenerationView, Question, Role, Stopped, Verb};
use crate::{
    engine::{recorded::Recent, refusal::Refusal},
    service::{
        import::{Event, Line},
        testing::{TestHost, namespace, origin, run},
    },
    store::{Position, Store},
};

/// Nothing here takes so long.
const HANG: std::time::Duration = std::time::Duration::from_secs(60);

fn counting() -> TestHost {
    let host = TestHost::empty();
    host.deploy(b"\0asm sums counting");
    host
}

/// Counts these in one counter; gives the position of the last.
fn count(host: &TestHost, numbers: &[u64]) -> Position {
    numbers.iter().fold(0, |_, number| host.count("C1", &number.to_string()))
}

fn ask(host: &TestHost, view: &str, at_least: Option<Position>) -> Result<Answered, Refusal> {
    let (view, query) = (view.to_owned(), "all".to_owned());
    let question = Question { namespace: namespace(), view, query, parameters: Payload::json("{}"), at_least };
    let views = &host.services.views;
    run(async {
        views.arrived(&question.namespace, &question.view, pending()).await?;
        views.ask(question.clone(), tokio::time::sleep(HANG)).await
    })
}

/// The rows of a view that has read up to a position.
fn rows(host: &TestHost, view: &str, at_least: Position) -> String {
    let answer = ask(host, view, Some(at_least)).unwrap();
    String::from_utf8(answer.said.unwrap().bytes.to_vec()).unwrap()
}

/// Its generations, the active one first, once they are so.
fn until(host: &TestHost, view: &str, wanted: impl Fn(&[GenerationView]) -> bool) -> Vec<GenerationView> {
    let began = Moment::now();
    loop {
        let generations = host.services.views.show(&namespace(), view).map(|view| view.generations).unwrap_or_default();
        if wanted(&generations) {
            return generations;
        }
        assert!(began.elapsed() < HANG, "it does not come to it: {generations:?}");
        std::thread::yield_now();
    }
}

fn act(host: &TestHost, view: &str, verb: Verb) -> Result<(), Refusal> {
    let act = Act { note: "a test".to_owned(), by: "ann".to_owned() };
    run(host.services.views.act(&namespace(), view, verb, act))
}

fn poison(generations: &[GenerationView]) -> Option<&str> {
    match &generations.first()?.stopped {
        Some(Stopped::Poison { event, .. }) => Some(event),
        Some(Stopped::Asked { .. }) | None => None,
    }
}

#[test]
fn batches_are_halved_until_all_before_an_event_that_cannot_be_taken_are_kept() {
    let host = counting();
    let numbers: Vec<u64> = (1..=20).map(|number| if number == 14 { 666 } else { 100 + number }).collect();
    let last = count(&host, &numbers);
    host.deploy(b"\0asm view viewing");
    let stopped = until(&host, "counts", |generations| poison(generations).is_some());
    until(&host, "counts-too", |generations| poison(generations).is_some());
    assert_eq!((poison(&stopped), stopped[0].events, stopped[0].lag), (Some("counter/C1/14"), 13, 7));
    // Of both views: 20 fail, 10 are taken; the rest fails, and its halves, until 666 is alone.
    let batches = host.guests.batches();
    assert_eq!(batches.iter().filter(|size| **size == 20).count(), 2, "{batches:?}");
    assert!(batches.len() < 24 && batches.iter().filter(|size| **size == 1).count() >= 2, "{batches:?}");
    let answer = ask(&host, "counts", None).unwrap();
    assert_eq!(*answer.said.unwrap().bytes, *b"[101,110,111,112,113,102,103,104,105,106,107,108,109]");
    let behind = ask(&host, "counts", Some(last)).unwrap_err();
    assert!(behind.message.contains("it stopped at the event counter/C1/14: 666 is too much (trap)"), "{}", behind.message);
    // Left out, it stands in nobody's way; the other view has not left it out.
    assert!(act(&host, "counts", Verb::Skip { event: "counter/C1/13".to_owned() }).is_err());
    act(&host, "counts", Verb::Skip { event: "counter/C1/14".to_owned() }).unwrap();
    assert_eq!(rows(&host, "counts", last).matches(',').count(), 18);
    assert!(ask(&host, "counts-too", Some(last)).is_err());
}

#[test]
fn a_host_without_a_place_is_no_fault_of_the_event_and_is_tried_again() {
    let host = counting();
    host.deploy(b"\0asm view viewing");
    until(&host, "counts", |generations| generations.len() == 1);
    host.guests.set_has_no_place(true);
    let last = count(&host, &[1, 2]);
    let delayed = until(&host, "counts", |generations| generations[0].delayed.is_some());
    assert_eq!((delayed[0].delayed.as_deref(), &delayed[0].stopped), (Some("there is no place"), &None));
    host.guests.set_has_no_place(false);
    assert_eq!(rows(&host, "counts", last), "[1,2]");
    assert_eq!(until(&host, "counts", |generations| generations[0].delayed.is_none())[0].lag, 0);
}

#[test]
fn a_view_that_somebody_stopped_answers_from_what_it_has_and_refuses_what_is_later() {
    let host = counting();
    host.deploy(b"\0asm view viewing");
    let before = count(&host, &[1]);
    assert_eq!(rows(&host, "counts", before), "[1]");
    act(&host, "counts", Verb::Stop).unwrap();
    let again = act(&host, "counts", Verb::Stop).unwrap_err();
    assert_eq!(again.message, "the view `counts` is stopped already");
    let last = count(&host, &[2]);
    assert_eq!(rows(&host, "counts-too", last), "[1,2]");
    assert_eq!(ask(&host, "counts", Some(last)).unwrap_err().message.rsplit(": ").next(), Some("a test"));
    assert_eq!(*ask(&host, "counts", None).unwrap().said.unwrap().bytes, *b"[1]");
    act(&host, "counts", Verb::Resume).unwrap();
    assert_eq!(rows(&host, "counts", last), "[1,2]");
    assert_eq!(act(&host, "counts", Verb::Resume).unwrap_err().message, "the view `counts` is not stopped");
}

/// Active, building, previous: who has each role after what operators do.
#[test]
fn a_rebuild_takes_over_and_a_switch_changes_places_and_numbers_are_never_used_again() {
    let host = counting();
    host.deploy(b"\0asm view viewing");
    let last = count(&host, &[1, 2, 3]);
    let roles = |generations: &[GenerationView]| {
        let one = |generation: &GenerationView| match generation.role {
            Role::Active => format!("{} active", generation.number),
            Role::Building => format!("{} building", generation.number),
            Role::Previous => format!("{} previous", generation.number),
        };
        generations.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let first = until(&host, "counts", |generations| generations.len() == 1)[0].number;
    assert_eq!(act(&host, "counts", Verb::SwitchBack).unwrap_err().message, "the view `counts` has no previous generation");
    for round in 0..3 {
        act(&host, "counts", Verb::Rebuild).unwrap();
        let (now, before) = (3 + round, if round == 0 { first } else { 2 + round });
        let wanted = format!("{now} active, {before} previous");
        until(&host, "counts", |generations| roles(generations) == wanted);
        assert_eq!(rows(&host, "counts", last), "[1,2,3]");
    }
    act(&host, "counts", Verb::SwitchBack).unwrap();
    assert_eq!(roles(&until(&host, "counts", |_| true)), "4 active, 5 previous");
    assert_eq!(rows(&host, "counts", last), "[1,2,3]");
    let refused = act(&host, "cuonts", Verb::Rebuild).unwrap_err();
    assert_eq!(refused.message, "no active module of namespace `default` has a projection `cuonts`");
}

/// What goes on is what is not stopped: a build that cannot take an event waits for an operator or for other code, whatever else is
/// deployed meanwhile, and the generation before it answers.
#[test]
fn a_build_that_stopped_stays_stopped_and_the_old_one_answers_until_somebody_says_how_it_goes_on() {
    let host = counting();
    host.deploy(b"\0asm view viewing");
    let last = count(&host, &[1, 666, 2]);
    until(&host, "counts", |generations| poison(generations).is_some());
    act(&host, "counts", Verb::Skip { event: "counter/C1/2".to_owned() }).unwrap();
    assert_eq!(rows(&host, "counts", last), "[1,2]");
    // What was left out of one build is not left out of the next one by itself.
    host.deploy(b"\0asm view viewing 2");
    let stopped =
        |generations: &[GenerationView]| generations.iter().any(|one| one.role == Role::Building && one.stopped.is_some());
    let building = until(&host, "counts", stopped)[1].number;
    host.deploy(b"\0asm other");
    let last = count(&host, &[3]);
    assert_eq!(rows(&host, "counts", last), "[1,2,3]");
    let still = until(&host, "counts", stopped);
    assert_eq!((still[0].version, still[1].number, still[1].events), (1, building, 1));
    act(&host, "counts", Verb::Skip { event: "counter/C1/2".to_owned() }).unwrap();
    let switched = until(&host, "counts", |generations| generations[0].number == building);
    assert_eq!((switched[0].version, switched[1].version, rows(&host, "counts", last).as_str()), (2, 1, "[1,2,3]"));
}

#[test]
fn who_goes_back_to_a_generation_that_is_stopped_gets_it_as_it_is_until_it_is_resumed() {
    let host = counting();
    host.deploy(b"\0asm view viewing");
    let first = count(&host, &[1]);
    assert_eq!(rows(&host, "counts", first), "[1]");
    let number = until(&host, "counts", |generations| generations.len() == 1)[0].number;
    act(&host, "counts", Verb::Stop).unwrap();
    act(&host, "counts", Verb::Rebuild).unwrap();
    until(&host, "counts", |generations| generations.len() == 2 && generations[0].number != number);
    let last = count(&host, &[2]);
    assert_eq!(rows(&host, "counts", last), "[1,2]");
    act(&host, "counts", Verb::SwitchBack).unwrap();
    let back = until(&host, "counts", |generations| generations[0].number == number);
    assert_eq!(back[0].stopped, Some(Stopped::Asked { note: "a test".to_owned(), by: "ann".to_owned() }));
    assert_eq!(*ask(&host, "counts", None).unwrap().said.unwrap().bytes, *b"[1]");
    assert!(ask(&host, "counts", Some(last)).unwrap_err().message.ends_with("ann stopped it: a test"));
    act(&host, "counts", Verb::Resume).unwrap();
    assert_eq!(rows(&host, "counts", last), "[1,2]");
}

/// The events of a counter at once, from the first on; gives the position of the last.
fn import(host: &TestHost, numbers: &[u64]) -> Position {
    let line = |(number, revision): (&u64, u64)| {
        let event_type = "counter.counted".to_owned();
        let data = Payload::json(number.to_string());
        let event = Event { event_type, version: 1, data, tags: Vec::new(), at: None, correlation: None };
        Line { number: revision, aggregate: "counter".to_owned(), id: "C1".to_owned(), revision, event: Ok(event) }
    };
    let lines = numbers.iter().zip(1..).map(line).collect();
    let imports = &host.services.imports;
    let imported = run(async { imports.take(&origin(), "ann", lines, &imports.place().await.unwrap()).await }).unwrap();
    assert_eq!((imported.taken, imported.refused), (numbers.len() as u64, Vec::new()));
    imported.position
}

/// The code has a page while the next one is read, in which it fails.
#[test]
fn a_page_that_was_read_ahead_is_halved_and_an_event_of_it_left_out_and_each_is_taken_once() {
    let host = counting();
    let mut numbers: Vec<u64> = (10_001..=13_500).collect();
    numbers[1_499] = 666;
    import(&host, &numbers);
    host.deploy(b"\0asm view viewing");
    let stopped = until(&host, "counts", |generations| poison(generations).is_some());
    assert_eq!((poison(&stopped), stopped[0].events, stopped[0].lag), (Some("counter/C1/1500"), 1_499, 2_001));
    act(&host, "counts", Verb::Skip { event: "counter/C1/1500".to_owned() }).unwrap();
    let complete = until(&host, "counts", |generations| generations[0].lag == 0);
    assert_eq!((complete[0].events, &complete[0].stopped), (3_499, &None));
    // What is recorded behind it is taken too.
    let last = count(&host, &[7]);
    rows(&host, "counts", last);
    assert_eq!(until(&host, "counts", |generations| generations[0].lag == 0)[0].events, 3_500);
}

#[test]
fn pages_end_at_their_bounds_and_every_event_is_in_one_of_them() {
    let host = counting();
    let last = count(&host, &(101..=130).collect::<Vec<_>>());
    host.deploy(b"\0asm other");
    let (store, types) = (host.store.as_ref() as &dyn Store, ["counter.counted".to_owned(), "counter.never".to_owned()]);
    let all: Vec<String> = (1..=30).map(|number: u64| format!("counter/C1/{number}")).collect();
    // An event takes 256 bytes and its data.
    for (limit, bytes_max, most) in
        [(1, 1 << 20, 1), (7, 1 << 20, 7), (30, 1 << 20, 30), (1_000, 600, 2), (1_000, 1, 1), (3, 600, 2)]
    {
        let (mut recent, mut after, mut found) = (Recent::default(), 0, Vec::new());
        loop {
            let page = recent.page(store, &namespace(), &types, after, (limit, bytes_max)).unwrap();
            assert!(
                page.events.len() <= most
                    && page.events.iter().all(|event| after < event.position && event.position <= page.through)
            );
            assert!(page.through > after || !page.has_more, "it does not go on");
            found.extend(page.events.iter().map(|event| event.id.clone()));
            after = page.through;
            if !page.has_more {
                break;
            }
        }
        assert_eq!((&found, after), (&all, store.last_position().unwrap()), "{limit} {bytes_max}");
        assert!(after > last);
    }
}

#[test]
fn events_that_two_read_are_read_from_the_journal_once() {
    let host = counting();
    let last = count(&host, &(101..=130).collect::<Vec<_>>());
    let (store, types) = (host.store.as_ref() as &dyn Store, ["counter.counted".to_owned()]);
    let mut recent = Recent::default();
    let mut page = |after, limit| recent.page(store, &namespace(), &types, after, (limit, 1 << 20)).unwrap();
    let (one, two) = (page(0, 1_000), page(0, 10));
    assert!(two.events.iter().zip(&one.events).all(|(two, one)| Arc::ptr_eq(two, one)));
    assert_eq!((one.events.len(), two.events.len(), one.events[29].position <= last), (30, 10, true));
    let rest = page(two.through, 1_000);
    assert!(Arc::ptr_eq(&rest.events[0], &one.events[10]) && Arc::ptr_eq(&rest.events[19], &one.events[29]));
    assert!(!rest.has_more && page(rest.through, 1).events.is_empty());
}
