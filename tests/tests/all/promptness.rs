//! XR-22: the host has a durable intent for every call that a participant has received.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{
    api::Api,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
};

/// A participant that answers at once, after it has asked the host for the saga that calls it.
struct Echo {
    url: String,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    host: OnceLock<Api>,
    calls: AtomicUsize,
    /// The calls whose intent the host did not know.
    unknown: Mutex<Vec<String>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = Router::new().fallback(post(answer)).with_state(shared);
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { url, seen, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

async fn answer(State(seen): State<Arc<Seen>>, body: Bytes) -> Json<Value> {
    let ask: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (trip, step) = (ask["trip"].as_str().unwrap_or_default().to_owned(), ask["step"].clone());
    let looked = tokio::task::spawn_blocking(move || {
        let journal = seen.host.get().map(|api| api.get(&format!("/v1/sagas/{trip}/journal")));
        let known = journal.is_some_and(|answer| {
            let records = answer.body["records"].as_array().cloned().unwrap_or_default();
            records.iter().any(|record| record["type"] == "intent" && record["step"] == step)
        });
        if !known {
            seen.unknown.lock().unwrap().push(format!("{trip} {step}"));
        }
        seen.calls.fetch_add(1, Ordering::Relaxed);
    });
    looked.await.unwrap();
    Json(json!({"confirmation": "C", "amount_cents": ask["amount_cents"]}))
}

#[test]
fn xr_22_in_ten_thousand_calls_a_participant_never_knows_of_what_the_host_does_not() {
    /// Of two calls each.
    const SAGAS: usize = 5_000;
    let echo = Echo::start();
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    echo.seen.host.set(host.api()).ok().unwrap();
    host.api().grant("trip", &[&echo.url]);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (api, input) = (host.api(), json!({"participants": echo.url}));
            thread::spawn(move || {
                for number in (thread..SAGAS).step_by(4) {
                    assert_eq!(api.run("flight", &format!("F{number}"), &input)["status"], "completed");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*echo.seen.unknown.lock().unwrap(), Vec::<String>::new());
    assert_eq!(echo.seen.calls.load(Ordering::Relaxed), 2 * SAGAS);
}
