//! Guests of a group check out together, by a process manager: it asks each stay, counts the answers, and tells the group how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use amends_sdk::testing::{Choreography, given};
use amends_sdk::{
    Aggregate, AnswerTo, Command, Decided, Decision, Event, Keeping, Module, Policy, Reaction, Recorded, Timer, accept, context,
    nothing, refuse,
};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Stay {
    is_open: bool,
    cents: i64,
    group: Option<String>,
}

#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "stay")]
enum DoStay {
    #[command(new)]
    CheckIn,
    /// What is paid counts up, what is charged counts down.
    #[command(existing)]
    Book { cents: i64 },
    #[command(existing)]
    CheckOut { group: Option<String> },
}

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "stay")]
enum StayDid {
    CheckedIn,
    Booked { cents: i64 },
    CheckedOut { group: Option<String> },
}

fn stay() -> Aggregate<Stay, DoStay, StayDid> {
    let decide = |stay: &Stay, command: DoStay| -> Decision<StayDid> {
        match command {
            DoStay::CheckIn => accept(StayDid::CheckedIn),
            DoStay::CheckOut { group } if group.is_some() && stay.group == group => nothing(),
            DoStay::Book { .. } | DoStay::CheckOut { .. } if !stay.is_open => refuse("not_opened", "the guest is not here"),
            DoStay::CheckOut { .. } if stay.cents != 0 => refuse("balance_not_settled", format_args!("{} cents", stay.cents)),
            DoStay::CheckOut { group } => accept(StayDid::CheckedOut { group }),
            DoStay::Book { cents } => accept(StayDid::Booked { cents }),
        }
    };
    Aggregate::new("stay", decide, |stay: &mut Stay, event: StayDid| match event {
        StayDid::CheckedIn => stay.is_open = true,
        StayDid::Booked { cents } => stay.cents += cents,
        StayDid::CheckedOut { group } => (stay.is_open, stay.group) = (false, group),
    })
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outcome {
    completed: BTreeSet<String>,
    /// Why, by stay.
    failed: BTreeMap<String, String>,
}

#[derive(Command, Serialize, Deserialize)]
#[command(aggregate = "group")]
enum DoGroup {
    #[command(new)]
    Initiate { stays: BTreeSet<String> },
    #[command(existing)]
    Finish(Outcome),
}

#[derive(Event, Serialize, Deserialize)]
#[event(aggregate = "group")]
enum GroupDid {
    Initiated { stays: BTreeSet<String> },
    Completed(Outcome),
    Failed(Outcome),
}

/// The outcome, once it is known.
fn group() -> Aggregate<Option<Outcome>, DoGroup, GroupDid> {
    let decide = |outcome: &Option<Outcome>, command: DoGroup| -> Decision<GroupDid> {
        match command {
            DoGroup::Initiate { stays } if stays.is_empty() => refuse("empty_group", "nobody checks out"),
            DoGroup::Initiate { stays } => accept(GroupDid::Initiated { stays }),
            DoGroup::Finish(_) if outcome.is_some() => nothing(),
            DoGroup::Finish(outcome) if outcome.failed.is_empty() => accept(GroupDid::Completed(outcome)),
            DoGroup::Finish(outcome) => accept(GroupDid::Failed(outcome)),
        }
    };
    Aggregate::new("group", decide, |outcome: &mut Option<Outcome>, event: GroupDid| match event {
        GroupDid::Initiated { .. } => {}
        GroupDid::Completed(of) | GroupDid::Failed(of) => *outcome = Some(of),
    })
}

/// The state of the process manager.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct CheckOut {
    pending: BTreeSet<String>,
    outcome: Outcome,
}

fn begin(check_out: &mut CheckOut, event: Recorded<GroupDid>, reaction: &mut Reaction) {
    if let GroupDid::Initiated { stays } = event.event {
        for stay in &stays {
            reaction.send(stay, DoStay::CheckOut { group: Some(event.key.clone()) });
        }
        reaction.set_timer("give-up", context::now() + Duration::from_secs(3600));
        check_out.pending = stays;
    }
}

fn count(check_out: &mut CheckOut, answer: AnswerTo, reaction: &mut Reaction) {
    if !check_out.pending.remove(&answer.id) {
        return;
    }
    match answer.answer {
        Decided::Accepted(_) => drop(check_out.outcome.completed.insert(answer.id)),
        Decided::Refused(failure) => drop(check_out.outcome.failed.insert(answer.id, failure.code)),
    }
    if check_out.pending.is_empty() {
        finish(check_out, reaction);
    }
}

fn give_up(check_out: &mut CheckOut, _: Timer, reaction: &mut Reaction) {
    let silent = std::mem::take(&mut check_out.pending).into_iter().map(|stay| (stay, "no_answer".to_owned()));
    check_out.outcome.failed.extend(silent);
    finish(check_out, reaction);
}

fn finish(check_out: &CheckOut, reaction: &mut Reaction) {
    reaction.send(reaction.key(), DoGroup::Finish(check_out.outcome.clone()));
    reaction.end();
}

fn group_checkout() -> Policy<Keeping<CheckOut>> {
    Policy::keeping("group-checkout")
        .starts_on("group.initiated", begin)
        .on_timer("give-up", give_up)
        .on_answer(count)
        .sends(["stay.check-out", "group.finish"])
}

/// A hotel with guests, each with what was booked so far.
fn hotel<const N: usize>(guests: [(&str, i64); N]) -> Choreography {
    let module = Module::new("hotel").aggregate(stay()).aggregate(group()).policy(group_checkout());
    guests.into_iter().fold(given(module), |hotel, (guest, cents)| {
        hotel.with(given(stay()).id(guest).events([StayDid::CheckedIn, StayDid::Booked { cents }]))
    })
}

fn initiate<const N: usize>(stays: [&str; N]) -> DoGroup {
    DoGroup::Initiate { stays: stays.map(str::to_owned).into() }
}

/// How a group ended: who is out, and why the others are not.
fn ended(hotel: &Choreography, id: &str) -> String {
    let Some(Outcome { completed, failed }) = hotel.state(group(), id) else { return "not".to_owned() };
    let (completed, failed) = (completed.into_iter(), failed.into_iter().map(|(stay, why)| format!("{stay} {why}")));
    completed.chain(failed).collect::<Vec<_>>().join(", ")
}

#[test]
fn gc_01_all_guests_without_a_balance_check_out() {
    let hotel = hotel([("s1", 0), ("s2", 0)]).when(group(), "G1", initiate(["s1", "s2"])).then(
        r#"group/G1 initiated {"stays":["s1","s2"]}
           group-checkout: send stay/s1 check-out {"group":"G1"}
           group-checkout: send stay/s2 check-out {"group":"G1"}
           group-checkout: set give-up in 1h
           group-checkout: state {"pending":["s1","s2"],"outcome":{"completed":[],"failed":{}}}
           stay/s1 checked-out {"group":"G1"}
           stay/s2 checked-out {"group":"G1"}
           group-checkout: state {"pending":["s2"],"outcome":{"completed":["s1"],"failed":{}}}
           group-checkout: send group/G1 finish {"completed":["s1","s2"],"failed":{}}
           group-checkout: state {"pending":[],"outcome":{"completed":["s1","s2"],"failed":{}}}
           group-checkout: end
           group/G1 completed {"completed":["s1","s2"],"failed":{}}
           group-checkout: late"#,
    );
    assert_eq!(ended(&hotel.advance(Duration::from_secs(7200)), "G1"), "s1, s2");
}

#[test]
fn gc_03_04_05_06_a_guest_who_cannot_check_out_is_named_and_keeps_nobody() {
    let ends = |hotel: Choreography| ended(&hotel.when(group(), "G1", initiate(["s1", "s2", "s3"])), "G1");
    let three = |cents: [i64; 3]| ends(hotel([("s1", cents[0]), ("s2", cents[1]), ("s3", cents[2])]));
    assert_eq!(three([0, 5000, -4000]), "s1, s2 balance_not_settled, s3 balance_not_settled");
    assert_eq!(three([-1, 1, -5]), "s1 balance_not_settled, s2 balance_not_settled, s3 balance_not_settled");
    let alone = hotel([("s1", 0), ("s2", 0), ("s3", 0)]).after(stay(), "s1", DoStay::CheckOut { group: None });
    assert_eq!(ends(alone), "s2, s3, s1 not_opened");
    assert_eq!(ends(hotel([("s1", 0), ("s2", 0)])), "s1, s2, s3 no_such_aggregate");
}

#[test]
fn gc_10_a_guest_who_is_out_for_this_group_is_out() {
    let out = hotel([("s1", 0)]).after(stay(), "s1", DoStay::CheckOut { group: Some("G1".to_owned()) });
    assert_eq!(ended(&out.when(group(), "G1", initiate(["s1"])), "G1"), "s1");
}

#[test]
fn gc_14_an_empty_group_is_refused() {
    hotel([]).when(group(), "G1", initiate([])).then("group/G1 refused initiate: empty_group");
}

#[test]
fn gc_16_of_two_groups_at_once_one_gets_the_guest_whom_both_name() {
    let mut ends = BTreeSet::new();
    for seed in 0..100 {
        let hotel = hotel([("s1", 0), ("s2", 0), ("s3", 0)]).seed(seed);
        let hotel = hotel.beside(group(), "G1", initiate(["s1", "s2"])).when(group(), "G2", initiate(["s2", "s3"]));
        ends.insert(format!("{}; {}", ended(&hotel, "G1"), ended(&hotel, "G2")));
    }
    let expected = ["s1, s2 not_opened; s2, s3", "s1, s2; s3, s2 not_opened"];
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn gc_18_who_could_not_check_out_does_so_in_a_later_group() {
    let hotel = hotel([("s1", 0), ("s2", 5000)])
        .when(group(), "G1", initiate(["s1", "s2"]))
        .when(stay(), "s2", DoStay::Book { cents: -5000 })
        .when(group(), "G2", initiate(["s2"]));
    assert_eq!([ended(&hotel, "G1"), ended(&hotel, "G2")], ["s1, s2 balance_not_settled", "s2"]);
}

#[test]
fn gc_20_a_group_of_a_thousand_checks_out() {
    let stays: BTreeSet<String> = (0..1000).map(|number| format!("s{number}")).collect();
    let module = Module::new("hotel").aggregate(stay()).aggregate(group()).policy(group_checkout());
    let hotel = stays.iter().fold(given(module), |hotel, id| hotel.with(given(stay()).id(id).events([StayDid::CheckedIn])));
    let hotel = hotel.when(group(), "G1", DoGroup::Initiate { stays: stays.clone() });
    assert_eq!(hotel.state(group(), "G1"), Some(Outcome { completed: stays, failed: BTreeMap::new() }));
}

#[test]
fn guests_who_do_not_answer_in_time_count_as_failed() {
    let initiated = GroupDid::Initiated { stays: ["s1".to_owned(), "s2".to_owned()].into() };
    let checkout = given(group_checkout())
        .events("G1", [initiated])
        .accepted("stay/s2 check-out", ())
        .then(r#"state {"pending":["s1"],"outcome":{"completed":["s2"],"failed":{}}}"#)
        .advance(Duration::from_secs(3600))
        .then(
            r#"timer give-up of G1
               send group/G1 finish {"completed":["s2"],"failed":{"s1":"no_answer"}}
               state {"pending":[],"outcome":{"completed":["s2"],"failed":{"s1":"no_answer"}}}
               end"#,
        )
        .accepted("stay/s1 check-out", ())
        .then("late");
    assert_eq!(checkout.state("G1"), None);
}
