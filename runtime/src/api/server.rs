//! Serves a router on a listener: one task a connection, time limits against slow clients, an orderly end.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, extract::Request, response::Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    pace::{Paced, Patience, Sending},
    places::{self, Closed, Places, Turn},
};
use crate::held::{Holding, SMALL_BYTES};

/// A client that has not sent its headers by then is cut off, counted from the connection's begin or from the last answer: so it is
/// also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Beyond these, a connection is served only when another one is closed for it: each costs a file descriptor, of which 1,024 are usual.
pub(super) const CONNECTIONS_MAX: usize = 900;

/// What a listener allows its clients.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections_max: usize,
    header_timeout: Duration,
    patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, header_timeout: HEADER_TIMEOUT, patience: Patience::default() }
    }
}

/// After a failed accept, as when descriptors run out; trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` turns true, then lets open requests end, for at most `drain`.
pub async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>, drain: Duration) -> io::Result<()> {
    serve_within(listener, router, stop, drain, Limits::default()).await
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
    limits: Limits,
) -> io::Result<()> {
    let places = Places::new(limits.connections_max);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = turned(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = tokio::select! {
                    place = places.place() => place,
                    () = turned(&mut stop) => break,
                };
                let turn = Turn::new(Arc::clone(&places));
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, router, stop, turn, limits).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("connections were still open after the time to drain and are cut");
    }
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>, turn: Arc<Turn>, limits: Limits) {
    // Without it a small answer waits for the client's delayed acknowledgement: 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection without nodelay");
    }
    let sending = Arc::new(Sending::default());
    let service = service_fn(|request| answered(request, router.clone(), Arc::clone(&turn), Arc::clone(&sending)));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // So much of an answer is on its way, and no more: what is larger is counted. Heads are no larger either.
        .max_buf_size(SMALL_BYTES)
        .serve_connection(TokioIo::new(Paced::new(stream, Arc::clone(&sending), limits.patience)), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = turned(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = turn.closed() => {
            tracing::debug!("{Closed}");
            return;
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers a request. Its place is given away only where the host waits for the client.
async fn answered(
    request: Request<Incoming>,
    router: Router,
    turn: Arc<Turn>,
    sending: Arc<Sending>,
) -> Result<Response, Closed> {
    turn.to_host()?;
    let request = request.map(|body| places::received(body, Arc::clone(&turn)));
    match TowerToHyperService::new(router).call(request).await {
        Ok(mut response) => {
            sending.answer(response.extensions_mut().remove::<Holding>());
            Ok(response.map(|body| places::sent(body, turn)))
        }
        Err(never) => match never {},
    }
}

/// Ends when `stop` turns true, or its sender is gone.
pub(super) async fn turned(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

#[cfg(test)]
mod slow_clients;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use amends_core::{outcome::Outcome, value::Payload};
    use amends_wire::{
        journal::JournalPage,
        saga::Saga,
        verb::{self, Acted},
    };

    use amends_client::{Client, Write};

    use super::*;
    use crate::{
        api::{Options, router},
        service::testing::TestHost,
    };

    struct Running {
        host: TestHost,
        client: Client,
        stop: watch::Sender<bool>,
        thread: thread::JoinHandle<()>,
    }

    /// A server on a free port, in a thread of its own, and a client of it.
    fn serving(host: TestHost) -> Running {
        let (stop, stopping) = watch::channel(false);
        let (address, bound) = std::sync::mpsc::channel();
        let services = host.services.clone();
        let thread = thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            tokio.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                let router = router(services, Options::default(), stopping.clone());
                serve(listener, router, stopping, Duration::from_secs(10)).await.unwrap();
            });
        });
        let address = format!("http://{}", bound.recv().unwrap());
        Running { host, client: Client::new(&address, "default", Some("Jörg".to_owned())).unwrap(), stop, thread }
    }

    impl Running {
        fn start(&self, id: &str, wait: Option<&str>) -> (u16, Saga) {
            let query: Vec<(&str, &str)> = std::iter::once(("id", id)).chain(wait.map(|wait| ("wait", wait))).collect();
            let path = ["v1", "definitions", "trip", "sagas"];
            let write = Write { query: &query, body: b"{}", ..Write::post(&path) };
            let (status, saga) = self.client.write(&write).unwrap();
            (status.as_u16(), saga)
        }

        fn journal(&self, id: &str) -> JournalPage {
            self.client.get(&["v1", "sagas", id, "journal"], &[]).unwrap()
        }

        fn end(self) {
            // Nobody listens any more where it was stopped before.
            let _ = self.stop.send(true);
            self.thread.join().unwrap();
        }
    }

    fn done() -> Outcome {
        Outcome::Done(Payload::json("{\"paid\":true}"))
    }

    #[test]
    fn the_client_understands_the_server() {
        let running = serving(TestHost::new());
        running.host.guests.hold("charge");
        assert_eq!(running.start("T1", None).0, 201);
        running.host.guests.end("charge", &done());
        let (status, started) = running.start("T1", Some("30s"));
        assert_eq!((status, started.id.as_str(), started.output.unwrap().as_str()), (200, "T1", "{\"paid\":true}"));
        let shown: Saga = running.client.get(&["v1", "sagas", "T1"], &[]).unwrap();
        assert_eq!(shown.revision, started.revision);
        let error = running.client.get::<Saga>(&["v1", "sagas", "../T2"], &[]).unwrap_err().to_string();
        assert!(error.starts_with("bad saga id \"../T2\""), "{error}");
        let error = running.client.get::<Saga>(&["v1", "sagas", "T2"], &[]).unwrap_err();
        assert_eq!(error.code(), Some("saga_not_found"));
        assert_eq!(error.to_string(), "no saga `T2` in this namespace; `amends list` shows the sagas that there are");
        assert_eq!(running.start("T2", None).0, 201);
        let acted: Acted = running.client.post(&["v1", "sagas", "T2", "cancel"], &verb::ActRequest::default()).unwrap();
        assert!(acted.applied);
        let by: Vec<String> = running.journal("T2").records.into_iter().filter_map(|entry| entry.by).collect();
        assert_eq!(by, ["Jörg"]);
        running.end();
    }

    #[test]
    fn a_client_that_sends_too_much_is_told_so() {
        let running = serving(TestHost::empty());
        let path = ["v1", "modules"];
        let write = Write { body: &vec![0; 40 << 20], content_type: "application/wasm", ..Write::post(&path) };
        let error = running.client.write::<Saga>(&write).unwrap_err();
        assert_eq!(error.code(), Some("payload_too_large"), "{error}");
        running.end();
    }

    #[test]
    fn a_watch_goes_on_after_the_last_id_and_ends_with_the_saga() {
        let running = serving(TestHost::new());
        running.host.guests.hold("charge");
        running.start("T1", None);
        running.host.guests.wait_for("charge");
        let path = ["v1", "sagas", "T1", "watch"];
        let mut messages = running.client.follow(&path, &[], Some("1")).unwrap().unwrap();
        let first = messages.next().unwrap();
        assert_eq!((first.id.as_deref(), first.event.as_str()), (Some("2"), "record"));
        assert!(first.data.contains(&running.journal("T1").records[1].position), "{}", first.data);
        running.host.guests.end("charge", &done());
        let rest: Vec<_> = messages.collect();
        let seen = rest.iter().filter_map(|message| message.id.clone()).next_back().unwrap();
        assert_eq!(seen, running.journal("T1").records.last().unwrap().revision);
        let (end, records) = rest.split_last().unwrap();
        assert!(end.event == "end" && records.iter().all(|message| message.event == "record"), "{rest:?}");
        assert!(running.client.follow(&path, &[], Some(&seen)).unwrap().is_none(), "nothing is left to say");
        let mut all = running.client.follow(&["v1", "watch"], &[], None).unwrap().unwrap();
        running.start("T2", Some("20ms"));
        let line = all.next().unwrap();
        assert!(line.event == "saga" && line.data.contains("\"T2\""), "{line:?}");
        running.end();
    }

    /// What comes after the end is stale. Who had seen the end and asked again waited for another end, for ever.
    #[test]
    fn who_has_seen_the_end_is_told_what_came_after_it_and_the_end_again() {
        let running = serving(TestHost::new());
        running.host.guests.hold("charge");
        running.start("T1", None);
        running.host.guests.wait_for("charge");
        let acted: Acted = running.client.post(&["v1", "sagas", "T1", "abandon"], &verb::ActRequest::default()).unwrap();
        running.host.guests.end("charge", &done());
        let path = ["v1", "sagas", "T1", "watch"];
        // The outcome is behind these starts at the latest, and the time within which it must be written is over.
        let late = (0..100).find_map(|number| {
            running.host.advance(1_000);
            running.start(&format!("S{number}"), None);
            running.client.follow(&path, &[], Some(&acted.revision)).unwrap()
        });
        let late = late.expect("the late outcome is recorded");
        assert_eq!(late.map(|message| message.event).collect::<Vec<_>>(), ["record", "end"]);
        running.end();
    }

    #[test]
    fn a_stop_answers_those_who_wait_and_ends_streams() {
        let running = Arc::new(serving(TestHost::new()));
        running.host.guests.hold("charge");
        let waiting = thread::spawn({
            let running = Arc::clone(&running);
            move || running.start("T1", Some("300s")).0
        });
        let mut watching = running.client.follow(&["v1", "watch"], &[], None).unwrap().unwrap();
        running.host.guests.wait_for("charge");
        running.stop.send(true).unwrap();
        assert_eq!(waiting.join().unwrap(), 202);
        // It has seen the start, or nothing of it.
        assert!(watching.all(|message| message.event == "saga"));
        Arc::into_inner(running).unwrap().end();
    }
}
