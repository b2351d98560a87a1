//! A client of the host's API. It uses no types of the host, so that it sees the same JSON as any client.

use std::{
    io::{self, BufRead, BufReader},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use ureq::http::{Method, Request, Response};

use super::process::Lives;

/// Longer than any operation takes on a busy machine; a test that waits for this time has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often every message is sent: requests to participants, and writes to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Once,
    /// Twice with the same headers: `dup(all)`.
    Twice,
    /// Twice, the second time with another `Idempotency-Key`: `dup'`.
    TwiceWithFreshKeys,
}

impl Traffic {
    /// What a scenario has that names none: each message once, or twice with the same headers if `AMENDS_TEST_TRAFFIC` is `twice`.
    pub(crate) fn of_environment() -> Self {
        match std::env::var("AMENDS_TEST_TRAFFIC").as_deref() {
            Ok("twice") => Self::Twice,
            Ok(other) => panic!("AMENDS_TEST_TRAFFIC is `{other}`, and may be `twice`"),
            Err(_) => Self::Once,
        }
    }
}

/// The API of one host.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    url: String,
    namespace: String,
    traffic: Traffic,
    /// The lives of a supervised host: a request without an answer is sent again to the next life.
    lives: Option<Arc<Lives>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The JSON of the body; a body that is not JSON is a string.
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// `409 id_taken`, or `200` if there is no error.
    pub(crate) fn code(&self) -> String {
        match self.body["error"]["code"].as_str() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }

    /// The whole error as text: status, code, message and hint.
    pub(crate) fn error(&self) -> String {
        let error = &self.body["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let hint = error["hint"].as_str().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        format!("{}: {}{hint}\n", self.code(), text("message"))
    }
}

impl Api {
    pub(crate) fn new(url: &str, traffic: Traffic) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            // Connections that a killed host left behind must not be met again.
            .max_idle_connections(0)
            .timeout_global(Some(PATIENCE));
        Self { agent: config.build().new_agent(), url: url.to_owned(), namespace: "default".to_owned(), traffic, lives: None }
    }

    /// Sends a request again to the next life of the host if this one did not answer.
    pub(crate) fn outliving(self, lives: &Arc<Lives>) -> Self {
        Self { lives: Some(Arc::clone(lives)), ..self }
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// Sends each message once, whatever the traffic of the test.
    pub(crate) fn once(&self) -> Self {
        Self { traffic: Traffic::Once, ..self.clone() }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_send(Method::GET, path, None, &[]).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.write(Method::POST, path, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.write(Method::PUT, path, body)
    }

    /// Sends a write once or twice, as the traffic requires. The host that answered the first one also answers the second one.
    #[track_caller]
    pub(crate) fn write(&self, method: Method, path: &str, body: &[u8]) -> Answer {
        let (first, second) = (fresh_key(), fresh_key());
        let send = |key: &str| {
            let sent = self.try_send(method.clone(), path, Some(key), body);
            sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
        };
        let answer = send(&first);
        let repeated = match self.traffic {
            Traffic::Once => None,
            Traffic::Twice => Some(send(&first)),
            Traffic::TwiceWithFreshKeys => Some(send(&second)),
        };
        if let Some(repeated) = repeated {
            // What fails for a reason of its own fails again.
            let is_told = repeated.status < 500 || answer.status >= 500;
            assert!(is_told, "{method} {path} again: {} {}", repeated.status, repeated.body);
        }
        answer
    }

    /// One request; an error if there is no answer, as from a host that is killed and not started again.
    pub(crate) fn try_send(&self, method: Method, path: &str, key: Option<&str>, body: &[u8]) -> Result<Answer, ureq::Error> {
        self.try_send_with(method, path, key.map(|key| ("idempotency-key", key)).as_slice(), body)
    }

    /// One request with these headers.
    pub(crate) fn try_send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        loop {
            let life = self.lives.as_ref().map(|lives| lives.current().begun);
            match self.send(method.clone(), path, headers, body) {
                Ok(answer) => return Ok(answer),
                Err(error) => self.next_life(life).ok_or(error)?,
            }
        }
    }

    /// Waits for the next life of the host; none if the host is not supervised.
    fn next_life(&self, life: Option<usize>) -> Option<()> {
        self.lives.as_ref()?.after(life?).map(drop)
    }

    fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(&method).uri(format!("{}{path}", self.url));
        request = request.header("amends-namespace", &self.namespace).header("amends-by", "tester");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method != Method::GET && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let response = match method {
            Method::GET => self.agent.run(request.body(())?)?,
            _ => self.agent.run(request.body(body)?)?,
        };
        answer(response)
    }

    /// Starts a saga, and does not wait for its end.
    #[track_caller]
    pub(crate) fn start(&self, saga: &str, id: &str, input: &Value) -> Answer {
        self.post(&format!("/v1/definitions/{saga}/sagas?id={id}"), input)
    }

    /// Starts a saga, or finds it, and waits until it has ended or is stuck. If messages are sent twice, the first does not wait.
    #[track_caller]
    pub(crate) fn run(&self, saga: &str, id: &str, input: &Value) -> Value {
        if self.traffic != Traffic::Once {
            self.start(saga, id, input);
        }
        let answer = self.once().post(&format!("/v1/definitions/{saga}/sagas?id={id}&wait=100s"), input);
        assert!(answer.status == 200 || answer.status == 201, "{saga} {id}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// A saga as it is now.
    #[track_caller]
    pub(crate) fn saga(&self, id: &str) -> Value {
        self.get(&format!("/v1/sagas/{id}")).expect(200)
    }

    /// All records of a saga.
    #[track_caller]
    pub(crate) fn journal(&self, id: &str) -> Vec<Value> {
        let mut records = Vec::new();
        let mut from = Some("1".to_owned());
        while let Some(next) = from {
            let page = self.get(&format!("/v1/sagas/{id}/journal?limit=1000&from={next}")).expect(200);
            records.extend(page["records"].as_array().cloned().unwrap_or_default());
            from = page["next"].as_str().map(str::to_owned);
        }
        records
    }

    /// All events of the namespace, in the order of the journal.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/v1/events?limit=1000{after}")).expect(200);
            found.extend(page["events"].as_array().cloned().unwrap_or_default());
            if page["has_more"] != true {
                return found;
            }
            after = format!("&after={}", page["through"].as_str().unwrap());
        }
    }

    /// Follows a saga until a record that matches, and returns it. Without such a record the test fails after the client's
    /// patience.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let life = self.lives.as_ref().map(|lives| lives.current().begun);
            match self.follow(id, &wanted) {
                Ok(Some(record)) => return record,
                Ok(None) => panic!("saga {id} ended before it came to it: {:?}", self.journal(id)),
                Err(error) => {
                    let lived_on = self.next_life(life);
                    assert!(lived_on.is_some(), "saga {id} did not come to it: {error}");
                }
            }
        }
    }

    /// None if the saga ended before; an error if the host ended.
    fn follow(&self, id: &str, wanted: &impl Fn(&Value) -> bool) -> Result<Option<Value>, ureq::Error> {
        let request = Request::builder().uri(format!("{}/v1/sagas/{id}/watch", self.url));
        let mut response = self.agent.run(request.header("amends-namespace", &self.namespace).body(())?)?;
        assert_eq!(response.status(), 200, "watch {id}");
        let mut name = String::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line?;
            if let Some(event) = line.strip_prefix("event:") {
                name = event.trim().to_owned();
            }
            let Some(data) = line.strip_prefix("data:") else { continue };
            if name == "end" {
                return Ok(None);
            }
            let record: Value = serde_json::from_str(data.trim()).unwrap_or_else(|error| panic!("{data}: {error}"));
            if wanted(&record) {
                return Ok(Some(record));
            }
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Follows a saga until a record of this type.
    #[track_caller]
    pub(crate) fn until_type(&self, id: &str, kind: &str) -> Value {
        self.until(id, |record| record["type"] == kind)
    }

    /// Grants a module these origins, and nothing else.
    #[track_caller]
    pub(crate) fn grant(&self, module: &str, origins: &[&str]) {
        let http: Vec<Value> = origins.iter().map(|origin| json!({"origin": origin})).collect();
        let body = json!({"grants": {"http": http}});
        self.put(&format!("/v1/modules/{module}/grants"), body.to_string().as_bytes()).expect(200);
    }

    /// The value of a counter or gauge without labels, or the sum over its labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").expect(200);
        let lines = text.as_str().unwrap_or_default().lines();
        let of_it = lines.filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        let values: Vec<f64> = of_it.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(!values.is_empty(), "no metric {name}");
        values.iter().sum()
    }
}

fn answer(mut response: Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status: response.status().as_u16(), body })
}

/// A key that no other run had: the data folder of an older one holds first answers under its keys.
fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static RUN: LazyLock<u128> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
    format!("key-{}-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed))
}
