//! The body of a response: counted, and read to its end even if the guest does not, so that the host knows that it is whole.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

use super::{
    connect::{Connection, Owner},
    traffic::{Sent, Traffic},
};

/// A response's body on its way to the guest.
pub(super) struct Answer {
    // None once it has ended, one way or the other.
    rest: Option<Rest>,
    traffic: Traffic,
    between: Duration,
    silence: Pin<Box<Sleep>>,
}

/// What is still to come, and what happens then.
struct Rest {
    body: Incoming,
    bytes_left: u64,
    bytes_max: u64,
    sent: Arc<Sent>,
    connection: Connection,
    owner: Owner,
}

/// How much of a response is taken, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) bytes_max: u64,
    pub(super) between: Duration,
}

impl Answer {
    pub(super) fn new(
        body: Incoming,
        patience: Patience,
        sent: Arc<Sent>,
        connection: Connection,
        owner: Owner,
        traffic: Traffic,
    ) -> Self {
        let Patience { bytes_max, between } = patience;
        let rest = Rest { body, bytes_left: bytes_max, bytes_max, sent, connection, owner };
        let mut answer = Self { rest: Some(rest), traffic, between, silence: Box::pin(sleep(between)) };
        if answer.rest.as_ref().is_some_and(|rest| rest.body.is_end_stream()) {
            answer.end();
        }
        answer
    }

    fn end(&mut self) {
        if let Some(rest) = self.rest.take() {
            rest.end(&self.traffic);
        }
    }
}

impl Rest {
    /// The last byte is here: the request is answered, and the connection is free.
    fn end(self, traffic: &Traffic) {
        self.sent.answer();
        traffic.releases(&self.connection.handle());
        self.connection.keep(self.owner);
    }

    /// Reads what the guest did not want.
    async fn drain(mut self, traffic: Traffic) {
        while let Some(frame) = self.body.frame().await {
            let Ok(frame) = frame else { return };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.bytes_left.checked_sub(length) {
                Some(left) => self.bytes_left = left,
                None => return,
            }
        }
        self.end(&traffic);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(rest) = this.rest.as_mut() else { return Poll::Ready(None) };
        match Pin::new(&mut rest.body).poll_frame(context) {
            Poll::Pending => match this.silence.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.rest = None;
                    Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
                }
            },
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                this.rest = None;
                Poll::Ready(Some(Err(Error::HttpResponseIncomplete)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.silence.as_mut().reset(Instant::now() + this.between);
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match rest.bytes_left.checked_sub(length) {
                    Some(left) => rest.bytes_left = left,
                    None => {
                        let error = Error::HttpResponseBodySize(Some(rest.bytes_max));
                        this.rest = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                // A body with a known length is whole with its last frame; a guest may never ask for one more.
                if rest.body.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.traffic.spawn(rest.drain(self.traffic.clone()));
        }
    }
}
