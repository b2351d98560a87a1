//! The host's HTTP API as the command line uses it: blocking calls in, wire types or one clear error out.

use std::{
    fmt,
    io::{BufRead, BufReader, ErrorKind},
    time::Duration,
};

use amends_wire::error::{ErrorBody, ErrorDetail};
use http::{HeaderValue, Method, Request, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use url::{Url, form_urlencoded};

/// A host that does not answer on this machine within five seconds is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For answers that wait for nothing but a commit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Larger than any answer: a payload of 1 MiB in every step of a saga.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A connection to a host.
pub struct Client {
    agent: ureq::Agent,
    address: Url,
    namespace: String,
    by: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers at this address.
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        cause: String,
    },
    /// A host was there, and is gone before it answered: what was asked may have happened.
    Lost {
        /// Where.
        address: String,
        /// Why.
        cause: String,
    },
    /// This machine cannot ask.
    Unable(String),
    /// The host said no.
    Refused(StatusCode, Box<ErrorDetail>),
    /// Something answers, but not as a host of Amends does.
    Garbled {
        /// Where.
        address: String,
        /// What is wrong with the answer.
        cause: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { address, cause } => {
                write!(f, "no host answers at {address} ({cause}); start one with `amends serve`, or name another with --host")
            }
            Self::Lost { address, cause } => write!(
                f,
                "the host at {address} did not answer ({cause}); the request may have been carried out, and can be repeated"
            ),
            Self::Unable(why) => f.write_str(why),
            Self::Refused(_, detail) => {
                f.write_str(&detail.message)?;
                match (&detail.hint, detail.fits.as_slice()) {
                    (Some(hint), _) => write!(f, "; {hint}"),
                    (None, []) => Ok(()),
                    (None, fits) => {
                        let fits: Vec<&str> = fits.iter().map(|verb| verb.as_str()).collect();
                        write!(f, "; these fit: {}", fits.join(", "))
                    }
                }
            }
            Self::Garbled { address, cause } => {
                write!(f, "what answers at {address} is no host of Amends ({cause}); name another with --host")
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(_, detail) => Some(&detail.code),
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Unable(_) | Self::Garbled { .. } => None,
        }
    }

    /// The host's bound of `wait`, where the request waited for longer.
    pub fn wait_max(&self) -> Option<Duration> {
        match self {
            Self::Refused(_, detail) => detail.wait_ms_max.map(Duration::from_millis),
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Unable(_) | Self::Garbled { .. } => None,
        }
    }

    /// Nothing is wrong with the request: the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused(status, _) => *status == StatusCode::SERVICE_UNAVAILABLE || *status == StatusCode::INSUFFICIENT_STORAGE,
            Self::Unable(_) | Self::Garbled { .. } => false,
        }
    }

    /// The error as the host says one of its own, and the status if it is the host's.
    pub fn detail(&self) -> (Option<StatusCode>, ErrorDetail) {
        let own = |code: &str| ErrorDetail { code: code.to_owned(), message: self.to_string(), ..ErrorDetail::default() };
        match self {
            Self::Refused(status, detail) => (Some(*status), (**detail).clone()),
            Self::Unreachable { .. } => (None, own("no_host")),
            Self::Lost { .. } => (None, own("host_lost")),
            Self::Unable(_) => (None, own("unable")),
            Self::Garbled { .. } => (None, own("not_a_host")),
        }
    }

    /// Why there is no host any more, or none yet.
    pub fn no_host(&self) -> Option<&str> {
        match self {
            Self::Unreachable { cause, .. } | Self::Lost { cause, .. } => Some(cause),
            Self::Refused(..) | Self::Unable(_) | Self::Garbled { .. } => None,
        }
    }
}

/// One write, before it is sent.
pub struct Write<'a> {
    /// `POST`, `PUT` or `DELETE`.
    pub method: Method,
    /// Path segments after the address, as text; escaped here.
    pub path: &'a [&'a str],
    /// The query.
    pub query: &'a [(&'a str, &'a str)],
    /// What is in the body.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// How long the host may take beyond the time for a commit.
    pub patience: Duration,
    /// The idempotency key; none: a fresh one.
    pub key: Option<&'a str>,
    /// The revision that what is written to must have.
    pub if_match: Option<u64>,
}

impl<'a> Write<'a> {
    /// A POST of nothing, to be filled in.
    pub fn post(path: &'a [&'a str]) -> Self {
        let (query, body): (&[_], &[u8]) = (&[], &[]);
        Self {
            method: Method::POST,
            path,
            query,
            content_type: "application/json",
            body,
            patience: Duration::ZERO,
            key: None,
            if_match: None,
        }
    }
}

/// One server-sent message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its id, to go on from.
    pub id: Option<String>,
    /// Its name.
    pub event: String,
    /// Its data.
    pub data: String,
}

impl Client {
    /// A client of the host at an address, in a namespace. `by` is who the host records as the one who asked.
    pub fn new(address: &str, namespace: &str, by: Option<String>) -> Result<Self, String> {
        let parsed = Url::parse(address).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let address = parsed.ok_or_else(|| format!("bad host address `{address}`; write it as http://127.0.0.1:8420"))?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            // A proxy for the web must not get what is meant for this machine.
            .proxy(None)
            .no_delay(true)
            .max_redirects(0)
            .user_agent(concat!("amends/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().new_agent(), address, namespace: namespace.to_owned(), by })
    }

    /// Where the host is.
    pub fn address(&self) -> &str {
        self.address.as_str().trim_end_matches('/')
    }

    /// Reads.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.json(&self.get_text(path, query)?)
    }

    /// Reads text.
    pub fn get_text(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, ClientError> {
        let request = self.request(Method::GET, path, query).body(()).map_err(|error| self.garbled(error))?;
        let request = self.agent.configure_request(request).timeout_global(Some(ANSWER_TIMEOUT)).build();
        let (_, text) = self.answer(self.agent.run(request))?;
        Ok(text)
    }

    /// Writes. Sent with a fresh idempotency key if it has none, so that what is delivered twice happens once.
    pub fn write<T: DeserializeOwned>(&self, write: &Write<'_>) -> Result<(StatusCode, T), ClientError> {
        let key = write.key.map_or_else(|| self.fresh_key(), |key| Ok(key.to_owned()))?;
        let mut request = self
            .request(write.method.clone(), write.path, write.query)
            .header("content-type", write.content_type)
            .header("idempotency-key", key);
        if let Some(revision) = write.if_match {
            request = request.header("if-match", format!("\"{revision}\""));
        }
        // A name may be in any script; what fits into no header is left out.
        if let Some(by) = self.by.as_ref().and_then(|by| HeaderValue::from_bytes(by.as_bytes()).ok()) {
            request = request.header("amends-by", by);
        }
        let request = request.body(write.body).map_err(|error| self.garbled(error))?;
        let timeout = ANSWER_TIMEOUT + write.patience;
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        let (status, text) = self.answer(self.agent.run(request))?;
        Ok((status, self.json(&text)?))
    }

    /// Posts a JSON body.
    pub fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::POST, path, body)
    }

    /// Puts a JSON body.
    pub fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::PUT, path, body)
    }

    /// Deletes what the path names.
    pub fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        Ok(self.write(&Write { method: Method::DELETE, ..Write::post(path) })?.1)
    }

    /// Follows server-sent messages, after the one with this id. None when nothing is left to say.
    pub fn follow(&self, path: &[&str], query: &[(&str, &str)], seen: Option<&str>) -> Result<Option<Messages>, ClientError> {
        let request = self.request(Method::GET, path, query).header("accept", "text/event-stream");
        let request = seen.iter().fold(request, |request, id| request.header("last-event-id", *id));
        let request = request.body(()).map_err(|error| self.garbled(error))?;
        let response = self.agent.run(request).map_err(|error| self.silent(&error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => Ok(Some(Messages { lines: Box::new(BufReader::new(response.into_body().into_reader())) })),
            _ => self.answer(Ok(response)).map(|_| None),
        }
    }

    fn send<T: DeserializeOwned>(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(error))?;
        let (_, answer) = self.write(&Write { method, body: &body, ..Write::post(path) })?;
        Ok(answer)
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> http::request::Builder {
        let mut uri = self.address.as_str().trim_end_matches('/').to_owned();
        path.iter().for_each(|segment| escape(segment, &mut uri));
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish());
        }
        Request::builder().method(method).uri(uri).header("amends-namespace", self.namespace.as_str())
    }

    fn answer(&self, answered: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<(StatusCode, String), ClientError> {
        let mut response = answered.map_err(|error| self.silent(&error))?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.silent(&error))?;
        if status.is_success() {
            return Ok((status, text));
        }
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(ClientError::Refused(status, Box::new(body.error))),
            // A gateway before a host that is away: what was asked may have come through.
            Err(_)
                if matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) =>
            {
                Err(ClientError::Lost { address: self.address().to_owned(), cause: format!("a gateway answered {status}") })
            }
            Err(_) => Err(self.garbled(format!("status {status}"))),
        }
    }

    fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        serde_json::from_str(text).map_err(|error| self.garbled(error))
    }

    fn fresh_key(&self) -> Result<String, ClientError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| ClientError::Unable(format!("this machine gives no random bytes for a fresh key: {error}")))?;
        Ok(hex::encode(bytes))
    }

    fn silent(&self, error: &ureq::Error) -> ClientError {
        let address = self.address().to_owned();
        let cause = match error {
            ureq::Error::Io(error) => in_words(error),
            other => other.to_string(),
        };
        if was_connected(error) { ClientError::Lost { address, cause } } else { ClientError::Unreachable { address, cause } }
    }

    fn garbled(&self, cause: impl fmt::Display) -> ClientError {
        ClientError::Garbled { address: self.address().to_owned(), cause: cause.to_string() }
    }
}

/// Without the number that the operating system has for it.
fn in_words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "the connection broke".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Something took the request, or may have.
fn was_connected(error: &ureq::Error) -> bool {
    use ureq::{Error, Timeout};
    match error {
        Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NetworkDown
                | ErrorKind::AddrNotAvailable
                | ErrorKind::PermissionDenied
        ),
        Error::Timeout(timeout) => !matches!(timeout, Timeout::Resolve | Timeout::Connect),
        Error::HostNotFound | Error::ConnectionFailed | Error::BadUri(_) => false,
        _ => true,
    }
}

/// Server-sent messages, until the connection ends.
pub struct Messages {
    lines: Box<dyn BufRead>,
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            // A broken connection ends the messages as a closed one does; the caller comes back with the last id.
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\n', '\r']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && !message.data.is_empty() => return Some(message),
                "id" => message.id = Some(value.to_owned()),
                "event" => message.event = value.to_owned(),
                "data" if message.data.is_empty() => message.data = value.to_owned(),
                "data" => message.data = format!("{}\n{value}", message.data),
                // Comments keep the connection alive; other fields mean nothing to us.
                _ => {}
            }
        }
    }
}

/// Appends a segment of a path, whatever is in it. A parser of URLs would drop tabs and line ends from it.
fn escape(segment: &str, uri: &mut String) {
    uri.push('/');
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_sent() {
        let text = ": hello\n\nid: 3\nevent: record\ndata: {\"a\":1}\n\n:\n\nevent: end\r\ndata: {}\r\n\r\ndata: cut";
        let messages: Vec<Message> = Messages { lines: Box::new(text.as_bytes()) }.collect();
        let message = |id: Option<&str>, event: &str, data: &str| Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(messages, [message(Some("3"), "record", "{\"a\":1}"), message(None, "end", "{}")]);
    }

    /// `a\nb` was sent as `ab`, and `..` not at all: the parser of URLs drops line ends, and goes up a folder. A command went to another
    /// aggregate than the one that was named. Every segment is sent as it is.
    #[test]
    fn a_segment_is_sent_as_it_is_whatever_is_in_it() {
        let escaped = |segment: &str| {
            let client = Client::new("http://127.0.0.1:9/under/", "default", None).unwrap();
            let request = client.request(Method::GET, &["v1", segment], &[("a b", "c&d")]).body(()).unwrap();
            request.uri().to_string()
        };
        let expected = [
            ("C1", "C1"),
            ("a\nb\tc", "a%0Ab%09c"),
            ("..", ".."),
            ("a/b?c#d%41", "a%2Fb%3Fc%23d%2541"),
            ("é", "%C3%A9"),
            ("", ""),
        ];
        for (segment, in_uri) in expected {
            assert_eq!(escaped(segment), format!("http://127.0.0.1:9/under/v1/{in_uri}?a+b=c%26d"));
        }
    }

    /// Whatever went wrong was called a host that is not there, with the advice to start one: also a write that was sent and not
    /// answered, which the host may have taken.
    #[test]
    fn a_write_that_was_sent_and_not_answered_may_have_happened() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let host = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = [0; 1024];
            assert!(std::io::Read::read(&mut stream, &mut heard).unwrap() > 0);
        });
        let client = Client::new(&address, "default", None).unwrap();
        let error = client.delete::<String>(&["v1", "x"]).unwrap_err().to_string();
        host.join().unwrap();
        assert!(
            error.starts_with(&format!("the host at {address} did not answer")) && error.contains("may have been carried out"),
            "{error}"
        );
    }

    #[test]
    fn a_host_that_is_down_is_named_with_the_remedy() {
        // Port 9 on the loopback address: nothing listens there.
        let client = Client::new("http://127.0.0.1:9", "default", None).unwrap();
        let error = client.get_text(&["readyz"], &[]).unwrap_err().to_string();
        assert!(error.starts_with("no host answers at http://127.0.0.1:9 ("), "{error}");
        assert!(error.ends_with("start one with `amends serve`, or name another with --host"), "{error}");
        assert!(Client::new("localhost:8420", "default", None).is_err());
    }
}
