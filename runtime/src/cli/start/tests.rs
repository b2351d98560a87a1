//! A wait, against a host of canned answers: each connection is answered once, and no answer is a host that died.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use expect_test::expect;

use super::*;
use crate::{cli::render::samples, client::Client};

/// Gives these answers, one to each request, and is gone after them; then what was asked.
fn host(answers: Vec<Option<(u16, Saga)>>) -> (Session, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || answers.into_iter().map(|answer| serve(&listener, answer)).collect());
    (Session { client: Client::new(&address, "default", None).unwrap() }, serving)
}

fn serve(listener: &TcpListener, answer: Option<(u16, Saga)>) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let asked = lines.next().unwrap();
    lines.find(String::is_empty);
    let Some((status, saga)) = answer else { return asked };
    let body = serde_json::to_string(&saga).unwrap();
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    asked
}

/// What was asked, without the times left; how the wait ended, and what is said.
fn wait(seconds: u64, answers: Vec<Option<(u16, Saga)>>) -> String {
    let (session, serving) = host(answers);
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
