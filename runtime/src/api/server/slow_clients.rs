//! Clients for which the host waits, against a listener with few places: real sockets, and a router of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Sender, channel},
    thread,
};

use axum::{
    body::{Body, Bytes},
    routing::{get, post},
};
use futures_util::stream;

use super::*;

/// Runs `clients` against a server within these limits.
fn with_server(limits: Limits, clients: impl FnOnce(SocketAddr)) {
    let router = Router::new()
        .route("/healthz", get(async || "alive"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/large", get(async || vec![b'x'; 64 << 20]));
    with_router(limits, router, clients);
}

fn with_router(limits: Limits, router: Router, clients: impl FnOnce(SocketAddr)) {
    let (stop, stopping) = watch::channel(false);
    let (tell, bound) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        tokio.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve_within(listener, router, stopping, Duration::ZERO, limits).await.unwrap();
        });
    });
    clients(bound.recv().unwrap());
    stop.send(true).unwrap();
    serving.join().unwrap();
}

fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // Only a server that fails this test keeps a client waiting so long.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// What comes until the server closes the connection, as it does after this request.
fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn is_alive(address: SocketAddr) -> bool {
    let answer = rest(connect(address, "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("alive")
}

/// Each of them kept a place for as long as it liked or until a time limit, and 900 of them kept everybody else out: a connection had
/// a place from its begin to its end, whatever it did with it.
#[test]
fn c2_03_clients_that_say_nothing_or_little_or_do_not_read_keep_nobody_out() {
    let kinds = [
        ("silent", ""),
        ("with half a head", "GET /healthz HTTP/1.1\r\nhost:"),
        ("with half a body", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nab"),
        ("idle after an answer", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("not reading", "GET /large HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    for (kind, text) in kinds {
        with_server(Limits { connections_max: 3, ..Limits::default() }, |address| {
            let slow: Vec<TcpStream> = (0..7).map(|_| connect(address, text)).collect();
            assert!(is_alive(address), "{kind}");
            drop(slow);
        });
    }
}

/// The time limit on a head counts from the begin of a connection and from the end of an answer.
#[test]
fn c2_03_a_connection_on_which_nothing_is_asked_is_closed_after_a_while() {
    with_server(Limits { header_timeout: Duration::from_millis(20), ..Limits::default() }, |address| {
        assert_eq!(rest(connect(address, "")), "");
        rest(connect(address, "GET /healthz HTTP/1.1\r\nhost:"));
        let idle = rest(connect(address, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!(idle.ends_with("alive"), "{idle}");
    });
}

/// An answer that is never taken, and that tells when it is given up.
struct Endless(Sender<()>);

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

/// A client that did not read kept what it had asked for in memory for as long as it liked: a connection was closed for another one
/// only when all were taken.
#[test]
fn c2_29_a_client_that_does_not_take_its_answer_is_let_go() {
    let (tell, given_up) = channel();
    let endless = move || {
        let answer = Endless(tell.clone());
        let pieces = stream::repeat_with(move || {
            let Endless(_) = &answer;
            Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 1 << 16]))
        });
        std::future::ready(Body::from_stream(pieces))
    };
    let patience = Patience { idle: Duration::from_millis(20), ..Patience::default() };
    with_router(Limits { patience, ..Limits::default() }, Router::new().route("/endless", get(endless)), |address| {
        let client = connect(address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n");
        // Only a server that fails this test keeps the answer for so long.
        given_up.recv_timeout(Duration::from_secs(60)).unwrap();
        drop(client);
    });
}

/// Load balancers ask with HTTP/1.0 and no `Host`.
#[test]
fn c2_26_http_1_0_without_a_host_header_is_answered() {
    with_server(Limits::default(), |address| {
        let answer = rest(connect(address, "GET /healthz HTTP/1.0\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("alive"), "{answer}");
    });
}
