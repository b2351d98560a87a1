//! Aggregates: a script of commands, and what is said about each.

use std::collections::BTreeMap;

use amends_core::{
    aggregate::{self, Claim, CommandDefinition, EventDefinition, Presence},
    definition::{CommandData, CommandStep, CommandUndo, Member},
    value::{Failure, Payload},
};
use expect_test::expect;

use super::*;
use crate::engine::{
    guests::{CallFault, Decided, Decision, FoldCall, NewEvent, Work},
    port::{Answered, CommandAnswer, SendCommand},
};

pub(super) fn definition_of(keep_every: u32) -> aggregate::Definition {
    let command = |name: &str, on| CommandDefinition { name: name.into(), on, schema: None };
    let event = |name: &str| EventDefinition { event_type: format!("account.{name}"), version: 1, reads: Vec::new() };
    aggregate::Definition {
        name: "account".into(),
        commands: vec![
            command("open", Presence::New),
            command("put", Presence::Existing),
            command("take", Presence::Existing),
            command("name", Presence::Any),
            command("unname", Presence::Any),
            command("touch", Presence::Any),
            command("bomb", Presence::Any),
            command("odd", Presence::Any),
        ],
        events: ["opened", "put", "taken", "named", "unnamed"].map(event).to_vec(),
        keep_every,
        state_version: None,
    }
}

/// The module's code: the state is the balance. A component whose digest is of nines cannot fold that 13 were put.
pub(super) fn account(call: &GuestCall) -> GuestReport {
    let is_broken = call.digest == [9; 32];
    match &call.work {
        Work::Fold(fold) => GuestReport::Folded(balance(fold, is_broken).map(|balance| Payload::json(balance.to_string()))),
        Work::Decide(decide) => GuestReport::Decided(balance(&decide.fold, is_broken).and_then(|mut balance| {
            let decisions = decide.commands.iter().map(|command| {
                let text = str::from_utf8(&command.data.bytes).unwrap();
                decided(&command.name, text, &mut balance)
            });
            let decisions = decisions.collect::<Result<_, _>>()?;
            Ok(Decided { decisions, state: Payload::json(balance.to_string()) })
        })),
        Work::Handle(handle) => GuestReport::Handled(super::policies::reacts(handle, &call.digest)),
        Work::Step(_) | Work::Project(_) | Work::Query(_) => panic!("no aggregate's"),
    }
}

fn trap(message: &str) -> CallFault {
    CallFault { failure: Failure::new("trap", message), is_hosts: false }
}

fn balance(fold: &FoldCall, is_broken: bool) -> Result<i64, CallFault> {
    let mut balance: i64 = fold.base.as_ref().map_or(0, |base| str::from_utf8(&base.bytes).unwrap().parse().unwrap());
    for event in &fold.events {
        let data = str::from_utf8(&event.data.as_ref().unwrap().bytes).unwrap();
        match (event.event_type.as_str(), data) {
            ("account.put", "13") if is_broken => return Err(trap("13 is no number")),
            ("account.put", cents) => balance += cents.parse::<i64>().unwrap(),
            ("account.taken", cents) => balance -= cents.parse::<i64>().unwrap(),
            _ => {}
        }
    }
    Ok(balance)
}

fn decided(name: &str, data: &str, balance: &mut i64) -> Result<Decision, CallFault> {
    let accepted = |event: &str, claims: &[(&str, bool)]| {
        let event_type = format!("account.{event}");
        let events = vec![NewEvent { event_type, version: 1, data: Payload::json(data.to_owned()), tags: Vec::new() }];
        let claims = claims.iter().map(|(key, held)| Claim { key: (*key).into(), held: *held }).collect();
        Decision::Accepted { events, claims, answer: None }
    };
    Ok(match name {
        "open" => accepted("opened", &[]),
        "put" => {
            *balance += data.parse::<i64>().unwrap();
            accepted("put", &[])
        }
        "take" if *balance < data.parse().unwrap() => {
            Decision::Refused(Failure::new("too_little", format!("{balance} are left")))
        }
        "take" => {
            *balance -= data.parse::<i64>().unwrap();
            accepted("taken", &[])
        }
        "name" => accepted("named", &[(data, true)]),
        "unname" => accepted("unnamed", &[(data, false)]),
        "touch" => {
            let answer = Some(Payload::json(balance.to_string()));
            Decision::Accepted { events: Vec::new(), claims: Vec::new(), answer }
        }
        "odd" => accepted("sold", &[]),
        _ => return Err(trap("boom")),
    })
}

pub(super) struct Bank {
    pub(super) sim: Sim,
    /// What was sent, in order, and where its answer comes.
    sent: Vec<(String, Receiver<Result<CommandAnswer, Refusal>>)>,
    minted: u32,
}

impl Bank {
    pub(super) fn of(sim: Sim) -> Self {
        Self { sim, sent: Vec::new(), minted: 0 }
    }

    pub(super) fn new(keep_every: u32) -> Self {
        let mut bank = Self::of(Sim::new(all_done));
        bank.deploy(1, keep_every);
        bank.sim.calls.clear();
        bank.sim.commits = 0;
        bank
    }

    /// A version with this digest, made active.
    pub(super) fn deploy(&mut self, digest: u8, keep_every: u32) {
        let deploy = Deploy { aggregates: vec![definition_of(keep_every)], ..deploy(digest, Vec::new()) };
        let answered = self.sim.ask_deploy(deploy);
        self.sim.settle();
        said(answered).expect("deployed");
    }

    /// `A put 5`; `A put 5 key R1`; `A put 5 at 3`, if it has three events; `b:A put 5`, in namespace b.
    pub(super) fn send(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let after = |word: &str| words.iter().position(|known| *known == word).map(|at| words[at + 1].to_owned());
        let (space, id) = words[0].split_once(':').unwrap_or(("default", words[0]));
        let data = words.get(2).filter(|word| !["key", "at"].contains(*word)).copied().unwrap_or("null");
        self.minted += 1;
        let idempotency_key = after("key");
        let command = SendCommand {
            aggregate: "account".into(),
            id: id.to_owned(),
            name: words[1].to_owned(),
            data: Payload::json(data.to_owned()),
            data_hash: [data.len() as u8 + data.bytes().map(|byte| byte % 16).sum::<u8>(); 32],
            command: idempotency_key.clone().unwrap_or_else(|| format!("minted-{}", self.minted)),
            expect_revision: after("at").map(|at| at.parse().unwrap()),
            trace_context: None,
            sender: None,
            correlation: None,
            depth: 0,
            cause: None,
        };
        let origin = Origin { namespace: Namespace::new(space).unwrap(), idempotency_key, ..origin() };
        let answered = self.sim.ask(|answer| Request::Command(origin, Box::new(command), answer));
        self.sent.push((text.to_owned(), answered));
    }

    /// What was said by now to those that were not told before, a line each.
    pub(super) fn told(&mut self) -> String {
        let mut lines = Vec::new();
        self.sent.retain_mut(|(text, answered)| match answered.try_recv() {
            Ok(said) => {
                lines.push(format!("{text}: {}", shown(said)));
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => {
                lines.push(format!("{text}: never answered"));
                false
            }
        });
        lines.join("\n")
    }

    /// Sends each line, lets everything happen, and tells what was said. `-` between two lines lets everything happen before the next.
    pub(super) fn script(&mut self, script: &str) -> String {
        let mut told = Vec::new();
        for part in script.split("-\n") {
            part.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| self.send(line));
            self.sim.settle();
            told.push(self.told());
        }
        told.join("\n")
    }

    /// The records of a stream, without their times.
    pub(super) fn records(&self, id: &str) -> String {
        let name = StreamId { namespace: namespace(), kind: crate::journal::StreamKind::Aggregate, id: format!("account/{id}") };
        let stored = reads::stream(self.sim.store.as_ref(), &name).unwrap().unwrap_or_default();
        let line = |record: crate::journal::Record| {
            let crate::journal::Fact::Aggregate(fact) = &record.fact else { panic!("{record:?}") };
            let command = fact.command().map_or(String::new(), |command| format!(" by {} {}", command.name, command.id));
            let of = record.correlation.unwrap_or_default();
            match fact {
                aggregate::AggregateEvent::Recorded { revision, event_type, .. } => {
                    format!("#{revision} {event_type}{command} ({of})")
                }
                aggregate::AggregateEvent::Decided { refused, .. } => {
                    format!("decided{command} {}", refused.as_ref().map_or("nothing to do", |failure| &failure.code))
                }
                aggregate::AggregateEvent::Quarantined { module_version, .. } => format!("quarantined v{module_version}"),
                aggregate::AggregateEvent::Imported { revision, event_type, .. } => {
                    format!("#{revision} {event_type} imported ({of})")
                }
            }
        };
        stored.iter().map(|stored| line(crate::journal::record::decode_stored(stored).unwrap())).collect::<Vec<_>>().join("\n")
    }
}

fn shown(said: Result<CommandAnswer, Refusal>) -> String {
    match said {
        Ok(CommandAnswer { duplicate, revision, decision, version, .. }) => {
            let again = if duplicate { " again" } else { "" };
            let decision = match decision {
                Answered::Accepted { events, data } => {
                    let event = |event: &super::super::port::RecordedEvent| {
                        let data = str::from_utf8(&event.data.as_ref().unwrap().bytes).unwrap().to_owned();
                        format!("#{} {} {data}", event.revision, event.event_type.trim_start_matches("account."))
                    };
                    let events = events.iter().map(event).collect::<Vec<_>>().join(", ");
                    let data = data.map(|data| format!(" says {}", str::from_utf8(&data.bytes).unwrap())).unwrap_or_default();
                    format!("{}{data}", if events.is_empty() { "nothing".to_owned() } else { events })
                }
                Answered::Refused(failure) => format!("refused {}: {}", failure.code, failure.message),
            };
            format!("{decision}{again} (revision {revision}, v{version})")
        }
        Err(refusal) => format!("{}: {}", refusal.code.as_str(), refusal.message),
    }
}

#[test]
fn commands_for_one_aggregate_queue_share_a_call_and_a_commit_and_are_answered_when_it_is_durable() {
    let mut bank = Bank::new(0);
    for command in ["A open", "A put 10", "A take 4", "A take 40", "A touch"] {
        bank.send(command);
    }
    // The first one has gone to a guest, and the others wait for what comes of it.
    assert!(bank.sim.answer_one() || bank.sim.calls.len() == 1);
    while bank.sim.answer_one() || bank.sim.decide_one() {}
    assert_eq!(bank.sim.calls, ["account/A a command after revision 0", "account/A 4 commands after revision 1"]);
    assert_eq!(bank.told(), "", "nothing is said before it is durable");
    bank.sim.commit();
    expect![[r#"
        A open: #1 opened null (revision 1, v1)
        A put 10: #2 put 10 (revision 2, v1)
        A take 4: #3 taken 4 (revision 3, v1)
        A take 40: refused too_little: 6 are left (revision 3, v1)
        A touch: nothing says 6 (revision 3, v1)"#]]
    .assert_eq(&bank.told());
    assert_eq!(bank.sim.commits, 1);
    expect![[r#"
        #1 account.opened by open minted-1 (minted-1)
        #2 account.put by put minted-2 (minted-2)
        #3 account.taken by take minted-3 (minted-3)"#]]
    .assert_eq(&bank.records("A"));
}

#[test]
fn es_07_a_command_is_handled_once_under_its_key_and_gets_the_first_answer_again() {
    let mut bank = Bank::new(0);
    let told = bank.script(
        "A open key R1
         A open key R1
         A open key R2
         -
         A put 5 key R3
         A put 5 key R3
         A put 6 key R3
         A take 50 key R4
         A touch key R5
         -
         A put 5 key R3
         A put 6 key R3
         A put 100
         A take 50 key R4
         A touch key R5
         B open key R3
         A open key R1",
    );
    expect![[r#"
        A open key R1: #1 opened null (revision 1, v1)
        A open key R1: #1 opened null again (revision 1, v1)
        A open key R2: exists: account A is there already, and `open` makes a new one
        A put 5 key R3: #2 put 5 (revision 2, v1)
        A put 5 key R3: #2 put 5 again (revision 2, v1)
        A put 6 key R3: key_reused: this Idempotency-Key was used for another request
        A take 50 key R4: refused too_little: 5 are left (revision 2, v1)
        A touch key R5: nothing says 5 (revision 2, v1)
        A put 5 key R3: #2 put 5 again (revision 2, v1)
        A put 6 key R3: key_reused: this Idempotency-Key was used for another request
        A put 100: #3 put 100 (revision 3, v1)
        A take 50 key R4: refused too_little: 5 are left again (revision 2, v1)
        A touch key R5: nothing says 5 again (revision 2, v1)
        B open key R3: #1 opened null (revision 1, v1)
        A open key R1: #1 opened null again (revision 1, v1)"#]]
    .assert_eq(&told);
    bank.sim = bank.sim.kill_and_restart();
    let again = bank.script("A put 5 key R3\n A take 50 key R4\n A put 1");
    expect![[r#"
        A put 5 key R3: #2 put 5 again (revision 2, v1)
        A take 50 key R4: refused too_little: 5 are left again (revision 2, v1)
        A put 1: #4 put 1 (revision 4, v1)"#]]
    .assert_eq(&again);
    expect![[r#"
        #1 account.opened by open R1 (R1)
        #2 account.put by put R3 (R3)
        decided by take R4 too_little
        decided by touch R5 nothing to do
        #3 account.put by put minted-11 (minted-11)
        #4 account.put by put minted-18 (minted-18)"#]]
    .assert_eq(&bank.records("A"));
}

#[test]
fn es_07_a_command_that_the_module_fails_on_is_not_remembered_and_harms_no_other() {
    let mut bank = Bank::new(0);
    let told = bank.script(
        "A open
         -
         A put 1
         A put 2
         A bomb key R1
         A put 3 key R2
         A odd
         A put 4
         -
         A bomb key R1
         A touch",
    );
    expect![[r#"
        A open: #1 opened null (revision 1, v1)
        A put 1: #2 put 1 (revision 2, v1)
        A put 2: #3 put 2 (revision 3, v1)
        A bomb key R1: guest_failed: `demo` v1 failed on a command of account A: boom (trap)
        A put 3 key R2: #4 put 3 (revision 4, v1)
        A odd: guest_failed: `demo` v1 failed on a command of account A: it records an event `account.sold` of version 1, which its definition does not have
        A put 4: #5 put 4 (revision 5, v1)
        A bomb key R1: guest_failed: `demo` v1 failed on a command of account A: boom (trap)
        A touch: nothing says 10 (revision 5, v1)"#]]
    .assert_eq(&told);
}

#[test]
fn xr_12_xr_13_who_says_a_revision_or_makes_a_new_one_is_refused_where_it_does_not_fit() {
    let mut bank = Bank::new(0);
    let told = bank.script(
        "A put 1
         A open
         A open
         A put 1
         -
         A put 2 at 2
         A put 3 at 2
         A put 4 at 3
         A touch at 7
         C take 1
         A nap
         -
         A touch",
    );
    expect![[r#"
        A put 1: no_such_aggregate: there is no account A for `put`
        A open: #1 opened null (revision 1, v1)
        A open: exists: account A is there already, and `open` makes a new one
        A put 1: #2 put 1 (revision 2, v1)
        A put 2 at 2: #3 put 2 (revision 3, v1)
        A put 3 at 2: revision_changed: account A is at revision 3, not 2
        A put 4 at 3: #4 put 4 (revision 4, v1)
        A touch at 7: revision_changed: account A is at revision 4, not 7
        C take 1: no_such_aggregate: there is no account C for `take`
        A nap: no_handler: the aggregate `account` has no command `nap`
        A touch: nothing says 7 (revision 4, v1)"#]]
    .assert_eq(&told);
    assert_eq!(bank.records("C"), "", "no stream is made");
}

#[test]
fn a_claim_has_one_holder_and_what_was_decided_after_one_that_is_taken_is_decided_again() {
    let mut bank = Bank::new(0);
    let told = bank.script(
        "A open
         B open
         -
         A name ada
         -
         B put 1
         B name ada key R1
         B put 2
         B touch
         A name ada
         -
         A unname ada
         -
         B name ada key R1
         B name ada key R2
         A name ada
         b:A name ada",
    );
    expect![[r#"
        A open: #1 opened null (revision 1, v1)
        B open: #1 opened null (revision 1, v1)
        A name ada: #2 named ada (revision 2, v1)
        B put 1: #2 put 1 (revision 2, v1)
        B name ada key R1: refused taken: another account holds `ada` (revision 2, v1)
        B put 2: #3 put 2 (revision 3, v1)
        B touch: nothing says 3 (revision 3, v1)
        A name ada: #3 named ada (revision 3, v1)
        A unname ada: #4 unnamed ada (revision 4, v1)
        B name ada key R1: refused taken: another account holds `ada` again (revision 2, v1)
        B name ada key R2: #4 named ada (revision 4, v1)
        A name ada: refused taken: another account holds `ada` (revision 4, v1)
        b:A name ada: no_handler: no active module of namespace `b` has an aggregate `account`"#]]
    .assert_eq(&told);
    bank.sim = bank.sim.kill_and_restart();
    assert_eq!(bank.script("A name ada"), "A name ada: refused taken: another account holds `ada` (revision 4, v1)");
}

#[test]
fn a_state_is_kept_after_so_many_events_and_serves_only_the_code_that_made_it() {
    let mut bank = Bank::new(3);
    let puts = |count: usize| "A put 1\n".repeat(count);
    bank.script(&format!("A open\n-\n{}", puts(4)));
    bank.sim = bank.sim.kill_and_restart();
    bank.script("A touch");
    // Five events are in the state that was kept.
    assert_eq!(bank.sim.calls, ["account/A a command after revision 5"]);
    let folds = |bank: &mut Bank| {
        bank.send("A touch");
        while bank.sim.answer_one() {}
        let Work::Decide(decide) = &bank.sim.decisions[0].work else { panic!("a decision") };
        let told = (decide.fold.base_revision, decide.fold.events.len());
        bank.sim.settle();
        (told, bank.told())
    };
    assert_eq!(folds(&mut bank), ((5, 0), "A touch: nothing says 4 (revision 5, v1)".to_owned()));
    bank.deploy(2, 3);
    assert_eq!(folds(&mut bank), ((0, 5), "A touch: nothing says 4 (revision 5, v2)".to_owned()), "folded by the new code");
    bank.script(&puts(1));
    bank.sim = bank.sim.kill_and_restart();
    assert_eq!(
        folds(&mut bank),
        ((5, 1), "A touch: nothing says 5 (revision 6, v2)".to_owned()),
        "kept once more, by the new code"
    );
}

#[test]
fn a_version_that_is_activated_while_records_are_on_their_way_folds_them_once_they_are_durable() {
    let mut bank = Bank::new(0);
    bank.script("A open");
    bank.send("A put 5");
    while bank.sim.answer_one() || bank.sim.decide_one() {}
    let deploy = Deploy { aggregates: vec![definition_of(0)], ..deploy(2, Vec::new()) };
    let deployed = bank.sim.ask_deploy(deploy);
    bank.send("A take 5");
    while bank.sim.answer_one() || bank.sim.decide_one() {}
    assert_eq!(bank.told(), "");
    bank.sim.settle();
    said(deployed).expect("deployed");
    assert_eq!(bank.told(), "A put 5: #2 put 5 (revision 2, v1)\nA take 5: #3 taken 5 (revision 3, v2)");
}

/// What it decided may be what the active code cannot read, and it has reached nobody.
#[test]
fn what_code_decides_that_was_replaced_meanwhile_is_decided_again_and_recorded_once() {
    let mut bank = Bank::new(0);
    bank.script("A open");
    bank.send("A put 5");
    while bank.sim.answer_one() {}
    assert_eq!(bank.sim.decisions.len(), 1, "the first version is asked");
    let deploy = Deploy { aggregates: vec![definition_of(0)], ..deploy(2, Vec::new()) };
    let deployed = bank.sim.ask_deploy(deploy);
    while bank.sim.answer_one() || bank.sim.commit() {}
    said(deployed).expect("deployed");
    assert!(bank.sim.decide_one() && bank.told().is_empty(), "the first version has answered, and nobody is told");
    bank.sim.settle();
    assert_eq!(bank.told(), "A put 5: #2 put 5 (revision 2, v2)");
    assert_eq!(bank.records("A").lines().count(), 2, "{}", bank.records("A"));
}

#[test]
fn a_stream_that_the_code_cannot_fold_is_quarantined_until_other_code_is_active_and_others_go_on() {
    let mut bank = Bank::new(0);
    bank.script("A open\n B open\n -\n A put 13\n B put 12");
    bank.deploy(9, 0);
    let told = bank.script("A put 1\n A touch key R1\n B put 1\n -\n A put 1");
    expect![[r#"
        A put 1: quarantined: account A is quarantined: `demo` v2 cannot fold its events
        A touch key R1: quarantined: account A is quarantined: `demo` v2 cannot fold its events
        B put 1: #3 put 1 (revision 3, v2)
        A put 1: quarantined: account A is quarantined: `demo` v2 cannot fold its events"#]]
    .assert_eq(&told);
    bank.sim = bank.sim.kill_and_restart();
    assert!(bank.script("A put 1").contains("quarantined"), "also after a restart");
    bank.deploy(3, 0);
    assert_eq!(bank.script("A put 1\n A touch key R1").lines().last(), Some("A touch key R1: nothing says 14 (revision 3, v3)"));
    expect![[r#"
        #1 account.opened by open minted-1 (minted-1)
        #2 account.put by put minted-3 (minted-3)
        quarantined v2
        #3 account.put by put minted-10 (minted-10)
        decided by touch R1 nothing to do"#]]
    .assert_eq(&bank.records("A"));
}

#[test]
fn what_was_not_durable_at_a_kill_never_happened_and_is_decided_again() {
    let mut bank = Bank::new(0);
    bank.script("A open key R1");
    bank.send("A put 5 key R2");
    while bank.sim.answer_one() || bank.sim.decide_one() {}
    bank.sim = bank.sim.kill_and_restart();
    assert_eq!(bank.told(), "A put 5 key R2: never answered");
    assert_eq!(
        bank.script("A touch\n A put 5 key R2\n A put 5 key R2"),
        "A touch: nothing says 0 (revision 1, v1)\nA put 5 key R2: #2 put 5 (revision 2, v1)\nA put 5 key R2: #2 put 5 again (revision 2, v1)"
    );
}

#[test]
fn a_long_stream_is_folded_in_pages_before_a_command_is_decided() {
    let mut bank = Bank::new(0);
    bank.script("A open");
    let puts = "A put 1\n".repeat(2_500);
    bank.script(&puts);
    bank.sim = bank.sim.kill_and_restart();
    assert_eq!(bank.script("A touch"), "A touch: nothing says 2500 (revision 2501, v1)");
    assert_eq!(
        bank.sim.calls,
        [
            "account/A the state at revision 1000",
            "account/A the state at revision 2000",
            "account/A a command after revision 2501"
        ]
    );
}

/// Ten thousand commands for one aggregate, one of which traps.
#[test]
fn ten_thousand_commands_queue_for_one_aggregate_and_a_bomb_among_them_costs_one() {
    let mut bank = Bank::new(100);
    bank.script("A open");
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for part in 0..5 {
        for number in 0..2_000 {
            bank.send(if part == 2 && number == 700 { "A bomb" } else { "A put 1" });
        }
        bank.sim.settle();
        for line in bank.told().lines() {
            let kind = if line.contains("guest_failed") { "failed" } else { "put" };
            *told.entry(kind.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(told, [("failed".to_owned(), 1), ("put".to_owned(), 9_999)].into());
    assert_eq!(bank.script("A touch"), "A touch: nothing says 9999 (revision 10000, v1)");
    assert!(bank.sim.calls.len() < 400, "{} calls", bank.sim.calls.len());
}

/// `settle` takes from one account, gives to another, and notes it at a third, for the id and the cents of its input.
fn settle() -> Definition {
    let step = |text: &str, id: &str, name: &str, undo: Option<&str>| {
        let command = CommandStep {
            aggregate: "account".into(),
            id: format!("/input/{id}"),
            command: name.into(),
            data: CommandData::At("/input/cents".into()),
            undo: undo.map(|name| CommandUndo { command: name.into(), data: None }),
        };
        Step { body: Body::Command(command), ..step(text) }
    };
    let steps =
        [step("take", "from", "take", Some("put")), step("give", "to", "put", Some("take")), step("note!", "book", "put", None)];
    let stages = steps.map(|step| Stage { steps: vec![step], savepoint_after: None }).to_vec();
    Definition { stages, ..definition(&[]) }
}

impl Bank {
    /// With the saga beside the aggregate.
    fn of_sagas() -> Self {
        Self::of_saga(settle())
    }

    fn of_saga(saga: Definition) -> Self {
        let mut bank = Self { sim: Sim::new(all_done), sent: Vec::new(), minted: 0 };
        let deploy = Deploy { aggregates: vec![definition_of(0)], ..deploy(1, vec![saga]) };
        let answered = bank.sim.ask_deploy(deploy);
        bank.sim.settle();
        said(answered).expect("deployed");
        bank.script("A open\n B open\n C open\n -\n A put 10");
        bank.sim.calls.clear();
        bank.sim.commits = 0;
        bank
    }

    fn balances(&mut self) -> String {
        let told = self.script("A touch\n B touch\n C touch");
        told.lines().map(|line| line.split("says ").nth(1).unwrap_or(line).to_owned()).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_saga_of_commands_to_three_aggregates_costs_one_commit() {
    let mut bank = Bank::of_sagas();
    let answered = bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, true);
    while bank.sim.answer_one() || bank.sim.end_one() || bank.sim.decide_one() {}
    assert_eq!((bank.sim.queue.len(), bank.sim.commits), (1, 0), "all of it is in one batch");
    bank.sim.settle();
    let answer = said(answered).expect("started");
    assert_eq!(answer.view.status, Status::Completed);
    let output = answer.view.output.unwrap();
    assert_eq!(
        str::from_utf8(&output.bytes).unwrap(),
        r#"{"revision":2,"data":null,"events":[{"type":"account.put","version":1,"revision":2,"data":4}]}"#
    );
    assert_eq!(bank.sim.commits, 1);
    assert_eq!(bank.records("A").lines().last().unwrap().split(" by take ").next(), Some("#3 account.taken"));
    assert!(bank.records("A").ends_with("(S1)"), "its chain of causes begins with the saga: {}", bank.records("A"));
    expect![[r#"
        6 (revision 3, v1)
        4 (revision 2, v1)
        4 (revision 2, v1)"#]]
    .assert_eq(&bank.balances());
}

#[test]
fn what_an_aggregate_refuses_is_undone_by_commands() {
    let mut bank = Bank::of_sagas();
    let mut ended = |input: &str, id: &str| {
        let answered = bank.sim.start(id, input, true);
        bank.sim.settle();
        let view = said(answered).expect("started").view;
        let code = match view.rollback {
            Some(amends_core::event::Reason::Refused(_, failure)) => failure.code,
            other => format!("{other:?}"),
        };
        format!("{:?} {code}", view.status)
    };
    assert_eq!(ended(r#"{"from":"A","to":"B","book":"C","cents":11}"#, "S1"), "Compensated too_little");
    assert_eq!(ended(r#"{"from":"A","to":"X","book":"C","cents":3}"#, "S2"), "Compensated no_such_aggregate");
    assert_eq!(ended(r#"{"from":"A","to":"B","book":"X","cents":3}"#, "S3"), "Compensated no_such_aggregate");
    assert_eq!(ended(r#"{"from":"A","to":"B","cents":3}"#, "S4"), "Compensated no_id");
    assert_eq!(ended(r#"{"from":"A","to":"B","book":"C"}"#, "S5"), "Compensated no_data");
    let large = format!(r#"{{"from":"A","to":"B","book":"C","cents":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(ended(&large, "S6"), "Compensated payload_too_large");
    expect![[r#"
        10 (revision 8, v1)
        0 (revision 5, v1)
        0 (revision 1, v1)"#]]
    .assert_eq(&bank.balances());
}

/// A command's key is its leg's, and the first refusal came again for each attempt of a compensation, also after an operator's retry.
#[test]
fn a_command_that_undoes_and_was_refused_is_decided_anew_in_the_next_attempt() {
    let mut settle = settle();
    let Body::Command(note) = &mut settle.stages[2].steps[0].body else { panic!("no command") };
    note.aggregate = "nobodys".into();
    let mut bank = Bank::of_saga(settle);
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, false));
    bank.sim.pass(1_000);
    assert_eq!(bank.script("B take 4"), "B take 4: #3 taken 4 (revision 3, v1)");
    drop(bank.sim.verb("S1", Verb::Cancel, "K1"));
    bank.sim.settle();
    bank.sim.pass(60_000);
    assert_ne!(status(&mut bank.sim, "S1"), Status::Compensated, "B has nothing to give back");
    bank.script("B put 4");
    for _ in 0..4 {
        bank.sim.pass(600_000);
    }
    assert_eq!(status(&mut bank.sim, "S1"), Status::Compensated);
    assert_eq!(bank.balances(), "10 (revision 4, v1)\n0 (revision 5, v1)\n0 (revision 1, v1)");
}

/// `label` names an account, and takes from another one; the first is unnamed with the reason.
fn label(taken_from: &str) -> Definition {
    let mut label = settle();
    label.stages.truncate(2);
    let [name, take] = [0, 1].map(|stage| label.stages[stage].steps[0].clone());
    let (Body::Command(mut name_it), Body::Command(mut take_it)) = (name.body, take.body) else { panic!("no commands") };
    let why = [("why", "/cause/code"), ("by", "/cause/step"), ("was", "/output/events/0/data"), ("of", "/input/from")];
    let why = why.map(|(name, at)| Member { name: name.into(), at: at.into() }).to_vec();
    name_it.command = "name".into();
    name_it.undo = Some(CommandUndo { command: "unname".into(), data: Some(CommandData::Object(why)) });
    (take_it.aggregate, take_it.command, take_it.undo) = (taken_from.into(), "take".into(), None);
    label.stages[0].steps[0].body = Body::Command(name_it);
    label.stages[1].steps[0] = Step { body: Body::Command(take_it), undo: Undo::Nothing, ..label.stages[1].steps[0].clone() };
    label
}

/// What A was unnamed with, each time that it was.
fn unnamed(bank: &Bank) -> Vec<String> {
    let name = StreamId { namespace: namespace(), kind: crate::journal::StreamKind::Aggregate, id: "account/A".into() };
    let stored = reads::stream(bank.sim.store.as_ref(), &name).unwrap().unwrap_or_default();
    let data = stored.iter().filter_map(|stored| match crate::journal::record::decode_stored(stored).unwrap().fact {
        crate::journal::Fact::Aggregate(aggregate::AggregateEvent::Recorded { event_type, data, .. })
            if event_type == "account.unnamed" =>
        {
            Some(String::from_utf8(data.unwrap().bytes.to_vec()).unwrap())
        }
        _ => None,
    });
    data.collect()
}

/// A command that undoes had the data of the command that it undoes, so that no aggregate knew why. What it says is decided with its
/// first attempt: an attempt that follows a kill is the same command.
#[test]
fn a_command_that_undoes_says_why_once_also_after_a_kill() {
    let why = r#"{"why":"too_little","by":"give","was":4,"of":"A"}"#;
    let mut undone = 0;
    for kill_at in 0..18 {
        let mut bank = Bank::of_saga(label("account"));
        drop(bank.sim.start("S1", r#"{"from":"A","to":"B","cents":4}"#, true));
        for _ in 0..kill_at {
            let _ = bank.sim.answer_one() || bank.sim.end_one() || bank.sim.decide_one() || bank.sim.commit();
        }
        bank.sim = bank.sim.kill_and_restart();
        bank.sim.settle();
        bank.sim.pass(60_000);
        match unnamed(&bank).as_slice() {
            // The start was not durable.
            [] => assert!(!bank.records("A").contains("named"), "killed after {kill_at}: {}", bank.records("A")),
            [only] => {
                assert_eq!((only.as_str(), status(&mut bank.sim, "S1")), (why, Status::Compensated), "killed after {kill_at}");
                undone += 1;
            }
            more => panic!("killed after {kill_at}: {more:?}"),
        }
    }
    assert!(undone >= 3, "{undone}");
}

#[test]
fn a_command_that_undoes_says_that_the_saga_was_cancelled() {
    let mut bank = Bank::of_saga(label("nobodys"));
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","cents":4}"#, false));
    bank.sim.pass(1_000);
    drop(bank.sim.verb("S1", Verb::Cancel, "K1"));
    bank.sim.settle();
    assert_eq!(status(&mut bank.sim, "S1"), Status::Compensated);
    assert_eq!(unnamed(&bank), [r#"{"why":"cancelled","by":null,"was":4,"of":"A"}"#]);
}

/// A command that nobody could decide was sent again at the end of a backoff of up to a minute, however soon somebody could.
#[test]
fn commands_that_no_module_could_decide_are_sent_again_when_one_is_active_that_can() {
    let mut settle = settle();
    let Body::Command(note) = &mut settle.stages[2].steps[0].body else { panic!("no command") };
    (note.aggregate, note.command) = ("ledger".into(), "touch".into());
    let mut bank = Bank::of_saga(settle);
    let names: Vec<String> = (0..80).map(|number| format!("S{number}")).collect();
    bank.script("A put 1000");
    for name in &names {
        drop(bank.sim.start(name, r#"{"from":"A","to":"B","book":"C","cents":1}"#, false));
    }
    // Until they back off for long.
    for _ in 0..8 {
        bank.sim.pass(60_000);
    }
    bank.sim = bank.sim.kill_and_restart();
    bank.sim.settle();
    let active = |bank: &mut Bank, digest: u8, aggregate: &str| {
        let aggregate = aggregate::Definition { name: aggregate.into(), ..definition_of(0) };
        let module = format!("of-{}", aggregate.name);
        let answered = bank.sim.ask_deploy(Deploy { module, aggregates: vec![aggregate], ..deploy(digest, Vec::new()) });
        bank.sim.settle();
        said(answered).expect("deployed");
    };
    let completed = |bank: &mut Bank| names.iter().filter(|name| status(&mut bank.sim, name) == Status::Completed).count();
    active(&mut bank, 2, "journal");
    assert_eq!(completed(&mut bank), 0);
    active(&mut bank, 3, "ledger");
    assert_eq!(completed(&mut bank), 80);
}

/// The end of `settle` of S1 that is killed after so many steps of the host, beside a client who takes part of one of its calls, when the
/// host comes back so much later: whether there is a saga, and where the money is.
fn killed(kill_at: usize, deadline_ms: Option<u64>, away_ms: u64) -> String {
    let mut bank = Bank::of_saga(Definition { deadline_ms, ..settle() });
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, true));
    // In one call with the saga's command, and then in one commit.
    bank.send("A put 1");
    for _ in 0..kill_at {
        let _ = bank.sim.answer_one() || bank.sim.end_one() || bank.sim.decide_one() || bank.sim.commit();
    }
    bank.sim.now = bank.sim.now.plus(away_ms);
    bank.sim = bank.sim.kill_and_restart();
    bank.told();
    bank.sim.settle();
    for _ in 0..6 {
        bank.sim.pass(60_000);
    }
    let definitions = bank.sim.shard.modules.definitions().clone();
    let found = load::saga(load::Source::endless(bank.sim.store.as_ref(), &definitions), &key("S1"));
    let status = found.map_or_else(|_| "none".to_owned(), |loaded| format!("{:?}", loaded.saga.status()));
    let balances = bank.balances();
    let balances: Vec<&str> = balances.lines().map(|line| line.split(' ').next().unwrap()).collect();
    format!("{status} {}", balances.join(" "))
}

/// The events of a command were durable without the start or the intent of the saga that sent it, wherever something else that was
/// awaited shared their commit: nobody knew of them after a kill. And an intent whose command was decided counted as nothing that
/// happened, so a deadline that passed meanwhile undid nothing. The kind: what one stream does for another one, and a crash between.
#[test]
fn what_a_saga_sent_before_a_kill_is_done_to_its_end_or_undone() {
    for kill_at in 0..14 {
        let ended = killed(kill_at, None, 0);
        assert!(
            ["none 10 0 0", "none 11 0 0", "Completed 6 4 4", "Completed 7 4 4"].contains(&ended.as_str()),
            "killed after {kill_at}: {ended}"
        );
        let ended = killed(kill_at, Some(30_000), 40_000);
        let is_whole = ["none 10 0 0", "none 11 0 0", "Completed 7 4 4", "Compensated 10 0 0", "Compensated 11 0 0"];
        assert!(is_whole.contains(&ended.as_str()), "killed after {kill_at}, with a deadline that passed: {ended}");
    }
}

/// An intent that had to wait for its commit was sent when something else happened next, and a host to which nothing happens hung.
#[test]
fn a_command_whose_intent_waited_for_its_commit_is_sent_then() {
    let mut bank = Bank::of_sagas();
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, false));
    bank.sim.commit();
    // After a kill the first attempt of a saga waits for its intent.
    bank.sim = bank.sim.kill_and_restart();
    while bank.sim.answer_one() || bank.sim.end_one() || bank.sim.decide_one() || bank.sim.commit() {}
    bank.sim.pass_time(1_000);
    while bank.sim.answer_one() || bank.sim.end_one() || bank.sim.decide_one() || bank.sim.commit() {}
    assert_eq!(status(&mut bank.sim, "S1"), Status::Completed);
}

/// Each answer was told within the telling of the one before it, and thousands of them took the stack of the shard's thread.
#[test]
fn twenty_thousand_commands_that_are_refused_at_once_are_told_one_after_the_other() {
    let mut saga = settle();
    saga.stages.truncate(1);
    let step = &mut saga.stages[0].steps[0];
    step.each = Some(amends_core::definition::Each {
        items: "/input".into(),
        key: None,
        mode: amends_core::definition::EachMode::FailFast,
        concurrency: 20_000,
    });
    let mut bank = Bank::of_saga(saga);
    let elements: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    drop(bank.sim.start("S1", &format!("[{}]", elements.join(",")), false));
    bank.sim.settle();
    assert_eq!(status(&mut bank.sim, "S1"), Status::Compensated);
}

#[test]
fn tb_21_a_command_that_no_code_can_decide_waits_for_the_code_and_uses_up_no_attempts() {
    let mut bank = Bank { sim: Sim::new(all_done), sent: Vec::new(), minted: 0 };
    let mut touches = settle();
    for step in touches.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        let Body::Command(command) = &mut step.body else { panic!("no command") };
        command.command = "touch".into();
    }
    bank.sim.deploy(1, touches);
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, false));
    bank.sim.pass(600_000);
    assert!(matches!(status(&mut bank.sim, "S1"), Status::Waiting | Status::Running));
    let aggregates = Deploy { module: "bank".into(), aggregates: vec![definition_of(0)], ..deploy(2, Vec::new()) };
    let answered = bank.sim.ask_deploy(aggregates);
    bank.sim.settle();
    said(answered).expect("deployed");
    assert_eq!(status(&mut bank.sim, "S1"), Status::Completed);
}

/// What only sagas wait for stays in memory until the saga is recorded. A client that asks in between must not wait for that.
#[test]
fn a_client_that_asks_an_aggregate_amid_a_saga_waits_for_one_commit_and_no_longer() {
    let mut bank = Bank::of_sagas();
    drop(bank.sim.start("S1", r#"{"from":"A","to":"B","book":"C","cents":4}"#, false));
    while bank.sim.answer_one() || bank.sim.commit() {}
    assert!(bank.sim.decide_one(), "the first command is decided");
    bank.send("A touch");
    while bank.sim.decide_one() || bank.sim.answer_one() {}
    bank.sim.commit();
    assert_eq!(bank.told(), "A touch: nothing says 6 (revision 3, v1)");
}
