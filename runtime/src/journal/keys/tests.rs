use super::*;

const TEXTS: [&str; 9] = ["", "\0", "\0\u{1}", "\u{1}", "a", "a\0", "a:b", "ab", "\u{10ffff}"];
const NUMBERS: [u64; 5] = [0, 1, 255, 256, u64::MAX];

fn namespace(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// What is sorted by what it says is sorted by its bytes, and can be read back.
fn check<T: Ord + Clone + std::fmt::Debug>(
    mut said: Vec<T>,
    write: impl Fn(&T) -> Vec<u8>,
    parse: impl Fn(&[u8]) -> Result<T, Corrupt>,
) {
    said.sort();
    let keys: Vec<Vec<u8>> = said.iter().map(write).collect();
    for (pair, said) in keys.windows(2).zip(said.windows(2)) {
        assert!(pair[0] < pair[1], "{said:?}");
    }
    for (key, said) in keys.iter().zip(&said) {
        assert_eq!(parse(key).as_ref(), Ok(said));
    }
}

#[test]
fn streams_sort_by_namespace_kind_and_id() {
    let mut said = Vec::new();
    for space in ["a", "a-b", "ab", "b"] {
        for kind in StreamKind::ALL {
            said.extend(TEXTS.map(|id| StreamId { namespace: namespace(space), kind, id: id.to_owned() }));
        }
    }
    check(said, by_id, parse_by_id);
}

#[test]
fn topics_sort_by_namespace_type_key_and_position() {
    let mut said = Vec::new();
    for space in ["a", "a-b"] {
        for event_type in TEXTS {
            for key in TEXTS {
                let topic = Topic { event_type: event_type.to_owned(), key: key.to_owned() };
                said.extend(NUMBERS.map(|number| (namespace(space), topic.clone(), number)));
            }
        }
    }
    check(said.clone(), |(space, topic, start)| wait(space, topic, *start), parse_wait);
    check(said, |(space, topic, position)| event(space, topic, *position), parse_event);
}

#[test]
fn numbers_sort_as_numbers() {
    check(NUMBERS.to_vec(), |start| saga(*start), parse_saga);
    let pairs = NUMBERS.map(|first| NUMBERS.map(|second| (first, second))).concat();
    let kinds = [TimerKind::Saga, TimerKind::Answer];
    let timers = pairs.iter().flat_map(|(due, start)| kinds.map(|kind| (Instant(*due), kind, *start))).collect();
    check(timers, |(due, kind, start)| timer(*due, *kind, *start), parse_timer);
    let statuses = [0, 1, 255].map(|status| NUMBERS.map(|start| (status, start))).concat();
    check(statuses, |(status, start)| by_status(*status, *start), parse_by_status);
}

#[test]
fn modules_sort_by_name_and_then_by_number() {
    let mut said = Vec::new();
    for space in ["a", "a-b"] {
        for name in ["order", "order-2", "orders"] {
            said.extend([1, 2, 10, 256].map(|version| (namespace(space), Name::new(name).unwrap(), version)));
        }
    }
    check(said, |(space, name, version)| module(space, name, *version), parse_module);
}

#[test]
fn states_and_claims_sort_by_namespace_aggregate_and_what_is_kept_of_it() {
    let said =
        ["a", "a-b"].map(|space| TEXTS.map(|name| TEXTS.map(|id| (namespace(space), name.to_owned(), id.to_owned()))).concat());
    check(said.concat(), |(space, name, id)| state(space, name, id), parse_state);
    check(said.concat(), |(space, name, key)| claim(space, name, key), parse_claim);
}

#[test]
fn what_is_kept_of_a_policy_sorts_by_namespace_policy_and_then_by_key_and_position() {
    let named =
        ["a", "a-b"].map(|space| TEXTS.map(|name| TEXTS.map(|key| (namespace(space), name.to_owned(), key.to_owned()))).concat());
    let named = named.concat();
    check(named.clone(), |(space, policy, key)| instance(space, policy, key), parse_instance);
    let placed = |(space, policy, key): (Namespace, String, String)| {
        NUMBERS.map(|position| (space.clone(), policy.clone(), key.clone(), position))
    };
    let waiting = named.iter().cloned().flat_map(placed).collect();
    check(waiting, |(space, policy, key, position)| parked(space, policy, key, *position), parse_parked);
    let arrived: Vec<_> =
        ["a", "a-b"].map(|space| TEXTS.map(|name| NUMBERS.map(|at| (namespace(space), name.to_owned(), at))).concat()).concat();
    check(arrived.clone(), |(space, policy, position)| arrival(space, policy, *position), parse_arrival);
    let ahead = arrived.iter().cloned().map(|(space, policy, position)| (space, policy, Some(position)));
    let cursors = arrived.iter().filter(|(.., at)| *at == 0).map(|(space, policy, _)| (space.clone(), policy.clone(), None));
    check(ahead.chain(cursors).collect(), |(space, policy, ahead)| cursor(space, policy, *ahead), parse_cursor);
}

#[test]
fn events_sort_by_namespace_type_and_position_and_each_type_leads_to_the_next() {
    let of = |space: &str| TEXTS.map(|name| NUMBERS.map(|position| (namespace(space), name.to_owned(), position))).concat();
    let said = ["a", "a-b"].map(of).concat();
    check(said.clone(), |(space, name, position)| event_name(space, name, *position), parse_event_name);
    let mut keys: Vec<_> = of("a").iter().map(|(space, name, position)| event_name(space, name, *position)).collect();
    keys.sort();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let range = next_event_type(&namespace("a"), after.as_deref());
        let within = |key: &&Vec<u8>| **key >= range.from && range.to.as_ref().is_none_or(|to| *key < to);
        let Some(key) = keys.iter().find(within) else { break };
        let (_, name, _) = parse_event_name(key).unwrap();
        found.push(name.clone());
        after = Some(name);
    }
    let mut expected = TEXTS.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn lock_keys_sort_by_namespace_key_and_who_came_first() {
    let keys = |space: &str| TEXTS.map(|key| NUMBERS.map(|start| (namespace(space), key.to_owned(), start))).concat();
    check([keys("a"), keys("a-b")].concat(), |(space, key, start)| lock(space, key, *start), parse_lock);
}

#[test]
fn what_was_caused_sorts_by_namespace_by_what_caused_it_and_then_by_position() {
    let keys = |space: &str| TEXTS.map(|id| NUMBERS.map(|position| (namespace(space), id.to_owned(), position))).concat();
    let all = [keys("a"), keys("a-b")].concat();
    check(all, |(space, id, position)| correlation(space, id, *position), parse_correlation);
}

#[test]
fn jobs_sort_by_namespace_and_then_by_who_was_asked_first() {
    let said = ["a", "a-b"].map(|space| NUMBERS.map(|start| (namespace(space), start))).concat();
    check(said, |(space, start)| job(space, *start), parse_job);
}

#[test]
fn answers_sort_by_namespace_and_key() {
    let said = ["a", "a-b"].map(|space| TEXTS.map(|key| (namespace(space), key.to_owned()))).concat();
    check(said, |(space, key)| answer(space, key), parse_answer);
}

#[test]
fn a_range_holds_its_own_topic_and_no_other() {
    let space = namespace("a");
    let topics = TEXTS.map(|key| Topic { event_type: "t".into(), key: key.into() });
    for topic in &topics {
        let range = waits_for(&space, topic, (0, u64::MAX), 10);
        for other in &topics {
            let key = wait(&space, other, 7);
            let held = range.from <= key && range.to.as_ref().is_none_or(|to| key < *to);
            assert_eq!(held, topic == other, "{topic:?} {other:?}");
        }
    }
}

#[test]
fn keys_that_nobody_wrote_are_refused() {
    assert_eq!(parse_saga(&[1]).unwrap_err().to_string(), "key 01 of table Sagas: too short");
    assert_eq!(parse_by_status(&[0; 10]).unwrap_err().to_string(), "key 00000000000000000000 of table ByStatus: too long by 1");
    assert_eq!(parse_answer(b"a\0\x02").unwrap_err().to_string(), "key 610002 of table Answers: 0 is followed by 2");
    assert!(parse_by_id(b"a\0\x01\x63T1").is_err());
    assert!(parse_by_id(b"A\0\x01\x01T1").is_err());
}

#[test]
fn schedules_sort_by_namespace_and_name() {
    let spaces = ["a", "a-b", "ab", "b"].map(namespace);
    let said: Vec<_> = spaces.into_iter().flat_map(|space| TEXTS.map(|name| (space.clone(), name.to_owned()))).collect();
    check(said.clone(), |(space, name)| schedule(space, name), parse_schedule);
    let waits = said.into_iter().flat_map(|(space, saga)| TEXTS.map(|name| (space.clone(), saga.clone(), name.to_owned())));
    check(waits.collect(), |(space, saga, name)| queued(space, saga, name), parse_queued);
    assert!(parse_schedule(&queued(&namespace("a"), "x", "y")).is_err());
}
