//! A wait, against a host of canned answers.

use expect_test::expect;

use super::*;
use crate::{
    canned::{self, Canned},
    render::samples,
};

/// What was asked, without the times left; how the wait ended, and what is said.
fn wait(seconds: u64, answers: Vec<Canned>) -> String {
    let (session, serving) = canned::host(answers);
    let asked = Asked { saga: "trip", id: "T2".to_owned(), input: "{}".to_owned() };
    let waited = asked.wait(&session, Duration::from_secs(seconds));
    let mut printed = String::new();
    for line in serving.join().unwrap() {
        printed += line.split_once("wait=").map_or(line.as_str(), |(before, _)| before);
        printed += "\n";
    }
    match waited {
        Ok((saga, None)) => printed + &format!("{}, exit {}\n", saga.status.as_str(), Exit::of(saga.status) as u8),
        Ok((saga, Some(gone))) => {
            let (before, after) = goes_on(&saga, &gone).split_once(';').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            // How a socket says it depends on how far the request came.
            let before = if gone.no_host().is_some() { "amends: the host does not answer any more" } else { before.as_str() };
            printed + &format!("{before};{after}\nexit {}\n", Exit::of(saga.status) as u8)
        }
        Err(error) => printed + &format!("{}\n", format!("{error:#}").split(" (").next().unwrap_or_default()),
    }
}

fn saga(status: u16, saga: Saga) -> Canned {
    canned::json(status, &saga)
}

#[test]
fn a_wait_ends_with_the_saga_and_the_exit_code_is_of_the_status_that_is_shown() {
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        compensated, exit 3
    "#]]
    .assert_eq(&wait(30, vec![saga(201, samples::waiting()), saga(200, samples::compensated())]));
}

#[test]
fn a_wait_of_no_time_exits_with_what_it_saw() {
    // It printed a completed tree, and exited 5 because its time was up.
    let (done, waits) = (samples::completed(), samples::waiting());
    assert!(wait(0, vec![saga(200, done)]).ends_with("\ncompleted, exit 0\n"));
    assert!(wait(0, vec![saga(201, waits)]).ends_with("\nwaiting, exit 5\n"));
}

#[test]
fn a_host_that_stays_away_leaves_a_durable_saga_and_its_id() {
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        amends: the host does not answer any more; trip T2 is durable and goes on as soon as a host runs: `amends show T2`
        exit 5
    "#]]
    .assert_eq(&wait(30, vec![saga(201, samples::waiting()), None]));
}

/// `watch` went on over a restart and `start --wait` gave up, though its start is the same saga as often as it is sent. A host
/// that stops answers 202 before the time; one that dies answers nothing; one that begins may be overloaded.
#[test]
fn c2_19_a_wait_goes_on_over_a_restart_of_the_host() {
    let answers = vec![
        saga(201, samples::waiting()),
        saga(202, samples::waiting()),
        None,
        canned::overloaded(),
        saga(200, samples::completed()),
    ];
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2&
        POST /v1/definitions/trip/sagas?id=T2&
        POST /v1/definitions/trip/sagas?id=T2&
        POST /v1/definitions/trip/sagas?id=T2&
        completed, exit 0
    "#]]
    .assert_eq(&wait(30, answers));
}

/// The id may be minted by the command: without another try nobody would know which saga was started.
#[test]
fn c2_19_a_start_of_which_the_answer_is_lost_is_sent_again_under_its_id() {
    let answers = vec![None, saga(200, samples::completed())];
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        completed, exit 0
    "#]]
    .assert_eq(&wait(30, answers));
    expect![[r#"
        POST /v1/definitions/trip/sagas?id=T2 HTTP/1.1
        trip T2 may be started; with `--id T2` it is the same saga again: no host answers at HOST
    "#]]
    .assert_eq(&without_port(&wait(30, vec![None])));
}

/// A saga that was started and completed was exit 1, since the host waits for less long in one request than the command asked
/// for.
#[test]
fn c2_08_a_wait_is_several_requests_within_the_host_s_bound() {
    let waits = || saga(202, samples::waiting());
    let answers =
        vec![saga(201, samples::waiting()), canned::wait_too_long(10), waits(), waits(), saga(200, samples::completed())];
    let (session, serving) = canned::host(answers);
    let asked = Asked { saga: "trip", id: "T2".to_owned(), input: "{}".to_owned() };
    let (saga, gone) = asked.wait(&session, Duration::from_secs(30)).unwrap();
    assert!(gone.is_none() && saga.status == Status::Completed);
    let asked = serving.join().unwrap();
    let bounded = "POST /v1/definitions/trip/sagas?id=T2&wait=10ms HTTP/1.1";
    assert_eq!(asked[2..], [bounded, bounded, bounded]);
}

/// Whatever the host says after it took the start: the saga is durable, and the command says which one it is.
#[test]
fn c2_08_no_saga_that_was_started_ends_in_exit_1() {
    let refusal = Some((400, "{\"error\":{\"code\":\"bad_request\",\"message\":\"no\"}}".to_owned()));
    for refusal in [refusal, Some((200, "{}".to_owned())), canned::wait_too_long(u64::MAX)] {
        let printed = wait(30, vec![saga(201, samples::waiting()), refusal]);
        assert!(printed.contains("; trip T2 is durable and goes on") && printed.ends_with("\nexit 5\n"), "{printed}");
    }
}

fn without_port(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once(" at http://").map_or(line.to_owned(), |(before, _)| format!("{before} at HOST")) + "\n")
        .collect()
}
