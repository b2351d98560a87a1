//! A host of canned answers, for tests of what asks one: each connection is answered once, and no answer is a host that died.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use serde::Serialize;

use super::session::Session;
use crate::client::Client;

/// A status and a body; none breaks the connection.
pub(super) type Canned = Option<(u16, String)>;

/// Gives these answers, one to each request, and is gone after them; then what was asked, as request lines.
pub(super) fn host(answers: Vec<Canned>) -> (Session, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || answers.into_iter().map(|answer| serve(&listener, answer)).collect());
    (Session { client: Client::new(&address, "default", None).unwrap() }, serving)
}

/// As the host writes it.
pub(super) fn json(status: u16, body: &impl Serialize) -> Canned {
    Some((status, serde_json::to_string(body).unwrap()))
}

fn serve(listener: &TcpListener, answer: Canned) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let asked = lines.next().unwrap();
    lines.find(String::is_empty);
    let Some((status, body)) = answer else { return asked };
    write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    asked
}
