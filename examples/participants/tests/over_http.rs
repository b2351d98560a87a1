//! The participants as a saga's host meets them: over a socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use participants::{Control, Fault, Operation, Participants, Rule};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request, and reads what comes until the other side closes.
fn post(url: &str, path: &str, key: &str, body: &Value) -> io::Result<String> {
    let mut stream = open(url, path, key, body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn open(url: &str, path: &str, key: &str, body: &Value) -> io::Result<TcpStream> {
    let address = url.trim_start_matches("http://");
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nidempotency-key: {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

fn hotel() -> Value {
    json!({"trip": "T1", "step": "reserve-hotel", "amount_cents": 45_000, "by": "test"})
}

#[test]
fn a_refusal_says_what_is_missing_and_a_bad_request_does_not_look_like_one() -> io::Result<()> {
    let participants = Participants::start()?;
    participants.set_stock("H1", 0);
    let answer = post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?;
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.ends_with(r#"{"code":"no_room","message":"H1 has no rooms left"}"#), "{answer}");
    assert!(post(&participants.url(), "/boats/B1/reserve", "k", &hotel())?.starts_with("HTTP/1.1 400"));
    assert_eq!(participants.trace(), ["reserve-hotel T1 refused no_room"]);
    Ok(())
}

#[test]
fn a_look_shows_what_stands_and_changes_nothing() -> io::Result<()> {
    let participants = Participants::start()?;
    let look = |step: &str| {
        let mut stream = TcpStream::connect(participants.url().trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /hotels/H1/reserve?trip=T1&step={step} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    assert!(look("reserve-hotel")?.starts_with("HTTP/1.1 404"));
    post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?;
    let answer = look("reserve%2Dhotel")?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""confirmation":"H1/T1""#), "{answer}");
    assert!(look("another")?.starts_with("HTTP/1.1 404"));
    assert_eq!(participants.trace(), ["reserve-hotel T1 done"]);
    Ok(())
}

#[test]
fn a_dropped_reply_is_no_reply_and_the_effect_stands() -> io::Result<()> {
    let participants = Participants::start()?;
    participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Drop));
    assert_eq!(post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?, "");
    assert!(post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?.starts_with("HTTP/1.1 200"));
    assert_eq!(participants.trace(), ["reserve-hotel T1 done, not answered", "reserve-hotel T1 repeated"]);
    assert_eq!((participants.state().stock["H1"], participants.state().effects["reserve-hotel"]), (0, 1));
    Ok(())
}

#[test]
fn a_held_call_takes_hold_after_its_caller_hung_up() -> io::Result<()> {
    let participants = Participants::start()?;
    participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Hold));
    let stream = open(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?;
    assert!(participants.wait_for_calls(Operation::ReserveHotel, 1, PATIENCE));
    drop(stream);
    assert_eq!(participants.trace(), ["reserve-hotel T1 open"]);
    // The cancel overtakes it, so that it comes too late.
    post(&participants.url(), "/hotels/H1/cancel", "c", &hotel())?;
    participants.release(Operation::ReserveHotel);
    assert!(participants.wait_until(PATIENCE, |state| state.trace[0].outcome != "open"));
    assert_eq!(participants.trace(), ["reserve-hotel T1 refused cancelled", "cancel-hotel T1 nothing"]);
    assert_eq!(participants.state().stock["H1"], 1);
    Ok(())
}

/// A release came between the moment at which a call showed in the trace and the one at which it was held, and was lost: the
/// call stood still for ever. It is held before it shows.
#[test]
fn a_call_that_shows_can_be_released() -> io::Result<()> {
    for _ in 0..50 {
        let participants = Participants::start()?;
        participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Hold));
        let _stream = open(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?;
        assert!(participants.wait_for_calls(Operation::ReserveHotel, 1, PATIENCE));
        participants.release(Operation::ReserveHotel);
        assert!(participants.wait_until(PATIENCE, |state| state.trace[0].outcome == "done"));
    }
    Ok(())
}

#[test]
fn failures_are_counted_and_control_works_over_http_too() -> io::Result<()> {
    let participants = Participants::start()?;
    let rules = json!({"rules": [{"operation": "reserve-hotel", "times": 2, "fault": "fail"}], "stock": {"H1": 3}});
    assert!(post(&participants.url(), "/control", "", &rules)?.starts_with("HTTP/1.1 200"));
    for _ in 0..2 {
        assert!(post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?.starts_with("HTTP/1.1 500"));
    }
    assert!(post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?.starts_with("HTTP/1.1 200"));
    assert_eq!(participants.state().stock["H1"], 2);
    participants.control(Control { reset: true, ..Control::default() });
    assert_eq!((participants.state().stock["H1"], participants.trace().len()), (1, 0));
    Ok(())
}

#[test]
fn kill_kills_after_the_effect_and_before_the_answer() -> io::Result<()> {
    let participants = Participants::start()?;
    let mut victim: Child = Command::new("sleep").arg("60").spawn()?;
    participants.add(Rule::next(1, Operation::ReserveHotel, Fault::Kill { pid: victim.id() }));
    assert_eq!(post(&participants.url(), "/hotels/H1/reserve", "k", &hotel())?, "");
    assert!(!victim.wait()?.success());
    assert_eq!(participants.state().effects["reserve-hotel"], 1);
    Ok(())
}
