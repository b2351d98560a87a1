//! Places of connections: while the host works for a client, its connection keeps its place; while the host waits for the client,
//! the place may be given to somebody else.
//!
//! A connection on which nothing was asked yet, one that idles between two requests, a body that comes slowly and an answer that is
//! not read are all the same here: it is the client's turn. When all places are taken, the connection on which it has been the
//! client's turn for longest is closed. So none of these kinds of clients can keep the others out, however many connections it opens.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places of a listener.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// It became the client's turn on some connection.
    became_idle: Notify,
}

/// Connections on which it is the client's turn, the longest first.
#[derive(Debug, Default)]
struct Idle {
    next: u64,
    by_age: BTreeMap<u64, Arc<Notify>>,
}

impl Places {
    /// Places for this many connections.
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), idle: Mutex::default(), became_idle: Notify::new() })
    }

    /// A place for a connection that was accepted. If there is none, another connection is closed for it as soon as it is some
    /// client's turn.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        loop {
            let became_idle = self.became_idle.notified();
            if self.close_longest_idle() {
                return Arc::clone(&self.free).acquire_owned().await.ok();
            }
            tokio::select! {
                place = Arc::clone(&self.free).acquire_owned() => return place.ok(),
                () = became_idle => {}
            }
        }
    }

    /// False: on every connection it is the host's turn.
    fn close_longest_idle(&self) -> bool {
        let longest = self.idle().by_age.pop_first();
        longest.is_some_and(|(_, close)| {
            close.notify_one();
            true
        })
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is on one connection.
#[derive(Debug)]
pub(super) struct Turn {
    places: Arc<Places>,
    close: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Host,
    /// The client's, since this number.
    Client(u64),
}

/// The place of a connection was given to another one.
#[derive(Debug)]
pub(super) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("all connections of the host are taken, and this one waited for its client for longest")
    }
}

impl std::error::Error for Closed {}

impl Turn {
    /// Of a new connection: the client's.
    pub(super) fn new(places: Arc<Places>) -> Arc<Self> {
        let turn = Self { places, close: Arc::default(), state: Mutex::new(State::Host) };
        turn.to_client(&mut None);
        Arc::new(turn)
    }

    /// Ends when the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// The host waits for the client from now on, or from an earlier time that `since` kept: who sends a byte now and then has waited
    /// since its first one.
    fn to_client(&self, since: &mut Option<u64>) {
        let mut state = self.state();
        if matches!(*state, State::Client(_)) {
            return;
        }
        let mut idle = self.places.idle();
        let number = *since.get_or_insert_with(|| {
            idle.next += 1;
            idle.next
        });
        *state = State::Client(number);
        idle.by_age.insert(number, Arc::clone(&self.close));
        drop(idle);
        self.places.became_idle.notify_one();
    }

    /// The host works for the client from now on.
    pub(super) fn to_host(&self) -> Result<(), Closed> {
        let mut state = self.state();
        let State::Client(number) = *state else { return Ok(()) };
        // Not among them any more: the place is given away already.
        if self.places.idle().by_age.remove(&number).is_none() {
            return Err(Closed);
        }
        *state = State::Host;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Closed or not, it is nobody's turn any more.
        let _ = self.to_host();
    }
}

/// The body of a request: as long as it has not come, it is the client's turn.
pub(super) fn received(
    body: impl HttpBody<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
    turn: Arc<Turn>,
) -> Body {
    Body::new(Received { body, turn, since: None })
}

struct Received<B> {
    body: B,
    turn: Arc<Turn>,
    since: Option<u64>,
}

impl<B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin> HttpBody for Received<B> {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, turn, since } = &mut *self;
        match Pin::new(body).poll_frame(context) {
            Poll::Pending => {
                turn.to_client(since);
                Poll::Pending
            }
            Poll::Ready(frame) => match turn.to_host() {
                Ok(()) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
                Err(closed) => Poll::Ready(Some(Err(closed.into()))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: as long as something of it is not taken, it is the client's turn, and so it is after its end.
pub(super) fn sent(body: Body, turn: Arc<Turn>) -> Body {
    Body::new(Sent { body, turn })
}

struct Sent {
    body: Body,
    turn: Arc<Turn>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            // Whoever follows sagas took all that there was. hyper asks for more only when what it has is on its way.
            Poll::Pending => match self.turn.to_host() {
                Ok(()) => Poll::Pending,
                Err(closed) => Poll::Ready(Some(Err(closed.into()))),
            },
            Poll::Ready(frame) => {
                self.turn.to_client(&mut None);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.turn.to_client(&mut None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(places: &Places) -> usize {
        places.idle().by_age.len()
    }

    /// Which of them was told to close.
    fn closed(turns: &[Arc<Turn>]) -> Vec<bool> {
        turns.iter().map(|turn| turn.to_host().is_err()).collect()
    }

    #[test]
    fn c2_03_the_connection_that_waits_for_its_client_for_longest_is_closed_and_no_working_one() {
        let places = Places::new(3);
        let turns: Vec<_> = (0..3).map(|_| Turn::new(Arc::clone(&places))).collect();
        // The first one works; the second one worked, and waits since after the third one.
        turns[0].to_host().unwrap();
        turns[1].to_host().unwrap();
        turns[1].to_client(&mut None);
        assert!(places.close_longest_idle());
        assert_eq!(closed(&turns), [false, false, true]);
        assert!(!places.close_longest_idle(), "all others work");
    }

    #[test]
    fn c2_03_who_sends_a_byte_now_and_then_has_waited_since_the_first_one() {
        let places = Places::new(2);
        let (slow, other) = (Turn::new(Arc::clone(&places)), Turn::new(Arc::clone(&places)));
        slow.to_host().unwrap();
        let mut since = None;
        slow.to_client(&mut since);
        other.to_host().unwrap();
        other.to_client(&mut None);
        slow.to_host().unwrap();
        slow.to_client(&mut since);
        assert!(places.close_longest_idle());
        assert_eq!(closed(&[slow, other]), [true, false]);
    }

    #[test]
    fn a_connection_that_ends_is_waited_for_no_more() {
        let places = Places::new(2);
        let turn = Turn::new(Arc::clone(&places));
        let answer = sent(Body::from("x"), Arc::clone(&turn));
        assert_eq!(idle(&places), 1);
        turn.to_host().unwrap();
        assert_eq!(idle(&places), 0);
        drop(answer);
        assert_eq!(idle(&places), 1);
        drop(turn);
        assert_eq!(idle(&places), 0);
    }
}
