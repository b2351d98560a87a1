//! What leaves and what does not, over real sockets on this machine.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use amends_core::{
    id::{Direction, StepKey},
    outcome::Left,
};
use http_body_util::BodyExt;
use wasmtime_wasi_http::RequestOptions;

use super::*;
use crate::{engine::guests::GuestCall, host::testing};

/// A participant: answers each request with the next of its answers, and keeps what it heard.
pub(super) struct Participant {
    pub(super) address: SocketAddr,
    heard: mpsc::Receiver<String>,
    connections: Arc<Mutex<u32>>,
}

/// A complete answer of two bytes.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Participant {
    /// An empty answer closes the connection. Each connection has a thread: a client closes one that it no longer needs in its own
    /// time, and a participant that waited for that before it took the next one waited for ever, if the client waited for the next.
    pub(super) fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (hear, heard) = mpsc::channel();
        let connections = Arc::new(Mutex::new(0));
        let counted = connections.clone();
        thread::spawn(move || {
            let answers = Arc::new(Mutex::new(answers.iter()));
            for stream in listener.incoming() {
                *counted.lock().unwrap() += 1;
                let (hear, answers) = (hear.clone(), Arc::clone(&answers));
                thread::spawn(move || serve(stream.unwrap(), &hear, &answers));
            }
        });
        Self { address, heard, connections }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn heard(&self) -> String {
        self.heard.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// Serves one connection, until the answers are used up.
fn serve(
    mut stream: TcpStream,
    hear: &mpsc::Sender<String>,
    answers: &Mutex<std::slice::Iter<'static, &'static str>>,
) -> Option<()> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap_or(0);
        if length == 0 {
            return Some(());
        }
        heard.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&heard).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        if body.len() < expected {
            continue;
        }
        hear.send(std::mem::take(&mut text.clone())).ok()?;
        heard.clear();
        let answer = answers.lock().unwrap().next()?;
        if answer.is_empty() {
            return Some(());
        }
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// The facts of a first forward attempt with these grants.
pub(super) fn facts(grants: &[(&str, bool)]) -> Facts {
    facts_of(&testing::call([0; 32]), grants)
}

fn facts_of(call: &GuestCall, grants: &[(&str, bool)]) -> Facts {
    let mut facts = Facts::of(call);
    facts.reach = Reach::All;
    facts.grants = grants.iter().map(|&(origin, private)| Grant::Http { origin: origin.to_owned(), private }).collect();
    facts
}

/// One attempt's way out.
pub(super) struct Attempt {
    egress: Egress,
    traffic: Traffic,
}

/// Names of test participants.
pub(super) fn names() -> Resolve {
    Arc::new(|host, port| {
        Box::pin(async move {
            let addresses: &[&str] = match host.as_str() {
                "here.test" => &["127.0.0.1"],
                "private.test" => &["10.0.0.5", "fd00::5"],
                "metadata.test" => &["169.254.169.254"],
                "rebinds.test" => &["169.254.169.254", "127.0.0.1"],
                _ => return Err(std::io::Error::other("unknown")),
            };
            Ok(addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect())
        })
    })
}

impl Attempt {
    fn new(facts: Facts) -> Self {
        Self::at(&Gate::new(&Limits::default(), names(), Vec::new()), facts)
    }

    pub(super) fn at(gate: &Gate, facts: Facts) -> Self {
        let traffic = Traffic::default();
        Self { egress: Egress::new(gate, facts, traffic.clone()), traffic }
    }

    /// Sends a request and reads the whole response; none if it was denied.
    pub(super) async fn send(
        &mut self,
        request: http::Request<&'static str>,
    ) -> Option<Result<(http::StatusCode, Bytes), Error>> {
        let response = self.begin(request).await?;
        Some(match response {
            Err(error) => Err(error),
            Ok(response) => {
                let status = response.status();
                response.into_body().collect().await.map(|body| (status, body.to_bytes()))
            }
        })
    }

    async fn begin(&mut self, request: http::Request<&'static str>) -> Option<Result<http::Response<WasiBody>, Error>> {
        let request =
            request.map(|body| Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed_unsync());
        let sending = self.egress.send_request(request, Some(RequestOptions::default()), Box::new(async { Ok(()) }));
        tokio::select! {
            biased;
            sent = std::pin::Pin::from(sending) => Some(sent.map(|(response, _)| response)),
            () = self.traffic.until_denied() => None,
        }
    }

    pub(super) async fn left(&self) -> Left {
        self.traffic.settle(Duration::from_secs(5)).await
    }
}

pub(super) fn request(method: &str, url: &str) -> http::Request<&'static str> {
    http::Request::builder().method(method).uri(url).body("").unwrap()
}

/// Why a GET of this URL is denied.
async fn denied(facts: Facts, url: &str) -> String {
    let mut attempt = Attempt::new(facts);
    let sent = attempt.send(request("GET", url)).await;
    assert!(sent.is_none(), "{url}: {sent:?}");
    assert_eq!(attempt.left().await, Left::Nothing);
    told(&attempt)
}

/// Where the denied call went, and what stood against it.
fn told(attempt: &Attempt) -> String {
    let Denial { origin, reason } = attempt.traffic.denied().unwrap();
    format!("{origin} {reason:?}")
}

#[tokio::test]
async fn a_granted_request_is_sent_with_the_hosts_headers_and_its_answer_is_read() {
    let participant = Participant::start(&[OK]);
    let mut undo = testing::call([0; 32]);
    let step = undo.step_mut();
    step.attempt.leg = step.attempt.leg.turned(Direction::Undo(0));
    (step.attempt.number, step.forward_key) = (3, StepKey([2; 16]));
    let mut attempt = Attempt::new(facts_of(&undo, &[(&participant.url(""), false)]));
    let mut pay = request("POST", &participant.url("/pay?x=1")).map(|_| "{\"cents\":1}");
    pay.headers_mut().insert("idempotency-key", "forged".parse().unwrap());
    pay.headers_mut().insert("x-forwarded-for", "forged".parse().unwrap());
    pay.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let (status, body) = attempt.send(pay).await.unwrap().unwrap();
    assert_eq!((status.as_u16(), &body[..]), (200, &b"ok"[..]));
    assert_eq!(attempt.left().await, Left::Answered);
    let heard = participant.heard();
    let url = participant.url("/pay?x=1");
    let key = headers::idempotency_key(StepKey([1; 16]), Name::Counted { method: &http::Method::POST, url: &url, repeats: 0 });
    for line in [
        "post /pay?x=1 http/1.1",
        &format!("host: {}", participant.address),
        "content-type: application/json",
        "content-length: 11",
        &format!("idempotency-key: {key}"),
        "amends-step-key: 01010101010101010101010101010101",
        "amends-attempt: 3",
        "amends-undoes: 02020202020202020202020202020202",
        "user-agent: amends/",
        "{\"cents\":1}",
    ] {
        assert!(heard.contains(line), "{line:?} is not in {heard:?}");
    }
    assert!(!heard.contains("forged"), "{heard}");
}

#[tokio::test]
async fn a_repeated_request_has_a_key_of_its_own_a_labelled_one_keeps_it_and_a_safe_one_has_none() {
    let participant = Participant::start(&[OK, OK, OK, OK, OK]);
    let mut attempt = Attempt::new(facts(&[(&participant.url(""), false)]));
    let mut keys = Vec::new();
    for (method, label) in [("POST", None), ("POST", None), ("POST", Some("pay")), ("POST", Some("pay")), ("GET", None)] {
        let mut request = request(method, &participant.url("/pay"));
        if let Some(label) = label {
            request.headers_mut().insert("amends-label", label.parse().unwrap());
        }
        attempt.send(request).await.unwrap().unwrap();
        let heard = participant.heard();
        assert!(!heard.contains("amends-label") && heard.contains("amends-step-key"), "{heard}");
        assert!(!heard.contains("amends-undoes"), "{heard}");
        keys.push(heard.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(str::to_owned));
    }
    assert!(keys[0].is_some() && keys[0] != keys[1] && keys[1] != keys[2] && keys[2] == keys[3]);
    assert_eq!(keys[4], None);
    assert_eq!(*participant.connections.lock().unwrap(), 1, "the connection was used again");
}

/// The kind: what a start says of its trace was recorded and shown, and no participant ever heard of it.
#[tokio::test]
async fn c2_20_the_trace_of_a_start_goes_on_with_every_request_and_the_guest_cannot_leave_it() {
    let participant = Participant::start(&[OK, OK, OK]);
    let mut call = testing::call([0; 32]);
    call.trace_context = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    call.reaches_outside = true;
    call.grants = [Grant::Http { origin: participant.url(""), private: false }].into();
    let told =
        |heard: &str| -> Vec<String> { heard.lines().filter(|line| line.starts_with("trace")).map(str::to_owned).collect() };
    let mut sent = Vec::new();
    for (number, method) in [(1, "GET"), (2, "POST")] {
        call.step_mut().attempt.number = number;
        let mut request = request(method, &participant.url("/pay"));
        request.headers_mut().insert("traceparent", "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00".parse().unwrap());
        request.headers_mut().insert("tracestate", "guest=1".parse().unwrap());
        Attempt::new(Facts::of(&call)).send(request).await.unwrap().unwrap();
        sent.push(told(&participant.heard()));
    }
    for heard in &sent {
        let [parent] = heard.as_slice() else { panic!("{heard:?}") };
        assert!(parent.starts_with("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-") && parent.ends_with("-01"), "{parent}");
        assert!(!parent.contains("00f067aa0ba902b7"), "the parent is the attempt and not the start: {parent}");
    }
    assert_ne!(sent[0], sent[1], "each attempt is a span");
    // Without a trace of the start's, one of the guest's own is none of the host's business.
    call.trace_context = None;
    let mut own = request("GET", &participant.url("/pay"));
    own.headers_mut().insert("tracestate", "guest=1".parse().unwrap());
    Attempt::new(Facts::of(&call)).send(own).await.unwrap().unwrap();
    assert_eq!(told(&participant.heard()), ["tracestate: guest=1"]);
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_the_denial_names_the_origin() {
    let text = denied(facts(&[]), "http://127.0.0.1:9000/x").await;
    assert_eq!(text, "http://127.0.0.1:9000 NotGranted");
    let mut other = facts(&[]);
    other.reach = Reach::NotGranted;
    assert_eq!(denied(other.clone(), "https://api.example.com/x").await, "https://api.example.com NotGranted");
    other.reach = Reach::EffectFree;
    assert_eq!(denied(other, "https://api.example.com/x").await, "https://api.example.com EffectFree");
    // Another scheme, port or host is another origin.
    let granted = facts(&[("https://api.example.com", true)]);
    for url in
        ["http://api.example.com/", "https://api.example.com:8443/", "https://example.com/", "https://evil.api.example.com/"]
    {
        assert!(denied(granted.clone(), url).await.ends_with(" NotGranted"), "{url}");
    }
    for (url, rule) in [
        ("https://user@api.example.com/", "a user name or password has no place in it"),
        ("https://api.example.com./", "its host ends with a dot"),
    ] {
        assert_eq!(denied(granted.clone(), url).await, format!("{url} NotAnOrigin {{ rule: {rule:?} }}"));
    }
}

#[tokio::test]
async fn a_name_alone_never_leads_to_a_private_address() {
    let text = denied(facts(&[("http://here.test:9000", false)]), "http://here.test:9000/").await;
    assert_eq!(text, "http://here.test:9000 PrivateAddress(Address { ip: 127.0.0.1, network: Loopback })");
    let text = denied(facts(&[("http://private.test", false)]), "http://private.test/").await;
    assert_eq!(text, "http://private.test PrivateAddress(Address { ip: fd00::5, network: Private })");
    // A grant of another literal address is none of this one.
    let other = denied(facts(&[("http://127.0.0.1:9000", true)]), "http://here.test:9000/").await;
    assert_eq!(other, "http://here.test:9000 NotGranted");
    // With the grant it goes through.
    let participant = Participant::start(&[OK]);
    let origin = format!("http://here.test:{}", participant.address.port());
    let mut attempt = Attempt::new(facts(&[(&origin, true)]));
    attempt.send(request("GET", &origin)).await.unwrap().unwrap();
    assert!(participant.heard().contains(&format!("host: here.test:{}", participant.address.port())));
}

#[tokio::test]
async fn link_local_metadata_and_the_hosts_own_listeners_are_out_of_reach_whatever_is_granted() {
    for url in [
        "http://169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.test/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
        "http://100.100.100.200/",
    ] {
        let text = denied(facts(&[(url.trim_end_matches('/'), true)]), url).await;
        assert!(text.contains(" ForbiddenAddress("), "{text}");
    }
    // One forbidden address of two: the other one is used.
    let participant = Participant::start(&[OK]);
    let origin = format!("http://rebinds.test:{}", participant.address.port());
    Attempt::new(facts(&[(&origin, true)])).send(request("GET", &origin)).await.unwrap().unwrap();
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::new(&Limits::default(), names(), Vec::new());
    gate.set_listeners(vec![own]);
    for url in [format!("http://{own}"), format!("http://here.test:{}", own.port())] {
        let mut attempt = Attempt::at(&gate, facts(&[(&url, true)]));
        assert!(attempt.send(request("POST", &url)).await.is_none());
        assert_eq!(told(&attempt), format!("{url} OwnListener"));
    }
}

#[tokio::test]
async fn only_safe_methods_leave_a_check() {
    let participant = Participant::start(&[OK]);
    let mut facts = facts(&[(&participant.url(""), false)]);
    facts.reach = Reach::Safe;
    let mut attempt = Attempt::new(facts.clone());
    attempt.send(request("GET", &participant.url("/"))).await.unwrap().unwrap();
    assert_eq!(attempt.left().await, Left::Nothing);
    let mut attempt = Attempt::new(facts);
    assert!(attempt.send(request("POST", &participant.url("/"))).await.is_none());
    assert_eq!(told(&attempt), format!("{} UnsafeInCheck {{ method: \"POST\" }}", participant.url("")));
}

#[tokio::test]
async fn the_host_knows_what_left() {
    // Nobody listens: it never left.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let mut attempt = Attempt::new(facts(&[(&url, false)]));
    assert!(matches!(attempt.send(request("POST", &url)).await, Some(Err(Error::ConnectionRefused))));
    assert_eq!(attempt.left().await, Left::Nothing);
    // An unknown name: it never left.
    let mut attempt = Attempt::new(facts(&[("http://unknown.test", false)]));
    assert!(matches!(attempt.send(request("POST", "http://unknown.test")).await, Some(Err(Error::DnsError { .. }))));
    assert_eq!(attempt.left().await, Left::Nothing);
    // The answer is cut off, at the head or in the body, or never comes.
    for answers in [&[""][..], &["HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nshort", ""]] {
        let participant = Participant::start(answers);
        let mut attempt = Attempt::new(facts(&[(&participant.url(""), false)]));
        let waiting =
            tokio::time::timeout(Duration::from_millis(300), attempt.send(request("POST", &participant.url("/")))).await;
        assert!(!matches!(waiting, Ok(Some(Ok(_)))), "{waiting:?}");
        assert_eq!(attempt.traffic.settle(Duration::ZERO).await, Left::Unanswered);
    }
    // The guest reads nothing of a whole answer: the host does.
    let participant = Participant::start(&[OK]);
    let mut attempt = Attempt::new(facts(&[(&participant.url(""), false)]));
    let response = attempt.begin(request("DELETE", &participant.url("/"))).await.unwrap().unwrap();
    drop(response);
    assert_eq!(attempt.left().await, Left::Answered);
    // A refusal is an answer like any other.
    let participant = Participant::start(&["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]);
    let mut attempt = Attempt::new(facts(&[(&participant.url(""), false)]));
    assert_eq!(attempt.send(request("POST", &participant.url("/"))).await.unwrap().unwrap().0, 500);
    assert_eq!(attempt.left().await, Left::Answered);
}

#[tokio::test]
async fn an_attempt_that_ends_closes_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut attempt = Attempt::new(facts(&[(&url, false)]));
    {
        let waiting = attempt.send(request("POST", &url));
        assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
    }
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(attempt.traffic.settle(Duration::ZERO).await, Left::Unanswered);
    tokio::task::yield_now().await;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heard = Vec::new();
    tokio::task::spawn_blocking(move || stream.read_to_end(&mut heard).unwrap()).await.unwrap();
}

/// An attempt that is ended before its time is dropped: the rest of an answer that its guest had not read was read on, for as long as
/// the participant sent it.
#[tokio::test]
async fn an_attempt_that_is_dropped_closes_what_it_had_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (hear, heard) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").unwrap();
        hear.send(stream.read_to_end(&mut Vec::new()).is_ok()).unwrap();
    });
    let mut attempt = Attempt::new(facts(&[(&url, false)]));
    let answer = attempt.begin(request("POST", &url)).await.unwrap().unwrap();
    let closes = attempt.traffic.closes();
    drop(answer);
    drop(closes);
    let is_closed = tokio::task::spawn_blocking(move || heard.recv_timeout(Duration::from_secs(10)));
    assert_eq!(is_closed.await.unwrap(), Ok(true));
}

#[tokio::test]
async fn sizes_and_counts_are_limited_before_anything_leaves() {
    let participant = Participant::start(&[OK; 4]);
    let limits = Limits {
        http_requests_max: 2,
        http_request: bytesize::ByteSize::b(4),
        http_response: bytesize::ByteSize::b(1),
        ..Limits::default()
    };
    let mut attempt = Attempt::at(&Gate::new(&limits, names(), Vec::new()), facts(&[(&participant.url(""), false)]));
    let long = request("POST", &participant.url("/")).map(|_| "12345");
    assert!(matches!(attempt.send(long).await, Some(Err(Error::HttpRequestBodySize(Some(4))))));
    assert_eq!(attempt.traffic.settle(Duration::ZERO).await, Left::Nothing);
    let mut attempt = Attempt::at(&Gate::new(&limits, names(), Vec::new()), facts(&[(&participant.url(""), false)]));
    for _ in 0..2 {
        assert!(matches!(
            attempt.send(request("GET", &participant.url("/"))).await,
            Some(Err(Error::HttpResponseBodySize(Some(1))))
        ));
    }
    assert!(
        matches!(attempt.send(request("GET", &participant.url("/"))).await, Some(Err(Error::InternalError(Some(text)))) if text.contains("at most 2"))
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let participant =
        Participant::start(&["HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"]);
    let mut attempt = Attempt::new(facts(&[(&participant.url(""), false)]));
    assert_eq!(attempt.send(request("GET", &participant.url("/"))).await.unwrap().unwrap().0, 302);
}
