//! A host of canned answers, for tests of what asks one: each connection is answered once, and no answer is a host that died.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde::Serialize;

use super::session::Session;
use amends_client::Client;

/// A status and a body; none breaks the connection.
pub(super) type Canned = Option<(u16, String)>;

/// Gives these answers, one to each request, and is gone after them; then what was asked, as request lines.
pub(super) fn host(answers: Vec<Canned>) -> (Session, thread::JoinHandle<Vec<String>>) {
    hearing(answers, |line, _| line)
}

/// The same, but what was asked as bodies.
pub(super) fn host_of_bodies(answers: Vec<Canned>) -> (Session, thread::JoinHandle<Vec<String>>) {
    hearing(answers, |_, body| body)
}

fn hearing(answers: Vec<Canned>, keep: fn(String, String) -> String) -> (Session, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let hear = move |answer| {
        let (line, body) = serve(&listener, answer);
        keep(line, body)
    };
    let serving = thread::spawn(move || answers.into_iter().map(hear).collect());
    (Session { client: Client::new(&address, "default", None).unwrap() }, serving)
}

/// As the host writes it.
pub(super) fn json(status: u16, body: &impl Serialize) -> Canned {
    Some((status, serde_json::to_string(body).unwrap()))
}

/// A host that lets nobody wait for longer.
pub(super) fn wait_too_long(ms_max: u64) -> Canned {
    Some((400, format!("{{\"error\":{{\"code\":\"wait_too_long\",\"message\":\"too long\",\"wait_ms_max\":{ms_max}}}}}")))
}

/// A host that cannot take it now.
pub(super) fn overloaded() -> Canned {
    Some((503, "{\"error\":{\"code\":\"overloaded\",\"message\":\"the queue is full\"}}".to_owned()))
}

/// The request line and the body of what was asked.
fn serve(listener: &TcpListener, answer: Canned) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = BufReader::new(stream.try_clone().unwrap());
    let mut lines = request.by_ref().lines().map(Result::unwrap);
    let asked = lines.next().unwrap();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    // All of it: closing a socket with something unread in it resets the connection, and the answer may be lost with it. Then the
    // client asked no second time, and this host waited for that for ever.
    let mut sent = String::new();
    request.take(length).read_to_string(&mut sent).unwrap();
    let Some((status, body)) = answer else { return (asked, sent) };
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    (asked, sent)
}
