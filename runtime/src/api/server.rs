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

use super::places::{self, Closed, Places, Turn};

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, header_timeout: HEADER_TIMEOUT }
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
                    connection(stream, router, stop, turn, limits.header_timeout).await;
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

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stop: watch::Receiver<bool>,
    turn: Arc<Turn>,
    header_timeout: Duration,
) {
    // Without it a small answer waits for the client's delayed acknowledgement: 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection without nodelay");
    }
    let service = service_fn(|request| answered(request, router.clone(), Arc::clone(&turn)));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
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
async fn answered(request: Request<Incoming>, router: Router, turn: Arc<Turn>) -> Result<Response, Closed> {
    turn.to_host()?;
    let request = request.map(|body| places::received(body, Arc::clone(&turn)));
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => Ok(response.map(|body| places::sent(body, turn))),
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

    use amends_core::{event::Event, view::Status};

    use super::*;
    use crate::{
        api::{
            Options,
            fake::{self, Fake, NOON},
            position::Positions,
            router,
            runtime::Change,
            wire::saga::Saga,
        },
        client::{Client, Write},
        journal::{Actor, Fact, Record, RecordId},
    };

    struct Running {
        client: Client,
        stop: watch::Sender<bool>,
        thread: thread::JoinHandle<()>,
    }

    /// A server on a free port, in a thread of its own, and a client of it.
    fn serving(fake: &Arc<Fake>) -> Running {
        let (stop, stopping) = watch::channel(false);
        let (address, bound) = std::sync::mpsc::channel();
        let fake = Arc::clone(fake);
        let thread = thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            tokio.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                let router = router(fake, Options::default(), stopping.clone());
                serve(listener, router, stopping, Duration::from_secs(10)).await.unwrap();
            });
        });
        let address = format!("http://{}", bound.recv().unwrap());
        Running { client: Client::new(&address, "default", Some("Jörg".to_owned())).unwrap(), stop, thread }
    }

    impl Running {
        fn start(&self, wait: &str) -> (u16, Saga) {
            let query = [("id", "T1"), ("wait", wait)];
            let path = ["v1", "definitions", "trip", "sagas"];
            let write = Write { query: &query, body: b"{}", ..Write::post(&path) };
            let (status, saga) = self.client.write(&write).unwrap();
            (status.as_u16(), saga)
        }

        fn end(self) {
            // Nobody listens any more where it was stopped before.
            let _ = self.stop.send(true);
            self.thread.join().unwrap();
        }
    }

    fn record(version: u64, event: Event) -> Record {
        Record {
            id: RecordId { stream: 1, version },
            position: version,
            at: NOON,
            causation: None,
            correlation: None,
            depth: 0,
            epoch: 1,
            generation: 1,
            actor: Actor::Host,
            head: None,
            fact: Fact::Saga(event),
        }
    }

    #[test]
    fn the_client_understands_the_server() {
        let fake = Fake::new();
        let running = serving(&fake);
        let (status, started) = running.start("1s");
        assert_eq!((status, started.id.as_str(), started.output.unwrap().as_str()), (201, "T1", "{\"paid\":true}"));
        let shown: Saga = running.client.get(&["v1", "sagas", "T1"], &[]).unwrap();
        assert_eq!(shown.revision, "17");
        let error = running.client.get::<Saga>(&["v1", "sagas", "../T2"], &[]).unwrap_err().to_string();
        assert!(error.starts_with("bad saga id \"../T2\""), "{error}");
        let error = running.client.get::<Saga>(&["v1", "sagas", "T2"], &[]).unwrap_err();
        assert_eq!(error.code(), Some("saga_not_found"));
        assert_eq!(error.to_string(), "no saga `T2` in this namespace; `amends list` shows the sagas that there are");
        let verb: crate::api::wire::verb::Acted =
            running.client.post(&["v1", "sagas", "T1", "cancel"], &crate::api::wire::verb::Act::default()).unwrap();
        assert!(verb.applied);
        let asked = fake.take_asked();
        assert!(asked.last().unwrap().contains("by: \"Jörg\"") && asked.last().unwrap().contains("key=Some("), "{asked:?}");
        running.end();
    }

    #[test]
    fn a_client_that_sends_too_much_is_told_so() {
        let running = serving(&Fake::new());
        let path = ["v1", "modules"];
        let write = Write { body: &vec![0; 40 << 20], content_type: "application/wasm", ..Write::post(&path) };
        let error = running.client.write::<Saga>(&write).unwrap_err();
        assert_eq!(error.code(), Some("payload_too_large"), "{error}");
        running.end();
    }

    #[test]
    fn a_watch_goes_on_after_the_last_id_and_ends_with_the_saga() {
        let fake = Fake::new();
        let running = serving(&fake);
        running.start("1s");
        *fake.records.lock().unwrap() =
            vec![record(1, Event::TimerFired(fake::leg("a"))), record(2, Event::TimerFired(fake::leg("b")))];
        let is = |status| fake.sagas.lock().unwrap().get_mut("T1").unwrap().0.status = status;
        is(Status::Running);
        let path = ["v1", "sagas", "T1", "watch"];
        let mut messages = running.client.follow(&path, Some("1")).unwrap().unwrap();
        let first = messages.next().unwrap();
        assert_eq!((first.id.as_deref(), first.event.as_str()), (Some("2"), "record"));
        assert!(first.data.contains(&Positions { generation: 1 }.show(2)), "{}", first.data);
        fake.records.lock().unwrap().push(record(3, Event::Completed));
        let change = Change {
            namespace: amends_core::id::Namespace::new("default").unwrap(),
            id: amends_core::id::SagaId::new("T1").unwrap(),
            revision: 3,
        };
        is(Status::Completed);
        fake.changes.send(change.clone()).unwrap();
        let rest: Vec<String> = messages.map(|message| message.event).collect();
        assert_eq!(rest, ["record", "end"]);
        // What comes after the end is stale. Who had seen the end and asked again waited for another one, for ever.
        fake.records.lock().unwrap().push(record(4, Event::TimerFired(fake::leg("a"))));
        let late = running.client.follow(&path, Some("3")).unwrap().unwrap();
        assert_eq!(late.map(|message| message.event).collect::<Vec<_>>(), ["record", "end"]);
        assert!(running.client.follow(&path, Some("17")).unwrap().is_none(), "nothing is left to say");
        let mut all = running.client.follow(&["v1", "watch"], None).unwrap().unwrap();
        fake.changes.send(change).unwrap();
        let line = all.next().unwrap();
        assert!(line.event == "saga" && line.data.contains("\"completed\""), "{line:?}");
        running.end();
    }

    #[test]
    fn a_stop_answers_those_who_wait_and_ends_streams() {
        let fake = Fake::new();
        *fake.never_ends.lock().unwrap() = true;
        let running = Arc::new(serving(&fake));
        let waiting = thread::spawn({
            let running = Arc::clone(&running);
            move || running.start("300s").0
        });
        let mut watching = running.client.follow(&["v1", "watch"], None).unwrap().unwrap();
        while fake.asked.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        running.stop.send(true).unwrap();
        assert_eq!(waiting.join().unwrap(), 202);
        assert!(watching.next().is_none());
        Arc::into_inner(running).unwrap().end();
    }
}
