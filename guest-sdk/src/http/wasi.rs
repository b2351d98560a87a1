//! Sends a request over `wasi:http`, and tells what never left from what got no answer.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method as WasiMethod, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme as WasiScheme, http_error_code,
};
use wasip2::io::error::Error as IoError;
use wasip2::io::streams::StreamError;

use crate::http::url::{Scheme, Url};
use crate::http::{Error, Method, Request, Response};
use crate::moment::millis;

/// The most that `blocking-write-and-flush` takes at once.
const WRITE_BYTES_MAX: usize = 4096;
const READ_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn send(request: &Request) -> Result<Response, Error> {
    let (outgoing, body) = outgoing(request)?;
    let pending = outgoing_handler::handle(outgoing, options(request)).map_err(|code| failed(request, &code))?;
    // A connection that broke while the body was being written says why in the response's place.
    let written = write(body, request.body_bytes());
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => read(&response, request),
        Some(Ok(Err(code))) => Err(failed(request, &code)),
        Some(Err(())) | None => Err(no_answer(request, written.err().unwrap_or_default())),
    }
}

fn outgoing(request: &Request) -> Result<(OutgoingRequest, OutgoingBody), Error> {
    let invalid = |what: &str| Error::not_sent(format!("{what} of {} {} is not valid", request.method(), request.url()));
    let url = Url::parse(request.url()).ok_or_else(|| invalid("the url"))?;
    let length = ("content-length".to_owned(), request.body_bytes().len().to_string());
    let has_body = !request.body_bytes().is_empty() || !request.method().is_safe();
    let headers: Vec<(String, Vec<u8>)> = (request.headers().iter().cloned())
        .chain(has_body.then_some(length))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_bytes()))
        .collect();
    let headers = Fields::from_list(&headers).map_err(|_| invalid("a header"))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(request.method())).map_err(|()| invalid("the method"))?;
    let scheme = match url.scheme {
        Scheme::Http => WasiScheme::Http,
        Scheme::Https => WasiScheme::Https,
    };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("the scheme"))?;
    outgoing.set_authority(Some(url.authority)).map_err(|()| invalid("the authority"))?;
    outgoing.set_path_with_query(Some(&url.path_with_query())).map_err(|()| invalid("the path"))?;
    let body = outgoing.body().map_err(|()| invalid("the body"))?;
    Ok((outgoing, body))
}

fn options(request: &Request) -> Option<RequestOptions> {
    let nanoseconds = millis(request.timeout?).saturating_mul(1_000_000);
    let options = RequestOptions::new();
    // A host that does not know one of these still has the step's deadline.
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    Some(options)
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), String> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| "the body has no stream".to_owned())?;
        for chunk in bytes.chunks(WRITE_BYTES_MAX) {
            stream.blocking_write_and_flush(chunk).map_err(|error| match error {
                StreamError::Closed => "the connection was closed under the body".to_owned(),
                StreamError::LastOperationFailed(error) => format!("writing the body: {}", stream_in_words(&error)),
            })?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|code| format!("ending the body: {}", in_words(&code)))
}

fn read(response: &IncomingResponse, request: &Request) -> Result<Response, Error> {
    let headers = response.headers().entries();
    let incoming = response.consume().map_err(|()| no_answer(request, "the answer has no body"))?;
    let body = read_body(&incoming).map_err(|why| no_answer(request, why))?;
    let headers = headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    Ok(headers.fold(Response::new(response.status(), body), |answer, (name, value)| answer.header(name, value)))
}

fn read_body(incoming: &IncomingBody) -> Result<Vec<u8>, String> {
    let stream = incoming.stream().map_err(|()| "the answer has no stream".to_owned())?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES_MAX) {
            Ok(bytes) => body.extend(bytes),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(error)) => return Err(stream_in_words(&error)),
        }
    }
}

fn stream_in_words(error: &IoError) -> String {
    http_error_code(error).map_or_else(|| error.to_debug_string(), |code| in_words(&code))
}

/// What the host reports, for people.
fn in_words(code: &ErrorCode) -> String {
    let words = match code {
        ErrorCode::InternalError(Some(what)) => what,
        ErrorCode::DnsError(about) => about.rcode.as_deref().unwrap_or("the name cannot be resolved"),
        ErrorCode::DnsTimeout => "the name was not resolved in time",
        ErrorCode::DestinationNotFound => "there is no such destination",
        ErrorCode::DestinationUnavailable => "the destination is unavailable",
        ErrorCode::DestinationIpProhibited => "the destination's address is prohibited",
        ErrorCode::DestinationIpUnroutable => "no route leads to the destination",
        ErrorCode::ConnectionRefused => "connection refused",
        ErrorCode::ConnectionTerminated => "the connection was closed",
        ErrorCode::ConnectionTimeout => "no connection in time",
        ErrorCode::ConnectionReadTimeout => "nothing came in time",
        ErrorCode::ConnectionWriteTimeout => "nothing could be sent in time",
        ErrorCode::ConnectionLimitReached => "too many connections",
        ErrorCode::TlsProtocolError => "TLS failed",
        ErrorCode::TlsCertificateError => "the TLS certificate is not trusted",
        ErrorCode::TlsAlertReceived(_) => "the other side broke TLS off",
        ErrorCode::HttpRequestDenied => "the request was denied",
        ErrorCode::HttpRequestLengthRequired => "the request needs a length",
        ErrorCode::HttpRequestBodySize(_) => "the request's body is too large",
        ErrorCode::HttpRequestMethodInvalid => "the method is not valid",
        ErrorCode::HttpRequestUriInvalid => "the url is not valid",
        ErrorCode::HttpRequestUriTooLong => "the url is too long",
        ErrorCode::HttpRequestHeaderSectionSize(_) | ErrorCode::HttpRequestHeaderSize(_) => "the request's headers are too large",
        ErrorCode::HttpRequestTrailerSectionSize(_) | ErrorCode::HttpRequestTrailerSize(_) => {
            "the request's trailers are too large"
        }
        ErrorCode::HttpResponseIncomplete => "the answer broke off",
        ErrorCode::HttpResponseHeaderSectionSize(_) | ErrorCode::HttpResponseHeaderSize(_) => {
            "the answer's headers are too large"
        }
        ErrorCode::HttpResponseBodySize(_) => "the answer's body is too large",
        ErrorCode::HttpResponseTrailerSectionSize(_) | ErrorCode::HttpResponseTrailerSize(_) => {
            "the answer's trailers are too large"
        }
        ErrorCode::HttpResponseTransferCoding(_) => "the answer's transfer coding is not known",
        ErrorCode::HttpResponseContentCoding(_) => "the answer's content coding is not known",
        ErrorCode::HttpResponseTimeout => "no answer in time",
        ErrorCode::HttpUpgradeFailed => "the connection could not be upgraded",
        ErrorCode::HttpProtocolError => "what answers speaks no HTTP",
        ErrorCode::LoopDetected => "the request runs in a circle",
        ErrorCode::ConfigurationError => "the host is not set up for it",
        ErrorCode::InternalError(None) => "the host failed",
    };
    words.to_owned()
}

fn failed(request: &Request, code: &ErrorCode) -> Error {
    match code {
        // Each of these comes before the first byte of the request has left.
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::ConfigurationError => {
            Error::not_sent(format!("{} {} was not sent: {}", request.method(), request.url(), in_words(code)))
        }
        _ => no_answer(request, in_words(code)),
    }
}

fn no_answer(request: &Request, why: impl std::fmt::Display) -> Error {
    Error::no_answer(format!("no answer to {} {}: {why}", request.method(), request.url()))
}

fn method(method: Method) -> WasiMethod {
    match method {
        Method::Get => WasiMethod::Get,
        Method::Head => WasiMethod::Head,
        Method::Options => WasiMethod::Options,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Patch => WasiMethod::Patch,
        Method::Delete => WasiMethod::Delete,
    }
}
