//! `amends letters`: what waits of policies, and what operators do with it.

use amends_wire::policy::{Letter, LetterGroup, LetterGroups, LetterKind, LetterWaits, Letters as Page, PolicyAct};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::{
    clock,
    exit::Exit,
    policies,
    render::{
        style::{BOLD, paint},
        text::{clean, columns, header},
        time::Now,
    },
    session::{Form, Session, print, print_json, say},
};

/// List what waits of policies: in groups of one reason, or one by one of a policy.
///
/// An event that a policy cannot take waits for an operator, and what comes after it with the same key waits behind it; other keys go on.
/// Letters are references: when they are redriven, the code of today takes what is in the journal.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  amends letters\n  amends letters loyalty --key C7\n  amends letters redrive loyalty\n  amends letters drop loyalty --key C7 --position 0-1-48 --note 'an order of a test'"
)]
pub(super) struct Letters {
    /// The policy; groups of all policies when left out.
    policy: Option<String>,
    /// Only with this key.
    #[arg(long, requires = "policy")]
    key: Option<String>,
    /// At most so many, 1 to 1000.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// From the page before.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Redrive(Redrive),
    Drop(Drop),
}

/// Try what waits again, in its order, with the code of today.
#[derive(Args, Debug)]
struct Redrive {
    /// The policy.
    policy: String,
    /// Only what waits with this key; without it, what waits for an operator, of the first 1,000 keys.
    #[arg(long)]
    key: Option<String>,
    /// The reason.
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Leave one out. What waits behind it goes on when it is redriven.
#[derive(Args, Debug)]
struct Drop {
    /// The policy.
    policy: String,
    /// Its key.
    #[arg(long)]
    key: String,
    /// Its position, as `amends letters POLICY` shows it.
    #[arg(long)]
    position: String,
    /// The reason.
    #[arg(long)]
    note: String,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(letters: &Letters, session: &Session) -> Result<Exit> {
    match (&letters.verb, &letters.policy) {
        (Some(verb), _) => act(verb, session),
        (None, Some(policy)) => page(letters, policy, session),
        (None, None) => groups(letters.form, session),
    }
}

fn act(verb: &Verb, session: &Session) -> Result<Exit> {
    let (path, policy, body, form) = match verb {
        Verb::Redrive(redrive) => {
            let body = PolicyAct { note: redrive.note.clone(), key: redrive.key.clone(), ..PolicyAct::default() };
            ("redrive", &redrive.policy, body, redrive.form)
        }
        Verb::Drop(drop) => {
            let (key, position) = (Some(drop.key.clone()), Some(drop.position.clone()));
            let body = PolicyAct { note: Some(drop.note.clone()), key, position, from: None };
            ("drop", &drop.policy, body, drop.form)
        }
    };
    policies::shown(&session.client.post(&["v1", "policies", policy, path], &body)?, form)
}

fn page(letters: &Letters, policy: &str, session: &Session) -> Result<Exit> {
    let mut asked = vec![("limit", letters.limit.to_string())];
    asked.extend(letters.key.iter().map(|key| ("key", key.clone())));
    asked.extend(letters.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
    let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let Page { letters: found, next } = session.client.get(&["v1", "policies", policy, "letters"], &asked)?;
    match letters.form.json {
        true => found.iter().try_for_each(print_json)?,
        false => print(&table(&found, &clock::now()))?,
    }
    if found.is_empty() {
        say("nothing waits");
    }
    if let Some(next) = next {
        say(&format!("more: --cursor '{}'", clean(&next)));
    }
    Ok(Exit::Fine)
}

fn groups(form: Form, session: &Session) -> Result<Exit> {
    let LetterGroups { groups } = session.client.get(&["v1", "letters"], &[])?;
    match form.json {
        true => groups.iter().try_for_each(print_json)?,
        false => print(&of_groups(&groups, &clock::now()))?,
    }
    if groups.is_empty() {
        say("nothing waits");
    }
    Ok(Exit::Fine)
}

fn of_groups(groups: &[LetterGroup], now: &Now) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(["POLICY", "WHY", "KEYS", "CAUSES", "OLDEST", "EXAMPLES"])];
    let of_one = |group: &LetterGroup| {
        let why = match (&group.code, &group.message) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{}: {}", clean(code), clean(message)),
            (Some(code), _) => clean(code).into_owned(),
            (None, _) => "waits for its instance".to_owned(),
        };
        vec![
            paint(BOLD, clean(&group.policy)),
            why,
            group.keys.to_string(),
            group.causes.to_string(),
            group.since.map_or_else(|| "-".to_owned(), |since| now.ago(since)),
            group.examples.iter().map(|key| clean(key).into_owned()).collect::<Vec<_>>().join(", "),
        ]
    };
    rows.extend(groups.iter().map(of_one));
    columns(&rows)
}

fn table(letters: &[Letter], now: &Now) -> String {
    if letters.is_empty() {
        return String::new();
    }
    let mut rows = vec![header(["KEY", "POSITION", "WHAT", "RECORDED", "WAITS FOR"])];
    rows.extend(letters.iter().map(|letter| row(letter, now)));
    columns(&rows)
}

fn row(letter: &Letter, now: &Now) -> Vec<String> {
    let what = clean(&letter.what);
    let what = match letter.kind {
        LetterKind::Event => match &letter.id {
            Some(id) => format!("{what} {}", clean(id)),
            None => what.into_owned(),
        },
        LetterKind::Answer => format!("answer to {what}"),
        LetterKind::Timer => format!("timer {what}"),
    };
    let why = || match (&letter.code, &letter.message) {
        (Some(code), Some(message)) if !message.is_empty() => format!(": {} ({})", clean(message), clean(code)),
        (Some(code), _) => format!(": {}", clean(code)),
        (None, _) => String::new(),
    };
    let waits = match letter.waits_for {
        LetterWaits::Operator => format!("an operator{}", why()),
        LetterWaits::OperatorAlone => format!("an operator, alone{}", why()),
        LetterWaits::TheOneBefore => "the one before it".to_owned(),
        LetterWaits::Instance => {
            let until = letter.until.map(|until| format!(" until {}", now.clock(until))).unwrap_or_default();
            format!("its instance{until}")
        }
    };
    vec![paint(BOLD, clean(&letter.key)), clean(&letter.position).into_owned(), what, now.ago(letter.at), waits]
}

#[cfg(test)]
mod tests {
    use amends_wire::Time;
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn letters_say_what_they_are_and_for_what_they_wait() {
        let at = Time::from_ms(1_767_268_800_000);
        let now = Now { at, zone: TimeZone::UTC };
        let letter = |position: &str, waits_for| Letter {
            key: "C7".to_owned(),
            position: position.to_owned(),
            kind: LetterKind::Event,
            what: "order.paid".to_owned(),
            id: Some("order/O7/3".to_owned()),
            at: Time::from_ms(at.ms() - 12_000),
            waits_for,
            code: None,
            message: None,
            until: None,
            correlation: "R1".to_owned(),
        };
        let first = Letter {
            code: Some("bad_data".to_owned()),
            message: Some("no total".to_owned()),
            ..letter("0-1-48", LetterWaits::Operator)
        };
        let behind =
            Letter { kind: LetterKind::Timer, what: "grace".to_owned(), id: None, ..letter("0-1-50", LetterWaits::TheOneBefore) };
        let kept = Letter { until: Some(at), ..letter("0-1-52", LetterWaits::Instance) };
        let alone = Letter { code: Some("instance_exists".to_owned()), ..letter("0-1-53", LetterWaits::OperatorAlone) };
        let group = LetterGroup {
            policy: "loyalty".to_owned(),
            code: Some("bad_data".to_owned()),
            message: Some("no total".to_owned()),
            keys: 1,
            causes: 2,
            since: Some(Time::from_ms(at.ms() - 12_000)),
            examples: vec!["C7".to_owned()],
        };
        let waits = LetterGroup { code: None, message: None, ..group.clone() };
        let told = table(&[first, behind, kept, alone], &now) + "\n" + &of_groups(&[group, waits], &now);
        expect![[r#"
            KEY  POSITION  WHAT                   RECORDED  WAITS FOR
            C7   0-1-48    order.paid order/O7/3  12s ago   an operator: no total (bad_data)
            C7   0-1-50    timer grace            12s ago   the one before it
            C7   0-1-52    order.paid order/O7/3  12s ago   its instance until 12:00:00
            C7   0-1-53    order.paid order/O7/3  12s ago   an operator, alone: instance_exists

            POLICY   WHY                     KEYS  CAUSES  OLDEST   EXAMPLES
            loyalty  bad_data: no total      1     2       12s ago  C7
            loyalty  waits for its instance  1     2       12s ago  C7
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&told).to_string());
    }
}
