use expect_test::{Expect, expect};

use super::*;

fn instant(text: &str) -> Instant {
    Instant(u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap())
}

/// The first moments of an expression after one, in its zone.
#[track_caller]
fn check(expression: &str, zone: &str, after: &str, count: usize, expected: &Expect) {
    let cron = Cron::parse(expression, zone).unwrap();
    let moments = std::iter::successors(cron.after(instant(after)), |moment| cron.after(*moment));
    let said = moments.take(count).map(|moment| {
        let moment = Timestamp::from_millisecond(i64::try_from(moment.0).unwrap()).unwrap();
        moment.to_zoned(cron.zone.clone()).strftime("%a %Y-%m-%d %H:%M %:z\n").to_string()
    });
    expected.assert_eq(&said.collect::<String>());
}

#[test]
fn fields_are_lists_ranges_steps_and_names() {
    let from = "2026-11-20T12:34:56Z";
    check(
        "*/20 9-10 * * mon-fri",
        "UTC",
        from,
        7,
        &expect![[r#"
        Mon 2026-11-23 09:00 +00:00
        Mon 2026-11-23 09:20 +00:00
        Mon 2026-11-23 09:40 +00:00
        Mon 2026-11-23 10:00 +00:00
        Mon 2026-11-23 10:20 +00:00
        Mon 2026-11-23 10:40 +00:00
        Tue 2026-11-24 09:00 +00:00
    "#]],
    );
    check(
        "5,50-59/5 12 31 JAN,dec *",
        "UTC",
        from,
        4,
        &expect![[r#"
        Thu 2026-12-31 12:05 +00:00
        Thu 2026-12-31 12:50 +00:00
        Thu 2026-12-31 12:55 +00:00
        Sun 2027-01-31 12:05 +00:00
    "#]],
    );
    check(
        "@weekly",
        "America/New_York",
        from,
        2,
        &expect![[r#"
        Sun 2026-11-22 00:00 -05:00
        Sun 2026-11-29 00:00 -05:00
    "#]],
    );
    check(
        "35 12 * * 7",
        "UTC",
        "2026-11-22T12:35:00Z",
        1,
        &expect![[r#"
        Sun 2026-11-29 12:35 +00:00
    "#]],
    );
}

#[test]
fn two_days_that_are_spelled_out_are_alternatives() {
    check(
        "0 0 13 * fri",
        "UTC",
        "2026-11-01T00:00:00Z",
        4,
        &expect![[r#"
        Fri 2026-11-06 00:00 +00:00
        Fri 2026-11-13 00:00 +00:00
        Fri 2026-11-20 00:00 +00:00
        Fri 2026-11-27 00:00 +00:00
    "#]],
    );
}

#[test]
fn a_time_of_day_in_the_gap_happens_as_it_ends_and_once() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-27T12:00:00Z",
        3,
        &expect![[r#"
        Sat 2026-03-28 02:30 +01:00
        Sun 2026-03-29 03:00 +02:00
        Mon 2026-03-30 02:30 +02:00
    "#]],
    );
    check(
        "*/20 2,3 * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        4,
        &expect![[r#"
        Sun 2026-03-29 03:00 +02:00
        Sun 2026-03-29 03:20 +02:00
        Sun 2026-03-29 03:40 +02:00
        Mon 2026-03-30 02:00 +02:00
    "#]],
    );
}

#[test]
fn a_time_of_day_that_is_there_twice_happens_the_first_time() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        2,
        &expect![[r#"
        Sun 2026-10-25 02:30 +02:00
        Mon 2026-10-26 02:30 +01:00
    "#]],
    );
    // Also when the clock is looked at in the second of the two hours.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-25T01:15:00Z",
        1,
        &expect![[r#"
        Mon 2026-10-26 02:30 +01:00
    "#]],
    );
}

#[test]
fn hours_that_are_counted_pass_as_they_do() {
    check(
        "30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        3,
        &expect![[r#"
        Sun 2026-03-29 01:30 +01:00
        Sun 2026-03-29 03:30 +02:00
        Sun 2026-03-29 04:30 +02:00
    "#]],
    );
    check(
        "30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        4,
        &expect![[r#"
        Sun 2026-10-25 02:30 +02:00
        Sun 2026-10-25 02:30 +01:00
        Sun 2026-10-25 03:30 +01:00
        Sun 2026-10-25 04:30 +01:00
    "#]],
    );
}

#[test]
fn the_last_day_of_a_month_and_a_day_that_is_rare_come() {
    check(
        "0 0 L * *",
        "UTC",
        "2026-11-30T12:00:00Z",
        3,
        &expect![[r#"
        Thu 2026-12-31 00:00 +00:00
        Sun 2027-01-31 00:00 +00:00
        Sun 2027-02-28 00:00 +00:00
    "#]],
    );
    check(
        "0 0 29 2 *",
        "UTC",
        "2097-03-01T00:00:00Z",
        1,
        &expect![[r#"
            Fri 2104-02-29 00:00 +00:00
        "#]],
    );
}

#[test]
fn what_is_no_expression_says_why() {
    let wrong = [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * foo *",
        "*/0 * * * *",
        "5-1 * * * *",
        "+5 * * * *",
        "-1 * * * *",
        "@often",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
    ];
    let said = wrong.map(|wrong| format!("{wrong:<12} {}\n", Cron::parse(wrong, "UTC").unwrap_err())).concat();
    expect![[r#"
                     it is empty
        * * * *      it needs five fields: minute, hour, day of month, month and day of week
        * * * * * *  it needs five fields: minute, hour, day of month, month and day of week
        60 * * * *   number out of bounds
        * 24 * * *   number out of bounds
        * * 0 * *    number out of bounds
        * * * 13 *   number out of bounds
        * * * * 8    number out of bounds
        * * * foo *  it contains illegal character 'F' in part 'FOO'
        */0 * * * *  step cannot be zero
        5-1 * * * *  range out of bounds
        +5 * * * *   it contains illegal character '+' in part '+5'
        -1 * * * *   invalid start of range
        @often       it needs five fields: minute, hour, day of month, month and day of week
        0 0 30 2 *   it names a day that no month has
        0 0 31 4,6 * it names a day that no month has
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_zone_is_found_whatever_its_case_and_one_that_is_not_names_the_nearest() {
    assert_eq!(Cron::parse("@daily", "europe/berlin").unwrap().zone(), "Europe/Berlin");
    let unknown = |zone| Cron::parse("@daily", zone).unwrap_err();
    assert_eq!(unknown("Europe/Berlim"), BadCron::UnknownZone(Some("Europe/Berlin".into())));
    assert_eq!(unknown("qqq"), BadCron::UnknownZone(None));
}

/// A name of a megabyte was held against every zone there is, to say which was meant: that took a quarter of a minute.
#[test]
fn a_zone_that_is_longer_than_any_is_compared_with_none() {
    let long = format!("Europe/Berlin{}", "n".repeat(60));
    assert_eq!(Cron::parse("@daily", &long).unwrap_err(), BadCron::UnknownZone(None));
}
