//! The participants over HTTP: every call, its fault, its answer.

use std::io;
use std::net::TcpListener;
use std::panic;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::call::{Ask, Keys, Look};
use crate::faults::{Control, Fault, Rule, next_fault};
use crate::operation::Operation;
use crate::world::World;
use crate::{Called, State};

/// What all connections, and the owner of the server, look at.
#[derive(Default)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// A call came, or came to its outcome.
    changed: Condvar,
    /// A held call may go on.
    released: Notify,
}

#[derive(Default)]
struct Inner {
    world: World,
    rules: Vec<Rule>,
    trace: Vec<Called>,
    /// Calls that stand still, by their place in the trace.
    held: Vec<usize>,
    /// Grows with every reset, so that a call from before does not write into the trace after it.
    generation: u64,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; a test that did anyway still wants to see the state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.inner().state()
    }

    pub(crate) fn control(&self, control: Control) {
        let mut inner = self.inner();
        if control.reset {
            *inner = Inner { generation: inner.generation + 1, ..Inner::default() };
        }
        if control.clear {
            inner.rules.clear();
        }
        inner.world.stock.extend(control.stock);
        inner.world.accounts.extend(control.accounts);
        inner.world.stays.extend(control.stays);
        inner.rules.extend(control.rules);
        let Inner { held, trace, .. } = &mut *inner;
        held.retain(|call| !control.release.contains(&trace[*call].operation));
        self.released.notify_waiters();
        self.changed.notify_all();
    }

    pub(crate) fn wait_until(&self, timeout: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner();
        while !holds(&inner.state()) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Inner {
    fn state(&self) -> State {
        let World { stock, accounts, in_transit, stays, effects, emails, .. } = self.world.clone();
        State { stock, accounts, in_transit, stays, effects, emails, trace: self.trace.clone() }
    }
}

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let router = Router::new()
        .route("/state", get(|Extract(shared): Extract<Arc<Shared>>| async move { Json(shared.state()) }))
        .route("/control", post(control))
        .fallback(post(call).get(look))
        .with_state(shared);
    // An answer in two packets would wait for a delayed acknowledgement. Without the option it is only slower.
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        // Sent or dropped, it means the same. Open connections, held ones too, end with the runtime.
        _ = stopped => Ok(()),
    }
}

async fn control(Extract(shared): Extract<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(control) => {
            shared.control(control);
            Json(shared.state()).into_response()
        }
        Err(error) => bad_request(&error.to_string()),
    }
}

/// What stands of a call. It is no call, and no fault meets it.
async fn look(Extract(shared): Extract<Arc<Shared>>, uri: Uri) -> Response {
    let asked = Operation::of_path(uri.path()).zip(Look::of_uri(&uri.to_string()));
    let Some(((operation, _), look)) = asked else {
        return bad_request(&format!("there is nothing to look at at {uri}"));
    };
    let (status, body) = shared.inner().world.look(operation, &look).http();
    (status_code(status), Json(body)).into_response()
}

async fn call(Extract(shared): Extract<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some((operation, resource)) = Operation::of_path(uri.path()) else {
        return bad_request(&format!("there is nothing to ask for at {}", uri.path()));
    };
    let ask: Ask = match serde_json::from_slice(&body) {
        Ok(ask) => ask,
        Err(error) => return bad_request(&error.to_string()),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let keys = Keys { idempotency: header("idempotency-key"), step: header("amends-step-key"), undoes: header("amends-undoes") };
    let attempt = header("amends-attempt").and_then(|attempt| attempt.parse().ok());
    let called = Called {
        operation,
        resource: resource.to_owned(),
        trip: ask.trip.clone(),
        step: ask.step.clone(),
        by: ask.by.clone(),
        outcome: "open".to_owned(),
        key: keys.idempotency.clone(),
        attempt,
    };
    // A task of its own: what was asked takes hold even if the caller hangs up meanwhile.
    match tokio::spawn(take(shared, called, ask, keys)).await {
        Ok(Some((status, body))) => (status, Json(body)).into_response(),
        // Unwinding ends the connection without a byte of an answer, and prints nothing.
        Ok(None) | Err(_) => panic::resume_unwind(Box::new("not answered")),
    }
}

/// Does what a call asks for, as far as its fault lets it; none if there is to be no answer.
async fn take(shared: Arc<Shared>, called: Called, ask: Ask, keys: Keys) -> Option<(StatusCode, Value)> {
    let (operation, resource) = (called.operation, called.resource.clone());
    let (place, rule) = {
        let mut inner = shared.inner();
        inner.trace.push(called);
        let call = inner.trace.len() - 1;
        let rule = next_fault(&mut inner.rules, operation);
        // Before anybody can see the call: who saw it may release it.
        if matches!(&rule, Some(Rule { fault: Fault::Hold, .. })) {
            inner.held.push(call);
        }
        shared.changed.notify_all();
        (Place { generation: inner.generation, call }, rule)
    };
    let (before, after) = match rule {
        Some(Rule { fault, after_effect, .. }) => match (&fault, after_effect) {
            (Fault::Drop | Fault::Kill { .. }, _) | (_, true) => (None, Some(fault)),
            (_, false) => (Some(fault), None),
        },
        None => (None, None),
    };
    match before {
        Some(Fault::Refuse) => {
            let (status, body) = shared.note(place, operation.refuse(&resource)).http();
            return Some((status_code(status), body));
        }
        Some(Fault::Fail) => return Some(shared.fail(place, "failed")),
        Some(fault) => shared.stall(place, &fault).await,
        None => {}
    }
    let answer = {
        let mut inner = shared.inner();
        inner.world.perform(operation, &resource, &ask, &keys)
    };
    let answer = shared.note(place, answer);
    match after {
        Some(Fault::Fail) => return Some(shared.fail(place, &format!("{}, failed", answer.word()))),
        Some(Fault::Kill { pid }) => {
            shared.outcome(place, format!("{}, not answered", answer.word()));
            kill(pid);
            return None;
        }
        Some(Fault::Drop) => {
            shared.outcome(place, format!("{}, not answered", answer.word()));
            return None;
        }
        Some(fault) => shared.stall(place, &fault).await,
        None => {}
    }
    let (status, body) = answer.http();
    Some((status_code(status), body))
}

/// A call's place in the trace.
#[derive(Clone, Copy)]
struct Place {
    generation: u64,
    call: usize,
}

impl Shared {
    fn outcome(&self, place: Place, outcome: String) {
        let mut inner = self.inner();
        if inner.generation == place.generation {
            inner.trace[place.call].outcome = outcome;
            self.changed.notify_all();
        }
    }

    fn note(&self, place: Place, answer: crate::Answer) -> crate::Answer {
        self.outcome(place, answer.word());
        answer
    }

    fn fail(&self, place: Place, outcome: &str) -> (StatusCode, Value) {
        self.outcome(place, outcome.to_owned());
        (StatusCode::INTERNAL_SERVER_ERROR, json!({"code": "failed", "message": "told to fail"}))
    }

    /// Takes its time, or stands still until it is released.
    async fn stall(&self, place: Place, fault: &Fault) {
        match fault {
            Fault::Slow { delay_ms } => tokio::time::sleep(Duration::from_millis(*delay_ms)).await,
            Fault::Hold => loop {
                let released = self.released.notified();
                let is_held = {
                    let inner = self.inner();
                    inner.generation == place.generation && inner.held.contains(&place.call)
                };
                if !is_held {
                    return;
                }
                released.await;
            },
            Fault::Refuse | Fault::Fail | Fault::Drop | Fault::Kill { .. } => {}
        }
    }
}

/// By the shell's own `kill`: this crate has no unsafe code, and a machine may have no other.
fn kill(pid: u32) {
    if let Err(error) = Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status() {
        eprintln!("failed to kill process {pid}: {error}");
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn bad_request(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"code": "bad_request", "message": message}))).into_response()
}
