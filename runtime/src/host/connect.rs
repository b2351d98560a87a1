//! Connections to participants: resolved once, to an address that was checked, and used again while they are fresh.
//!
//! A connection belongs to one guest thread and to one module; it is closed when the attempt that uses it ends early.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::{limits::Limits, traffic::Sent};
use crate::origin::{Origin, Scheme};

/// An idle connection is used again for so long: less than any usual server keeps it open, so that a request is not
/// sent into a closing one and its fate lost.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// How long a connection that was just used may take to be free.
const FREED_WITHIN: Duration = Duration::from_millis(20);

/// Idle connections to one origin, and to all, of one guest thread.
const IDLE_PER_ORIGIN_MAX: usize = 8;
const IDLE_ALL_MAX: usize = 64;

/// Frames of a response are at most so large; a slow guest holds no more of it.
const READ_BUFFER: usize = 64 << 10;

/// Resolves a host to addresses.
pub(super) type Resolve =
    Arc<dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Resolve {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// What is agreed on with servers: their certificates lead to a public root, or to one of the operator's.
pub(super) fn tls(own_roots: &[rustls::pki_types::CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in own_roots {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection with HTTP on it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) peer: SocketAddr,
    /// It leads back to this machine.
    pub(super) to_itself: bool,
    driver: AbortHandle,
    current: Current,
}

/// Dropping it closes the socket.
impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to the first address that answers.
    pub(super) async fn open(
        origin: &Origin,
        addresses: &[SocketAddr],
        tls: &Arc<ClientConfig>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let connecting = timeout(limits.http_connect, first(addresses)).await;
        let (stream, peer) = connecting.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| not_connected(&error))?;
        // The kernel connects to what it was told; this is the second of two looks.
        if stream.peer_addr().map_err(|error| not_connected(&error))? != peer {
            return Err(Error::DestinationIpProhibited);
        }
        let to_itself = stream.local_addr().is_ok_and(|local| local.ip() == peer.ip());
        stream.set_nodelay(true).map_err(|error| not_connected(&error))?;
        match origin.scheme() {
            Scheme::Http => Self::over(stream, peer, to_itself).await,
            Scheme::Https => {
                let name = ServerName::try_from(origin.host()).map_err(|_| Error::TlsCertificateError)?;
                let agreeing = timeout(limits.http_tls, TlsConnector::from(tls.clone()).connect(name, stream)).await;
                let stream = agreeing.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| not_agreed(&error))?;
                Self::over(stream, peer, to_itself).await
            }
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        to_itself: bool,
    ) -> Result<Self, Error> {
        let current = Current::default();
        let wire = Wire { stream, current: current.clone() };
        let shaken = http1::Builder::new().max_buf_size(READ_BUFFER).handshake(TokioIo::new(wire)).await;
        let (sender, connection) = shaken.map_err(|_| Error::ConnectionTerminated)?;
        let driver = tokio::spawn(async move {
            // Whoever waits for a response hears of the error there.
            let _ = connection.await;
        });
        Ok(Self { sender, peer, to_itself, driver: driver.abort_handle(), current })
    }

    /// From now on the first byte that is written begins this request.
    pub(super) fn carries(&self, sent: Arc<Sent>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
    }

    /// Closes it, whoever holds it.
    pub(super) fn handle(&self) -> AbortHandle {
        self.driver.clone()
    }

    /// Keeps it for the next request to this origin, if it is fit for one.
    pub(super) fn keep(self, owner: Owner) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.sender.is_closed() {
            return;
        }
        IDLE.with_borrow_mut(|idle| idle.put(owner, self));
    }

    /// A connection that was used a moment ago by the same module for the same origin.
    pub(super) async fn kept(owner: &Owner) -> Option<Self> {
        while let Some(mut connection) = IDLE.with_borrow_mut(|idle| idle.take(owner)) {
            // It was freed when the last byte came; its driver may not have seen that yet.
            if let Ok(Ok(())) = timeout(FREED_WITHIN, connection.sender.ready()).await {
                return Some(connection);
            }
        }
        None
    }
}

/// Whose connection it is: they are not shared between modules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) namespace: String,
    pub(super) module: String,
    pub(super) origin: Origin,
    /// The host that opened it: the limits and roots of another may differ.
    pub(super) gate: usize,
}

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

#[derive(Default)]
struct Idle(HashMap<Owner, Vec<(Instant, Connection)>>);

impl Idle {
    fn put(&mut self, owner: Owner, connection: Connection) {
        self.0.retain(|_, kept| {
            kept.retain(|(since, connection)| since.elapsed() < IDLE_MAX && !connection.sender.is_closed());
            !kept.is_empty()
        });
        if self.0.values().map(Vec::len).sum::<usize>() < IDLE_ALL_MAX {
            let kept = self.0.entry(owner).or_default();
            if kept.len() < IDLE_PER_ORIGIN_MAX {
                kept.push((Instant::now(), connection));
            }
        }
    }

    fn take(&mut self, owner: &Owner) -> Option<Connection> {
        let kept = self.0.get_mut(owner)?;
        while let Some((since, connection)) = kept.pop() {
            if since.elapsed() < IDLE_MAX && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }
}

async fn first(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::other("there is no address");
    for &address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn not_connected(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        _ => Error::DestinationUnavailable,
    }
}

fn not_agreed(error: &io::Error) -> Error {
    let certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match certificate {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Error::TlsCertificateError,
        _ => Error::TlsProtocolError,
    }
}

type Current = Arc<Mutex<Option<Arc<Sent>>>>;

/// Sees the first byte of each request go.
struct Wire<S> {
    stream: S,
    current: Current,
}

impl<S> Wire<S> {
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(1..)) = written
            && let Some(sent) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner)
        {
            sent.begin();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
