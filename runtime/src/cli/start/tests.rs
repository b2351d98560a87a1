//! A wait, against a host of canned answers.

use expect_test::expect;

use super::*;
use crate::cli::{canned, render::samples};

/// What was asked, without the times left; how the wait ended, and what is said.
fn wait(seconds: u64, answers: Vec<Option<(u16, Saga)>>) -> String {
    let answers = answers.into_iter().map(|answer| answer.and_then(|(status, saga)| canned::json(status, &saga)));
    let (session, serving) = canned::host(answers.collect());
    let asked = Asked { saga: "trip", id: "T2".to_owned(), input: "{}".to_owned() };
    let waited = asked.wait(&session, Duration::from_secs(seconds));
    let mut said = String::new();
    for line in serving.join().unwrap() {
        said += line.split_once("wait=").map_or(line.as_str(), |(before, _)| before);
        said += "\n";
    }
    match waited {
        Ok((saga, None)) => said + &format!("{}, exit {}\n", saga.status.as_str(), Exit::of(saga.status) as u8),
        Ok((saga, Some(gone))) => {
            // How a socket says it depends on how far the request came.
            let gone = if gone == "it stops" { "it stops" } else { "why" };
            said + &format!("{}\nexit {}\n", goes_on(&saga, gone), Exit::of(saga.status) as u8)
        }
        Err(error) => said + &format!("{}\n", error.to_string().split(" (").next().unwrap_or_default()),
    }
}

#[test]
fn a_wait_ends_with_the_saga_and_the_exit_code_is_of_the_status_that_is_shown() {
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        compensated, exit 3
    "#]]
    .assert_eq(&wait(30, vec![Some((201, samples::waiting())), Some((200, samples::compensated()))]));
}

#[test]
fn a_wait_of_no_time_exits_with_what_it_saw() {
    // It printed a completed tree, and exited 5 because its time was up.
    let (done, waits) = (samples::completed(), samples::waiting());
    assert!(wait(0, vec![Some((200, done))]).ends_with("\ncompleted, exit 0\n"));
    assert!(wait(0, vec![Some((201, waits))]).ends_with("\nwaiting, exit 5\n"));
}

#[test]
fn a_host_that_dies_under_a_wait_leaves_a_durable_saga_and_its_id() {
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        amends: the host went away (why); trip T2 is durable and goes on once it is back: `amends show T2`
        exit 5
    "#]]
    .assert_eq(&wait(30, vec![Some((201, samples::waiting())), None]));
}

#[test]
fn a_host_that_stops_under_a_wait_is_not_asked_again_and_again() {
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        amends: the host went away (it stops); trip T2 is durable and goes on once it is back: `amends show T2`
        exit 5
    "#]]
    .assert_eq(&wait(30, vec![Some((201, samples::waiting())), Some((202, samples::waiting()))]));
}

#[test]
fn a_host_that_dies_before_it_answers_a_start_may_be_asked_again() {
    let said = wait(30, vec![None]);
    assert!(said.contains("\nthe host at http://127.0.0.1:") && said.ends_with("went away before it answered\n"), "{said}");
}
