//! What waits for a commit before it may leave (law 2).

use std::{collections::VecDeque, fmt};

use super::request::Answer;
use crate::{
    engine::{metrics::Metrics, refusal::Refusal},
    journal::StreamId,
    store::Position,
};

/// Something that may leave once its cause is durable.
pub(crate) enum Release {
    /// An answer to a client.
    Reply(Reply),
    /// A change that watchers may see: the stream and its revision.
    Changed(StreamId, u64),
    /// Something that a metric may count.
    Count(Box<dyn FnOnce(&Metrics) + Send>),
    /// What this stream held back under this number may go on.
    Durable(StreamId, u64),
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply(_) => "Reply",
            Self::Changed(..) => "Changed",
            Self::Count(_) => "Count",
            Self::Durable(..) => "Durable",
        })
    }
}

/// An answer that knows to whom it goes. A client that has gone does not mind.
pub(crate) struct Reply(Box<dyn FnOnce(Result<(), Refusal>) + Send>);

impl Reply {
    /// What is said to a client.
    pub(crate) fn new<T: Send + 'static>(answer: Answer<T>, said: Result<T, Refusal>) -> Self {
        Self(Box::new(move |stored: Result<(), Refusal>| drop(answer.send(stored.and(said)))))
    }

    /// What is said is durable.
    pub(crate) fn send(self) {
        (self.0)(Ok(()));
    }

    /// Nothing can be said: it is not known what is durable.
    pub(crate) fn refuse(self, refusal: Refusal) {
        (self.0)(Err(refusal));
    }
}

/// Releases in the order of the positions that they wait for.
#[derive(Debug, Default)]
pub(crate) struct Releases(VecDeque<(Position, Release)>);

impl Releases {
    /// Positions mostly come in order; one that does not finds its place from the back.
    pub(crate) fn push(&mut self, position: Position, release: Release) {
        let at = self.0.iter().rposition(|(before, _)| *before <= position).map_or(0, |before| before + 1);
        self.0.insert(at, (position, release));
    }

    /// The next release whose position is durable.
    pub(crate) fn pop(&mut self, durable: Position) -> Option<Release> {
        self.0.pop_front_if(|(position, _)| *position <= durable).map(|(_, release)| release)
    }

    /// The storage failed: everyone who waits is told so, and nothing else leaves.
    pub(crate) fn refuse_all(&mut self, refusal: &Refusal) {
        for (_, release) in self.0.drain(..) {
            match release {
                Release::Reply(reply) => reply.refuse(refusal.clone()),
                Release::Changed(..) | Release::Count(_) | Release::Durable(..) => {}
            }
        }
    }
}
