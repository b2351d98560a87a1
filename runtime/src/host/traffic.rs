//! What left during one attempt: which requests were sent, which were answered, and which call was denied.
//!
//! It must not know how requests are sent.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amends_core::{denial::Denial, outcome::Left};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

/// The record of an attempt's requests.
#[derive(Clone, Default)]
pub(super) struct Traffic(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    was_denied: Notify,
}

#[derive(Default)]
struct State {
    denied: Option<Denial>,
    requests: u32,
    repeats: HashMap<(http::Method, String), u32>,
    unsafe_requests: Vec<Arc<Sent>>,
    // The rest of responses that the guest did not read, and the connections in use. They end with the attempt.
    tasks: JoinSet<()>,
    connections: Vec<AbortHandle>,
    ended: bool,
}

/// How far one request came.
#[derive(Debug, Default)]
pub(super) struct Sent {
    began: AtomicBool,
    answered: AtomicBool,
}

impl Sent {
    /// The first byte went to the connected socket.
    pub(super) fn begin(&self) {
        self.began.store(true, Ordering::Relaxed);
    }

    /// The response is here, to its last byte.
    pub(super) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

/// The number of a request in its attempt.
pub(super) struct Number {
    /// How many were sent before it.
    pub(super) earlier: u32,
    /// How many of those had the same method and URL.
    pub(super) repeats: u32,
}

/// Closes every connection of an attempt when it is dropped.
pub(super) struct Closes<'a>(&'a Traffic);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Traffic {
    /// Closes every connection when it is dropped.
    pub(super) fn closes(&self) -> Closes<'_> {
        Closes(self)
    }

    /// Records a denial; the first one counts.
    pub(super) fn deny(&self, denial: Denial) {
        self.state().denied.get_or_insert(denial);
        self.0.was_denied.notify_one();
    }

    /// The first denial, if there was one.
    pub(super) fn denied(&self) -> Option<Denial> {
        self.state().denied.clone()
    }

    /// Ends when a call was denied.
    pub(super) async fn until_denied(&self) {
        while self.state().denied.is_none() {
            self.0.was_denied.notified().await;
        }
    }

    /// Counts a request.
    pub(super) fn number(&self, method: &http::Method, url: &str) -> Number {
        let mut state = self.state();
        let earlier = state.requests;
        state.requests += 1;
        let same = state.repeats.entry((method.clone(), url.to_owned())).or_default();
        let repeats = *same;
        *same += 1;
        Number { earlier, repeats }
    }

    /// Follows one request. Only those with unsafe methods decide what an outcome means.
    pub(super) fn follow(&self, changes_something: bool) -> Arc<Sent> {
        let sent = Arc::new(Sent::default());
        if changes_something {
            self.state().unsafe_requests.push(sent.clone());
        }
        sent
    }

    /// Runs something that ends with the attempt.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        if !state.ended {
            state.tasks.spawn(task);
        }
    }

    /// A connection that is closed when the attempt ends.
    pub(super) fn uses(&self, connection: AbortHandle) {
        let mut state = self.state();
        if state.ended {
            connection.abort();
        } else {
            state.connections.push(connection);
        }
    }

    /// A connection that is free again.
    pub(super) fn releases(&self, connection: &AbortHandle) {
        self.state().connections.retain(|used| used.id() != connection.id());
    }

    /// Waits at most `patience` for responses that are still coming, closes every connection, and says what left.
    pub(super) async fn settle(&self, patience: Duration) -> Left {
        if self.state().unsafe_requests.is_empty() {
            self.close();
            return Left::Nothing;
        }
        let until = tokio::time::Instant::now() + patience;
        let pending = || {
            let state = self.state();
            let coming = |sent: &Arc<Sent>| sent.began.load(Ordering::Relaxed) && !sent.answered.load(Ordering::Relaxed);
            state.denied.is_none() && !state.tasks.is_empty() && state.unsafe_requests.iter().any(coming)
        };
        while pending() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
            while self.state().tasks.try_join_next().is_some() {}
        }
        self.close();
        self.left()
    }

    fn close(&self) {
        let mut state = self.state();
        state.ended = true;
        // What is aborted is never run again, so nothing leaves after this.
        state.tasks.abort_all();
        state.connections.drain(..).for_each(|connection| connection.abort());
    }

    fn left(&self) -> Left {
        let state = self.state();
        let sent = state.unsafe_requests.iter().filter(|sent| sent.began.load(Ordering::Relaxed));
        match sent.map(|sent| sent.answered.load(Ordering::Relaxed)).reduce(|a, b| a && b) {
            None => Left::Nothing,
            Some(true) => Left::Answered,
            Some(false) => Left::Unanswered,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
