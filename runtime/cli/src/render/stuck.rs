//! What is stuck, in groups: where, why, since when, who, and what helps all of them.

use amends_wire::{
    saga::Direction,
    stuck::{StuckGroup, StuckGroups},
};

use super::{
    job::named,
    style::{BAD, BOLD, DIM, paint},
    text::{clean, count},
    time::Now,
};

/// The groups, with an empty line between them.
pub(crate) fn groups(groups: &StuckGroups, now: &Now) -> String {
    let groups: Vec<String> = groups.groups.iter().map(|found| group(found, now)).collect();
    groups.join("\n")
}

/// What is to be said beside them; nothing, if there are none.
pub(crate) fn summary(groups: &StuckGroups) -> Option<String> {
    let StuckGroups { groups, unreadable, is_cut } = groups;
    let sagas = groups.iter().map(|group| group.count).sum::<u64>();
    let listed = format!(
        "{} in {}; `amends list --status stuck --flat` has a line for each",
        count(sagas, "stuck saga"),
        count(groups.len() as u64, "group")
    );
    let lines = [
        (!groups.is_empty()).then_some(listed),
        (!unreadable.is_empty())
            .then(|| format!("{} cannot be read{}", count(unreadable.len() as u64, "saga"), named(unreadable, 0))),
        is_cut.then(|| {
            "more sagas are stuck than were examined: resolve these first, or narrow the list with --saga and --module".to_owned()
        }),
    ];
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn group(group: &StuckGroup, now: &Now) -> String {
    let of = if group.saga == group.module { String::new() } else { format!("{} of ", group.saga) };
    let doing = match group.direction {
        Direction::Undo => "undo of ",
        Direction::Check => "check of ",
        Direction::Forward => "",
    };
    let head = format!(
        "{of}{} v{}  {}  {}  {}\n",
        group.module,
        group.version,
        paint(BOLD, format!("{doing}{}", clean(&group.step))),
        paint(BAD, format!("{} stuck", group.count)),
        paint(DIM, format!("since {} ({})", now.clock(group.since), now.ago(group.since)))
    );
    let more = group.count.saturating_sub(group.sagas.len() as u64);
    let help: String = group.help.iter().map(|command| format!("    {}\n", clean(command))).collect();
    format!("{head}  {}\n  {}\n{help}", clean(&group.why), named(&group.sagas, more).trim_matches([' ', '(', ')']))
}

#[cfg(test)]
mod tests {
    use amends_wire::saga::StuckCode;
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::render::style::plain;
    use amends_host::api::{present::value::time, samples::NOON};

    #[test]
    fn stuck_sagas_are_shown_in_groups_with_what_helps_each() {
        let one = StuckGroup {
            saga: "trip".into(),
            module: "trip".into(),
            version: 1,
            step: "reserve-hotel".into(),
            direction: Direction::Undo,
            code: StuckCode::Exhausted,
            failure: "gateway_down".into(),
            why: "all attempts are used up; the last: gateway_down: no\u{1b}[2J route".into(),
            denial: None,
            count: 100,
            since: time(NOON),
            sagas: ["T1", "T2", "T3", "T4", "T5"].map(String::from).into(),
            help: vec!["amends retry --all --saga trip --dry-run".into(), "amends show T1".into()],
        };
        let other = StuckGroup {
            saga: "flight".into(),
            step: "charge".into(),
            direction: Direction::Forward,
            count: 1,
            sagas: vec!["F1".into()],
            help: Vec::new(),
            ..one.clone()
        };
        let all = StuckGroups { groups: vec![one, other], unreadable: vec!["X1".into()], is_cut: true };
        let now = Now { at: time(NOON.plus(300_000)), zone: TimeZone::UTC };
        expect![[r#"
            trip v1  undo of reserve-hotel  100 stuck  since 12:00:00 (5m ago)
              all attempts are used up; the last: gateway_down: no [2J route
              T1, T2, T3, T4, T5 and 95 more
                amends retry --all --saga trip --dry-run
                amends show T1

            flight of trip v1  charge  1 stuck  since 12:00:00 (5m ago)
              all attempts are used up; the last: gateway_down: no [2J route
              F1
        "#]]
        .assert_eq(&plain(&groups(&all, &now)));
        expect![[r#"
            101 stuck sagas in 2 groups; `amends list --status stuck --flat` has a line for each
            1 saga cannot be read (X1)
            more sagas are stuck than were examined: resolve these first, or narrow the list with --saga and --module"#]]
        .assert_eq(&summary(&all).unwrap());
        assert_eq!(summary(&StuckGroups::default()), None);
    }
}
