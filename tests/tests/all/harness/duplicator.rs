//! A proxy in front of the participants that sends every request twice, and answers with the first answer.
//!
//! The second request is sent after the answer to the first one, which is the harmful case of a repeated message.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use super::api::Traffic;

/// The running proxy; it stops on drop.
pub(crate) struct Duplicator {
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Ahead {
    participants: String,
    traffic: Traffic,
    repeated: Arc<AtomicU64>,
}

impl Duplicator {
    /// A proxy in front of `participants`, an `http://` URL without a path.
    pub(crate) fn start(participants: &str, traffic: Traffic) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let participants = participants.trim_start_matches("http://").to_owned();
        let ahead = Ahead { participants, traffic, repeated: Arc::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = Router::new().fallback(twice).with_state(ahead);
            tokio::select! {
                served = async { axum::serve(listener, router).await } => served,
                _ = stopped => Ok(()),
            }
        };
        let thread = thread::spawn(move || {
            if let Err(error) = runtime.block_on(serving) {
                eprintln!("the duplicator stopped: {error}");
            }
        });
        Ok(Self { url, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Duplicator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

async fn twice(State(ahead): State<Ahead>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 1 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    let line = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", parts.method, parts.uri, ahead.participants);
    // A task of its own: the second is sent even if the host is killed meanwhile.
    let sent = tokio::spawn(async move {
        let first = exchange(&ahead.participants, &line, &parts.headers, &body).await;
        let mut headers = parts.headers;
        if ahead.traffic == Traffic::TwiceWithFreshKeys {
            let key = format!("repeated-{}", ahead.repeated.fetch_add(1, Ordering::Relaxed));
            headers
                .insert("idempotency-key", HeaderValue::from_str(&key).unwrap_or_else(|_| HeaderValue::from_static("repeated")));
        }
        // Whatever it is answered, nobody hears of it.
        let _ = exchange(&ahead.participants, &line, &headers, &body).await;
        first
    });
    match sent.await {
        Ok(Ok(response)) => response,
        // Unwinding ends the connection without a byte of an answer, as the participant's own did, and prints nothing.
        Ok(Err(_)) | Err(_) => panic::resume_unwind(Box::new("not answered")),
    }
}

/// One request on a connection of its own.
async fn exchange(participants: &str, line: &str, headers: &HeaderMap, body: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(participants).await?;
    let mut head = line.to_owned();
    for (name, value) in headers {
        let ours = [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name);
        if let (false, Ok(value)) = (ours, value.to_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    response(&answer).ok_or_else(|| io::Error::other("no answer"))
}

fn response(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let status = str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    let body = Body::from(answer[end + 4..].to_vec());
    Some((StatusCode::from_u16(status).ok()?, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}
