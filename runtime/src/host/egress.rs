//! Outgoing HTTP of guests: what may leave, to where, under which key. Everything is refused that is not granted.
//!
//! A refusal ends the attempt; the guest learns nothing from it. No redirects are followed and no proxies asked.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use amends_core::denial::{Address, Denial, DenialReason};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body as _;
use rustls::{ClientConfig, pki_types::CertificateDer};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{
    address::{Reachable, is_own, reachable},
    answer::{Answer, Patience},
    connect::{self, Connection, Owner, Resolve},
    fault::cut,
    guest::{Facts, Reach},
    headers::{self, Name, is_safe},
    limits::{Limits, usize_of},
    traffic::Traffic,
};
use crate::{
    journal::Grant,
    origin::{BadOrigin, Origin},
};

/// A guest that says nothing of its patience has this much: the attempt's deadline bounds it.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What all attempts share: how names are resolved, which certificates are trusted, where the host itself listens.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    limits: Limits,
    resolve: Resolve,
    roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Arc<ClientConfig>>,
    listeners: RwLock<Vec<SocketAddr>>,
}

impl Gate {
    pub(super) fn new(limits: &Limits, resolve: Resolve, roots: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Inner { limits: limits.clone(), resolve, roots, tls: OnceLock::new(), listeners: RwLock::default() }))
    }

    /// Where the host itself listens: no guest reaches that.
    pub(super) fn set_listeners(&self, listeners: Vec<SocketAddr>) {
        *self.0.listeners.write().unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        is_own(address, &self.0.listeners.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(tls) = self.0.tls.get() {
            return Ok(tls.clone());
        }
        let tls = connect::tls(&self.0.roots).map_err(|error| {
            tracing::error!(%error, "TLS cannot be set up");
            Error::ConfigurationError
        })?;
        Ok(self.0.tls.get_or_init(|| tls).clone())
    }
}

/// The way out of one attempt.
pub(super) struct Egress {
    gate: Gate,
    facts: Facts,
    traffic: Traffic,
}

type Answered = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl Egress {
    pub(super) fn new(gate: &Gate, facts: Facts, traffic: Traffic) -> Self {
        Self { gate: gate.clone(), facts, traffic }
    }

    /// Whether this request may leave at all, and by which grant. None of it asks the network.
    fn judge(&self, request: &http::Request<WasiBody>) -> Result<Permit, Refused> {
        let origin = Origin::of_request(request.uri()).map_err(|bad| Refused::Denied(not_an_origin(&bad)))?;
        if self.facts.reach == Reach::EffectFree {
            return Err(Refused::Denied(denial(&origin, DenialReason::EffectFree)));
        }
        // What no grant opens is said before one is asked for.
        if let Some(address) = origin.address() {
            self.open(&origin, SocketAddr::new(address, origin.port())).map_err(Refused::Denied)?;
        }
        match self.facts.reach {
            Reach::NotGranted => return Err(Refused::Denied(denial(&origin, DenialReason::NotGranted))),
            Reach::Safe if !is_safe(request.method()) => {
                let method = cut(request.method().as_str());
                return Err(Refused::Denied(denial(&origin, DenialReason::UnsafeInCheck { method })));
            }
            Reach::Safe | Reach::All | Reach::EffectFree => {}
        }
        if request.method() == http::Method::CONNECT {
            return Err(Refused::Failed(Error::HttpRequestMethodInvalid));
        }
        let mut permit = None;
        for grant in self.facts.grants.iter() {
            let Grant::Http { origin: granted, private } = grant else { continue };
            let Ok(granted) = Origin::parse(granted) else { continue };
            if granted.covers(&origin) {
                let permit: &mut Permit = permit.get_or_insert_with(|| Permit { origin: origin.clone(), private: false });
                // A grant of a literal address is a grant of that address, wherever it lies.
                permit.private |= *private || granted.address().is_some();
            }
        }
        permit.ok_or_else(|| Refused::Denied(denial(&origin, DenialReason::NotGranted)))
    }

    /// Ends the attempt.
    fn deny(&self, denial: Denial) {
        let label = &self.facts.label;
        tracing::warn!(
            stream = label.stream(),
            call = label.call(),
            origin = denial.origin,
            reason = denial.reason.name(),
            "a call was denied"
        );
        self.traffic.deny(denial);
    }
}

/// A request that may leave, if its address allows.
struct Permit {
    origin: Origin,
    private: bool,
}

/// Why a request did not leave.
enum Refused {
    /// The attempt ends.
    Denied(Denial),
    /// The guest may deal with it.
    Failed(Error),
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let way = Self { gate: self.gate.clone(), facts: self.facts.clone(), traffic: self.traffic.clone() };
        // Judged now and not when the guest asks for the response: it may never ask.
        let permit = match self.judge(&request) {
            Ok(permit) => permit,
            Err(Refused::Failed(error)) => return Box::new(async { Err(error) }),
            Err(Refused::Denied(denial)) => {
                self.deny(denial);
                return Box::new(std::future::pending());
            }
        };
        Box::new(async move {
            match way.send(permit, request, options.unwrap_or_default()).await {
                Ok(response) => Ok((response, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>)),
                Err(Refused::Failed(error)) => Err(error),
                Err(Refused::Denied(denial)) => {
                    way.deny(denial);
                    // The attempt is dropped now; its guest never hears.
                    std::future::pending().await
                }
            }
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }
}

impl Egress {
    async fn send(
        &self,
        permit: Permit,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<WasiBody>, Refused> {
        let limits = &self.gate.0.limits;
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let url = format!("{}{path}", permit.origin);
        let number = self.traffic.number(&parts.method, &url);
        if number.earlier >= limits.http_requests_max {
            return Err(Refused::Failed(Error::InternalError(Some(format!(
                "an attempt sends at most {} requests",
                limits.http_requests_max
            )))));
        }
        // The whole body first: a guest that traps while it writes, or writes too much, has sent nothing.
        let body = collect(body, usize_of(limits.http_request)).await?;

        let label = headers::label(&parts.headers);
        let name = match &label {
            Some(label) => Name::Labelled(label),
            None => Name::Counted { method: &parts.method, url: &url, repeats: number.repeats },
        };
        let key = headers::idempotency_key(self.facts.mark.key, name);
        headers::strip(&mut parts.headers);
        headers::mark(&mut parts.headers, &self.facts, &parts.method, &key);
        let host = permit.origin.authority().parse().map_err(|_| Refused::Failed(Error::HttpRequestUriInvalid))?;
        parts.headers.insert(http::header::HOST, host);
        parts.uri = path.parse().map_err(|_| Refused::Failed(Error::HttpRequestUriInvalid))?;
        parts.version = http::Version::HTTP_11;

        let sent = self.traffic.follow(!is_safe(&parts.method));
        let mut connection = self.connection(&permit).await?;
        let handle = connection.handle();
        self.traffic.uses(handle.clone());
        connection.carries(sent.clone());
        let answering = connection.sender.send_request(http::Request::from_parts(parts, Full::new(body)));
        let first_byte = options.first_byte_timeout.unwrap_or(PATIENCE);
        let answered = tokio::time::timeout(first_byte, answering).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Refused::Failed(not_answered(&error))),
            Err(_) => return Err(Refused::Failed(Error::HttpResponseTimeout)),
        };
        let patience =
            Patience { bytes_max: limits.http_response.as_u64(), between: options.between_bytes_timeout.unwrap_or(PATIENCE) };
        let owner = self.owner(&permit.origin);
        Ok(response.map(|body| Answer::new(body, patience, sent, connection, owner, self.traffic.clone()).boxed_unsync()))
    }

    /// A kept connection whose address is still permitted, or a new one to an address that is.
    async fn connection(&self, permit: &Permit) -> Result<Connection, Refused> {
        let origin = &permit.origin;
        if let Some(connection) = Connection::kept(&self.owner(origin)).await
            && self.admit(permit, connection.peer).is_ok()
        {
            return Ok(connection);
        }
        let limits = &self.gate.0.limits;
        let addresses = match origin.address() {
            Some(address) => vec![SocketAddr::new(address, origin.port())],
            None => {
                let resolving =
                    tokio::time::timeout(limits.http_connect, (self.gate.0.resolve)(origin.host(), origin.port())).await;
                let unknown = |_| {
                    Refused::Failed(Error::DnsError { rcode: Some("the name cannot be resolved".to_owned()), info_code: None })
                };
                resolving.map_err(|_| Refused::Failed(Error::DnsTimeout))?.map_err(unknown)?
            }
        };
        let mut refusal = None;
        let mut admitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.admit(permit, address) {
                Ok(()) => admitted.push(address),
                Err(denial) => refusal = Some(denial),
            }
        }
        match (admitted.as_slice(), refusal) {
            ([], Some(denial)) => Err(Refused::Denied(denial)),
            ([], None) => {
                Err(Refused::Failed(Error::DnsError { rcode: Some("the name has no address".to_owned()), info_code: None }))
            }
            (admitted, _) => {
                let connection = Connection::open(origin, admitted, &self.gate.tls()?, limits).await?;
                // A listener on every address is found by where the connection came out.
                let to_own =
                    connection.to_itself && self.gate.is_own(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), connection.peer.port()));
                match to_own {
                    true => Err(Refused::Denied(denial(origin, DenialReason::OwnListener))),
                    false => Ok(connection),
                }
            }
        }
    }

    /// Whether this address may be reached under this permit; if not, why.
    fn admit(&self, permit: &Permit, address: SocketAddr) -> Result<(), Denial> {
        let origin = &permit.origin;
        self.open(origin, address)?;
        match reachable(address.ip()) {
            Reachable::Private(network) if !permit.private => {
                Err(denial(origin, DenialReason::PrivateAddress(Address { ip: address.ip(), network })))
            }
            Reachable::Global | Reachable::Private(_) | Reachable::Never(_) => Ok(()),
        }
    }

    /// Whether a grant can open this address; if not, why.
    fn open(&self, origin: &Origin, address: SocketAddr) -> Result<(), Denial> {
        if self.gate.is_own(address) {
            return Err(denial(origin, DenialReason::OwnListener));
        }
        match reachable(address.ip()) {
            Reachable::Never(network) => {
                Err(denial(origin, DenialReason::ForbiddenAddress(Address { ip: address.ip(), network })))
            }
            Reachable::Global | Reachable::Private(_) => Ok(()),
        }
    }

    fn owner(&self, origin: &Origin) -> Owner {
        let label = &self.facts.label;
        Owner {
            namespace: label.namespace().to_owned(),
            module: label.module.clone(),
            origin: origin.clone(),
            gate: Arc::as_ptr(&self.gate.0).addr(),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn denial(origin: &Origin, reason: DenialReason) -> Denial {
    Denial::new(cut(&origin.to_string()), reason)
}

/// The guest's text is recorded, and shown to people.
fn not_an_origin(bad: &BadOrigin) -> Denial {
    Denial::new(cut(bad.text()), DenialReason::NotAnOrigin { rule: bad.rule().to_owned() })
}

async fn collect(body: WasiBody, bytes_max: usize) -> Result<Bytes, Error> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limited = Limited::new(body, bytes_max);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::HttpRequestBodySize(Some(bytes_max as u64))),
        Err(error) => Err(Error::InternalError(Some(format!("the request's body failed: {error}")))),
    }
}

fn not_answered(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    match (error.is_parse(), error.is_timeout()) {
        (true, _) => Error::HttpProtocolError,
        (_, true) => Error::ConnectionReadTimeout,
        (false, false) => Error::HttpResponseIncomplete,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod tls_tests;
