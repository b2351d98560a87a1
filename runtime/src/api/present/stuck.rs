//! Groups of stuck sagas as the wire says them, with the commands that help a whole group.

use amends_core::{
    event::Why,
    id::{Direction, Namespace, SagaId},
};

use super::{denial, help};
use crate::{
    api::wire::stuck,
    engine::port::{self, FirstStuck},
};

/// The groups.
pub fn groups(namespace: &Namespace, groups: &port::StuckGroups) -> stuck::StuckGroups {
    stuck::StuckGroups {
        groups: groups.groups.iter().map(|found| group(namespace, found)).collect(),
        unreadable: groups.unreadable.iter().map(|id| id.as_str().to_owned()).collect(),
        is_cut: groups.is_cut,
    }
}

fn group(namespace: &Namespace, group: &port::StuckGroup) -> stuck::StuckGroup {
    let FirstStuck { view, stuck } = &group.first;
    let (code, why) = help::why(&stuck.why);
    stuck::StuckGroup {
        saga: view.definition.clone(),
        module: view.module.clone(),
        version: view.version,
        step: group.step.clone(),
        direction: super::saga::direction(stuck.leg.direction).to_owned(),
        code: code.to_owned(),
        failure: group.failure.clone(),
        why,
        denial: help::denial(&stuck.why),
        count: group.count,
        since: group.since.into(),
        sagas: group.sagas.iter().map(|id| id.as_str().to_owned()).collect(),
        help: commands(namespace, group),
    }
}

fn commands(namespace: &Namespace, group: &port::StuckGroup) -> Vec<String> {
    let FirstStuck { view, stuck } = &group.first;
    // One saga is helped as one.
    if let ([id], 1) = (group.sagas.as_slice(), group.count) {
        return help::commands(namespace, id, view, stuck);
    }
    if let Why::Denied(denied) = &stuck.why
        && let Some(grant) = denial::command(denied, namespace, &view.module)
    {
        return vec![grant];
    }
    let all = format!(
        "--all --saga {} --version {} --step {} --failure {}",
        view.definition,
        view.version,
        quoted(&group.step),
        quoted(&group.failure)
    );
    let many = |verb: &str| format!("amends {verb} {all} --dry-run");
    let of_first = |id: &SagaId| format!("amends show {id}");
    let first = group.sagas.first().map(of_first);
    let verbs = match (&stuck.why, stuck.leg.direction) {
        (Why::JournalFull, _) => vec![many("abandon")],
        // Which of them happened is to be found out one by one.
        (Why::PivotInDoubt(_), Direction::Forward | Direction::Check) => Vec::new(),
        (Why::Denied(_), _) => vec![many("cancel")],
        (_, Direction::Undo(_)) => vec![many("retry"), format!("amends move --to VERSION {all} --dry-run")],
        (_, Direction::Forward | Direction::Check) => vec![many("retry")],
    };
    verbs.into_iter().chain(first).collect()
}

/// As a shell reads it as one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
