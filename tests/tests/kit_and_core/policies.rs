//! Policies: whether the host takes a definition, and whether the kit says so.

use amends_core::policy::{Definition, OnPoison, Replay, Route, StartAt, StateForm, Subscription, problems};
use amends_sdk::{
    __exports as exports, Keeping, Module, Policy, Reaction, Recorded, Stateless, Timer,
    bindings::policies::exports::amends::module::policy as wit,
};
use serde_json::Value;

use crate::{number, random::Random};

#[test]
fn the_kit_takes_the_policies_that_the_core_takes() {
    let (first, modules) = (number("AMENDS_SEED", 0), number("AMENDS_SEQUENCES", 6_000));
    let (mut taken, mut refused) = (0, 0);
    for seed in first..first + modules {
        let module = any_module(&mut Random(seed));
        let kit = module.check().err().map(|problems| problems.to_string());
        let described = exports::describe_policies(module, &["policy"]);
        let core = problems(&described.policies.iter().map(definition).collect::<Vec<_>>());
        assert_eq!(kit.is_none(), core.is_empty(), "seed {seed}: the kit says {kit:?}, and the core {core:?}");
        *(if core.is_empty() { &mut taken } else { &mut refused }) += 1;
    }
    println!("{taken} modules were taken, {refused} were not");
    if modules >= 5_000 {
        assert!(taken > 500 && refused > 500, "{taken} modules were taken, {refused} were not");
    }
}

fn any_module(random: &mut Random) -> Module {
    let policies = 1 + random.below(2);
    (0..policies).fold(Module::new("m"), |module, _| match random.below(2) {
        0 => module.policy(any_stateless(random)),
        _ => module.policy(any_keeping(random)),
    })
}

fn any_stateless(random: &mut Random) -> Policy<Stateless> {
    let mut policy = Policy::stateless(name(random));
    for types in any_types(random) {
        policy = policy.on_published(types, |_: Recorded<Value>, _: &mut Reaction| {});
        policy = by(random, policy);
    }
    any_wishes(random, policy)
}

fn any_keeping(random: &mut Random) -> Policy<Keeping<u8>> {
    let mut policy = Policy::keeping(name(random));
    for types in any_types(random) {
        let take = |_: &mut u8, _: Recorded<Value>, _: &mut Reaction| {};
        policy = match random.below(3) {
            0 => policy.starts_on_published(types, take),
            1 => policy.starts_or_continues_on_published(types, take),
            _ => policy.on_published(types, take),
        };
        policy = by(random, policy);
    }
    let version = u32::try_from(random.below(10)).unwrap();
    // Mostly one that is read nowhere else.
    let version = if version < 3 { version } else { 4 };
    policy = policy.state_version(version).on_timer("t", |_: &mut u8, _: Timer, _: &mut Reaction| {});
    for older in 0..6 {
        let chance = if (1..4).contains(&older) { 30 } else { 3 };
        if random.below(100) < chance {
            policy = policy.reads(older, |old: u8| old);
        }
    }
    any_wishes(random, policy)
}

fn by<M: amends_sdk::Memory>(random: &mut Random, policy: Policy<M>) -> Policy<M> {
    match random.below(12) {
        0..8 => policy,
        8 => policy.by(""),
        9 => policy.by("/a~1/0"),
        10 => policy.by("/"),
        _ => policy.by("a/b"),
    }
}

fn any_wishes<M: amends_sdk::Memory>(random: &mut Random, policy: Policy<M>) -> Policy<M> {
    let attempts = *random.pick(&[1, 5, 5, 5, 5, 5, 100, 101, 0]);
    let sends = any_texts(random, &["a.b", "b.c", "a-1.b-2", "a", "a.", ".b", "A.b", "a.b.c", "a/b"], 3);
    let publishes = any_texts(random, &["t", "T u", "a.b", "é", "", "a\u{1b}"], 4);
    let starts = any_texts(random, &["s", "t-2", "u", "S", ""], 3);
    policy.attempts(attempts).sends(sends).publishes(publishes).starts(starts)
}

/// Types of events, those that are taken in one way together.
fn any_types(random: &mut Random) -> Vec<Vec<String>> {
    match random.below(30) {
        0 => Vec::new(),
        1 => vec![(0..65).map(|number| format!("t{number}")).collect()],
        2 => vec![(0..64).map(|number| format!("t{number}")).collect()],
        3 => vec![vec!["t".repeat(255)], vec!["u".repeat(256)]],
        4 => vec![vec!["t".repeat(255)]],
        _ => {
            let types = any_texts(random, &["order.created", "order.paid", "came", "went", "", "\u{202e}x"], 4);
            types.into_iter().map(|event_type| vec![event_type]).collect()
        }
    }
}

/// Some of these texts, mostly of the first `good` ones and each once.
fn any_texts(random: &mut Random, texts: &[&str], good: usize) -> Vec<String> {
    let mut picked: Vec<String> = texts[..good].iter().filter(|_| random.below(2) == 0).map(|text| (*text).to_owned()).collect();
    match random.below(40) {
        0 => picked.push((*random.pick(texts)).to_owned()),
        1 => picked.extend((0..65).map(|number| format!("a.b{number}"))),
        _ => {}
    }
    picked
}

fn name(random: &mut Random) -> String {
    match random.below(20) {
        0 => (*random.pick(&["", "P", "1", "p_q"])).to_owned(),
        1 => "p".repeat(64),
        2 => "p".repeat(63),
        number => format!("p{number}"),
    }
}

/// As the host reads it.
fn definition(of: &wit::Definition) -> Definition {
    Definition {
        name: of.name.clone(),
        subscriptions: of.subscriptions.iter().map(subscription).collect(),
        state: of.state.as_ref().map(|form| StateForm { version: form.version, reads: form.reads.clone() }),
        on_poison: match of.on_poison {
            wit::OnPoison::Park => OnPoison::Park,
            wit::OnPoison::Stop => OnPoison::Stop,
        },
        attempts_max: of.attempts_max,
        start: match of.start {
            wit::Start::Now => StartAt::Now,
            wit::Start::Beginning => StartAt::Beginning,
        },
        replay: match of.replay {
            wit::Replay::Silent => Replay::Silent,
            wit::Replay::Effects => Replay::Effects,
        },
        answers: of.answers,
        sends: of.sends.clone(),
        publishes: of.publishes.clone(),
        starts: of.starts.clone(),
    }
}

fn subscription(of: &wit::Subscription) -> Subscription {
    Subscription {
        event_type: of.event_type.clone(),
        versions: of.versions.clone(),
        key: of.key.clone(),
        route: match of.route {
            wit::Route::Start => Route::Start,
            wit::Route::StartOrContinue => Route::StartOrContinue,
            wit::Route::Continue => Route::Continue,
        },
    }
}
