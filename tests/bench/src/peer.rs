//! A peer behind the route of Amends: the domain code runs in this server, and the peer keeps the events.

mod cqrs;
mod message_db;
#[cfg(feature = "umadb")]
mod uma;
mod views;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::sync::Mutex;

use crate::bank::{Account, Deposit};

/// What became of one try.
enum Tried {
    /// The revision of the event, and its place among all, or 0.
    Done(u64, u64),
    /// Somebody else's event came between.
    Conflict,
    Refused,
}

enum Peer {
    Cqrs(cqrs::Cqrs),
    MessageDb(message_db::MessageDb),
    #[cfg(feature = "umadb")]
    Uma(uma::Uma),
}

struct Server {
    peer: Peer,
    conflicts: AtomicU64,
    /// Whether commands to one account wait for each other here. It holds as long as there is one server, and spares it the conflicts.
    queues: AtomicBool,
    lines: Vec<Mutex<()>>,
}

impl Server {
    fn line(&self, id: &str) -> &Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        &self.lines[hash as usize % self.lines.len()]
    }
}

/// `cqrs-es`, `message-db`, `message-db-64` or `umadb`. The store is at `at`: a URL of PostgreSQL, or of UmaDB.
async fn connect(name: &str, at: &str) -> Result<Peer> {
    Ok(match name {
        "cqrs-es" => Peer::Cqrs(cqrs::Cqrs::new(pool(at).await?)),
        "message-db" => Peer::MessageDb(message_db::MessageDb::new(pool(at).await?, 1)),
        "message-db-64" => Peer::MessageDb(message_db::MessageDb::new(pool(at).await?, 64)),
        #[cfg(feature = "umadb")]
        "umadb" => Peer::Uma(uma::Uma::connect(at).await?),
        _ => bail!("no peer is called {name}"),
    })
}

async fn pool(at: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(16).min_connections(16).connect(at).await?)
}

/// The planner knows the tables, and what filled them is on the disk.
async fn settled(pool: &PgPool) -> Result<()> {
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    Ok(())
}

/// Serves a peer. With `events`, each account has so many before.
pub async fn serve(name: &str, at: &str, listen: &str, events: u64) -> Result<()> {
    let peer = connect(name, at).await?;
    match &peer {
        Peer::Cqrs(peer) => peer.fill(events).await?,
        Peer::MessageDb(peer) => peer.fill(events).await?,
        #[cfg(feature = "umadb")]
        Peer::Uma(peer) => peer.fill(events).await?,
    }
    let server = Arc::new(Server {
        peer,
        conflicts: AtomicU64::new(0),
        queues: AtomicBool::new(false),
        lines: (0..4_096).map(|_| Mutex::new(())).collect(),
    });
    let routes = Router::new()
        .route("/v1/aggregates/account/{id}/deposit", post(deposit))
        .route("/v1/aggregates/account/{id}", get(show))
        .route("/conflicts", get(conflicts))
        .route("/queue/{on}", get(queue))
        .with_state(server);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    eprintln!("{name} ready on {listen}");
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), routes).await?;
    Ok(())
}

async fn deposit(State(server): State<Arc<Server>>, Path(id): Path<String>, body: axum::body::Bytes) -> Response {
    let _turn = match server.queues.load(Ordering::Relaxed) {
        true => Some(server.line(&id).lock().await),
        false => None,
    };
    loop {
        let command: Deposit = match serde_json::from_slice(&body) {
            Ok(command) => command,
            Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        };
        let tried = match &server.peer {
            Peer::Cqrs(peer) => peer.deposit(&id, command).await,
            Peer::MessageDb(peer) => peer.deposit(&id, command).await,
            #[cfg(feature = "umadb")]
            Peer::Uma(peer) => peer.deposit(&id, command).await,
        };
        match tried {
            Ok(Tried::Done(revision, position)) => {
                let answer =
                    json!({"aggregate": "account", "id": id, "revision": revision.to_string(), "position": position.to_string()});
                return Json(answer).into_response();
            }
            Ok(Tried::Conflict) => server.conflicts.fetch_add(1, Ordering::Relaxed),
            Ok(Tried::Refused) => return StatusCode::CONFLICT.into_response(),
            Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        };
    }
}

/// From the store, not from what the server remembers.
async fn show(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Response {
    let found: Result<(u64, Account)> = match &server.peer {
        Peer::Cqrs(peer) => peer.show(&id).await,
        Peer::MessageDb(peer) => peer.show(&id).await,
        #[cfg(feature = "umadb")]
        Peer::Uma(peer) => peer.show(&id).await,
    };
    match found {
        Ok((revision, state)) => Json(json!({"revision": revision.to_string(), "state": state})).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

async fn queue(State(server): State<Arc<Server>>, Path(on): Path<bool>) -> Json<bool> {
    server.queues.store(on, Ordering::Relaxed);
    Json(on)
}

async fn conflicts(State(server): State<Arc<Server>>) -> Json<serde_json::Value> {
    Json(json!({"conflicts": server.conflicts.load(Ordering::Relaxed)}))
}

/// Records `events` of each account, and makes both views of them, for at most `time`.
pub async fn views(name: &str, at: &str, views_at: &str, events: u64, time: Duration) -> Result<()> {
    match connect(name, at).await? {
        Peer::Cqrs(peer) => peer.fill(events).await.map(|()| peer)?.views(time).await,
        Peer::MessageDb(peer) => peer.fill(events).await.map(|()| peer)?.views(time).await,
        #[cfg(feature = "umadb")]
        Peer::Uma(peer) => peer.fill(events).await.map(|()| peer)?.views(pool(views_at).await?, time).await,
    }
}
