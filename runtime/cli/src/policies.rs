//! `amends policies`: how policies stand, and what operators do with them.

use amends_wire::policy::{Policies as All, Policy, PolicyAct, PolicyStatus};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    clock,
    exit::Exit,
    render::{
        style::{BAD, BOLD, paint},
        text::{clean, columns, count, header},
        time::Now,
    },
    session::{Form, Session, print, print_json, say},
};

/// List policies, or show one: its code, how far it is, and what stands in its way.
///
/// A policy reacts to events with commands, events and starts of sagas. It runs on the active version of its module; a new version goes on
/// where the one before stopped. What it cannot take waits, and `amends letters` lists it.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  amends policies\n  amends policies pause credit-on-order\n  amends policies reset loyalty --from beginning --note 'the rule has changed'"
)]
pub(super) struct Policies {
    /// The policy; all of them when left out.
    name: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take nothing until it is resumed, and miss nothing.
    Pause(Named),
    /// Go on with a policy that is paused or has stopped; what it stopped at is tried again.
    Resume(Named),
    Reset(Reset),
}

/// The policy and the reason.
#[derive(Args, Debug)]
struct Named {
    /// The policy.
    name: String,
    /// The reason.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Begin anew: without its instances, without what waits, and behind another position.
///
/// What it did before stands. Events up to now are a replay for it: it drops what would follow from them, if its module does not declare
/// otherwise.
#[derive(Args, Debug)]
struct Reset {
    /// The policy.
    name: String,
    /// `beginning`, `now`, or a position, as `amends events --json` shows it.
    #[arg(long)]
    from: String,
    /// The reason.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(policies: &Policies, session: &Session) -> Result<Exit> {
    match (&policies.verb, &policies.name) {
        (Some(verb), _) => act(verb, session),
        (None, Some(name)) => shown(&session.client.get(&["v1", "policies", name], &[])?, policies.form),
        (None, None) => list(policies.form, session),
    }
}

fn act(verb: &Verb, session: &Session) -> Result<Exit> {
    let named = |named: &Named| PolicyAct { note: named.note.clone(), ..PolicyAct::default() };
    let (path, name, body, form) = match verb {
        Verb::Pause(pause) => ("pause", &pause.name, named(pause), pause.form),
        Verb::Resume(resume) => ("resume", &resume.name, named(resume), resume.form),
        Verb::Reset(reset) => {
            let body = PolicyAct { note: reset.note.clone(), from: Some(reset.from.clone()), ..PolicyAct::default() };
            ("reset", &reset.name, body, reset.form)
        }
    };
    shown(&session.client.post(&["v1", "policies", name, path], &body)?, form)
}

/// One policy, as it stands after what was done with it.
pub(super) fn shown(policy: &Policy, form: Form) -> Result<Exit> {
    match form.json {
        true => print_json(policy)?,
        false => print(&one(policy, &clock::now()))?,
    }
    Ok(Exit::Fine)
}

fn list(form: Form, session: &Session) -> Result<Exit> {
    let All { policies } = session.client.get(&["v1", "policies"], &[])?;
    match form.json {
        true => policies.iter().try_for_each(print_json)?,
        false => print(&table(&policies, &clock::now()))?,
    }
    if policies.is_empty() {
        say("there are no policies; deploy a module with policies");
    }
    Ok(Exit::Fine)
}

fn table(policies: &[Policy], now: &Now) -> String {
    if policies.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(["POLICY", "MODULE", "LAG", "OLDEST", "ACTIVE", "FAILING", "PARKED", "WAITING", ""])];
    rows.extend(policies.iter().map(|policy| row(policy, now)));
    columns(&rows)
}

/// One policy, with what stands in its way.
fn one(policy: &Policy, now: &Now) -> String {
    let mut text = table(std::slice::from_ref(policy), now);
    let takes: Vec<String> = policy.takes.iter().map(|event_type| clean(event_type).into_owned()).collect();
    if !takes.is_empty() {
        text += &format!("takes {}\n", takes.join(", "));
    }
    if let Some(stopped) = &policy.stopped {
        let at = stopped.position.as_ref().map(|position| format!(" at {}", clean(position))).unwrap_or_default();
        let (message, code) = (clean(&stopped.message), clean(&stopped.code));
        let line = format!("stopped {}{at}: {message} ({code})\n", now.ago(stopped.since));
        text += &paint(BAD, line);
        text += &format!("next: amends policies resume {}\n", policy.name);
    }
    if policy.waiting > 0 {
        text += &format!("{} wait: amends letters {}\n", count(policy.waiting, "cause"), policy.name);
    }
    text
}

fn row(policy: &Policy, now: &Now) -> Vec<String> {
    let oldest = policy.waiting_since.map_or_else(|| "-".to_owned(), |since| now.ago(since));
    let parked = match policy.parked_since {
        Some(since) => paint(BAD, format!("{} ({})", policy.parked, now.ago(since))),
        None => policy.parked.to_string(),
    };
    let status = match policy.status {
        PolicyStatus::Running => String::new(),
        PolicyStatus::Paused => "paused".to_owned(),
        PolicyStatus::Stopped => paint(BAD, "stopped"),
        PolicyStatus::Withdrawn => "withdrawn".to_owned(),
    };
    vec![
        paint(BOLD, clean(&policy.name)),
        format!("{} v{}", clean(&policy.module), policy.version),
        lag(policy.lag),
        oldest,
        policy.active.to_string(),
        policy.failing.to_string(),
        parked,
        policy.waiting.to_string(),
        status,
    ]
}

/// The host counts up to this.
const LAG_MAX: u64 = 10_000;

fn lag(events: u64) -> String {
    if events < LAG_MAX { events.to_string() } else { format!("{LAG_MAX}+") }
}

#[cfg(test)]
mod tests {
    use amends_wire::{Time, policy::PolicyStop};
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_policy_shows_how_far_it_is_and_what_stands_in_its_way() {
        let at = Time::from_ms(1_767_268_800_000);
        let now = Now { at, zone: TimeZone::UTC };
        let ago = |ms: u64| Some(Time::from_ms(at.ms() - ms));
        let running = Policy {
            name: "credit-on-order".to_owned(),
            module: "rules".to_owned(),
            version: 3,
            status: PolicyStatus::Running,
            stopped: None,
            takes: vec!["order.created".to_owned()],
            keeps_state: false,
            incarnation: 1,
            position: "0-1-48".to_owned(),
            lag: 0,
            waiting_since: None,
            active: 2,
            failing: 0,
            parked: 1,
            parked_since: ago(12_000),
            waiting: 4,
        };
        let stopped = Policy {
            name: "loyalty".to_owned(),
            status: PolicyStatus::Stopped,
            stopped: Some(PolicyStop {
                position: Some("0-1-17".to_owned()),
                code: "bad_data".to_owned(),
                message: "no total".to_owned(),
                since: Time::from_ms(at.ms() - 60_000),
            }),
            lag: 10_000,
            waiting_since: ago(125_000),
            active: 0,
            parked: 0,
            parked_since: None,
            waiting: 0,
            ..running.clone()
        };
        let both = table(&[running.clone(), stopped.clone()], &now);
        let told = anstream::adapter::strip_str(&(both + "\n" + &one(&running, &now) + "\n" + &one(&stopped, &now))).to_string();
        expect![[r#"
            POLICY           MODULE    LAG     OLDEST  ACTIVE  FAILING  PARKED       WAITING
            credit-on-order  rules v3  0       -       2       0        1 (12s ago)  4
            loyalty          rules v3  10000+  2m ago  0       0        0            0        stopped

            POLICY           MODULE    LAG  OLDEST  ACTIVE  FAILING  PARKED       WAITING
            credit-on-order  rules v3  0    -       2       0        1 (12s ago)  4
            takes order.created
            4 causes wait: amends letters credit-on-order

            POLICY   MODULE    LAG     OLDEST  ACTIVE  FAILING  PARKED  WAITING
            loyalty  rules v3  10000+  2m ago  0       0        0       0        stopped
            takes order.created
            stopped 1m ago at 0-1-17: no total (bad_data)
            next: amends policies resume loyalty
        "#]]
        .assert_eq(&told);
    }
}
