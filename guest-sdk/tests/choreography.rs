//! Policies and aggregates of the SDK's kit act together: a command, and all that follows from it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use amends_sdk::testing::given;
use amends_sdk::{
    Aggregate, Command, Decision, Event, Module, Policy, Reaction, Recorded, Stateless, Timer, accept, context, nothing, refuse,
    refused,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "order")]
enum Order {
    Created { customer: String, cents: u64 },
}

#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "order")]
enum DoOrder {
    Create { customer: String, cents: u64 },
}

#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "customer")]
enum Customer {
    ReserveCredit { order: String, cents: u64 },
}

fn reserve(event: Recorded<Order>, reaction: &mut Reaction) {
    let Order::Created { customer, cents } = event.event;
    reaction.send(customer, Customer::ReserveCredit { order: event.key, cents });
}

fn credit() -> Policy<Stateless> {
    Policy::stateless("credit").on("order.created", reserve).by("/customer").sends("customer.reserve-credit")
}

#[derive(Command, Serialize, Deserialize)]
enum InClub {
    Join { name: String },
    Praise,
}

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "club")]
enum Club {
    Joined { name: String },
    Praised,
}

fn club() -> Aggregate<u32, InClub, Club> {
    let decide = |praised: &u32, command: InClub| -> Decision<Club> {
        match command {
            InClub::Join { name } if name.is_empty() => refuse("nobody", "a member has a name"),
            InClub::Join { name } if name == "again" => nothing(),
            InClub::Join { name } => accept(Club::Joined { name }),
            InClub::Praise if *praised >= 40 => nothing(),
            InClub::Praise => accept(Club::Praised),
        }
    };
    Aggregate::new("club", decide, |praised: &mut u32, event: Club| *praised += u32::from(matches!(event, Club::Praised)))
}

/// What a call that must not return says.
fn panics<T>(call: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err("a panic");
    panic.downcast_ref::<String>().cloned().expect("words")
}

/// Praises each member, and each praise, for ever.
fn praise() -> Policy<Stateless> {
    let react = |event: Recorded<Club>, reaction: &mut Reaction| reaction.send_to(club().to(event.key), "praise", &json!(null));
    Policy::stateless("praise").on(["club.joined", "club.praised"], react).sends("club.praise")
}

#[test]
fn a_module_runs_until_nothing_follows() {
    let welcome = |event: Recorded<Club>, reaction: &mut Reaction| {
        if let Club::Joined { name } = event.event {
            reaction.publish("welcome", name, &event.key);
        }
    };
    let count = |count: &mut u32, _: Recorded<String>, reaction: &mut Reaction| {
        *count += 1;
        reaction.set_timer("praise", context::now() + Duration::from_secs(1));
    };
    let later = |_: &mut u32, _: Timer, reaction: &mut Reaction| reaction.send_to(club().to("A"), "praise", &json!(null));
    let module = || {
        Module::new("clubs")
            .aggregate(club())
            .policy(Policy::stateless("greeter").on("club.joined", welcome).publishes("welcome"))
            .policy(
                Policy::keeping("counter")
                    .starts_or_continues_on_published("welcome", count)
                    .on_timer("praise", later)
                    .sends("club.praise"),
            )
    };
    let clubs = given(module())
        .after(club(), "B", InClub::Join { name: "bob".into() })
        .when(club(), "A", InClub::Join { name: "ada".into() })
        .when(club(), "A", InClub::Join { name: String::new() })
        .when(club(), "A", InClub::Join { name: "again".into() })
        .published("welcome", "ada", "A")
        .then(
            r#"club/A joined {"name":"ada"}
               greeter: publish welcome/ada "A"
               counter: set praise in 1s
               counter: state 1
               club/A refused join: nobody
               club/A did nothing for join
               counter: set praise in 1s
               counter: state 2"#,
        )
        .advance(Duration::from_secs(60))
        .then(
            "counter: timer praise of ada
             counter: send club/A praise null
             club/A praised null
             counter: timer praise of bob
             counter: send club/A praise null
             club/A praised null",
        );
    assert_eq!((clubs.instance::<u32>("counter", "ada"), clubs.state(club(), "A")), (Some(2), 2));
    let elsewhere =
        given(Module::new("rules").policy(credit())).commands("customer", |sent| match sent.data()["cents"].as_u64() {
            Some(0..=1500) => Ok(json!(null)),
            _ => Err(refused("credit_limit_exceeded", "15.00 are left")),
        });
    elsewhere.event("O1", Order::Created { customer: "C1".into(), cents: 12340 }).then(
        r#"credit: send customer/C1 reserve-credit {"order":"O1","cents":12340}
           customer/C1 refused reserve-credit: credit_limit_exceeded
           credit: dead letter: customer/C1 refused reserve-credit with credit_limit_exceeded"#,
    );
}

#[test]
fn a_loop_of_policies_is_found() {
    let clubs = Module::new("clubs").aggregate(club()).policy(praise());
    let why = panics(|| given(clubs).when(club(), "A", InClub::Join { name: "ada".into() }));
    assert!(why.starts_with("a chain of causes leads through more than 64 streams"), "{why}");
}

#[test]
fn what_happens_at_once_happens_in_every_order_of_the_seeds() {
    let module = || Module::new("rules").policy(credit());
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let run = given(module())
            .with(order())
            .commands("customer", |_| Ok(json!(null)))
            .seed(seed)
            .beside(order(), "O1", DoOrder::Create { customer: "C1".into(), cents: 1 })
            .when(order(), "O2", DoOrder::Create { customer: "C1".into(), cents: 2 });
        orders.insert((run.state(order(), "O1"), format!("{run}")));
    }
    assert!(orders.len() > 2, "{orders:?}");
}

fn order() -> Aggregate<u64, DoOrder, Order> {
    let decide = |_: &u64, DoOrder::Create { customer, cents }: DoOrder| accept(Order::Created { customer, cents });
    Aggregate::new("order", decide, |sum: &mut u64, Order::Created { cents, .. }: Order| *sum += cents)
}
