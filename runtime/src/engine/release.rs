//! What waits for a commit before it may leave (law 2).

use std::collections::VecDeque;

use amends_core::event::Intent;

use crate::{
    engine::{
        metrics::Counts,
        port::{Answer, JobAnswer, ModuleAnswer, ModuleView, Offered, PublishAnswer, Refusal, SagaAnswer, VerbAnswer},
        resident::SagaKey,
    },
    store::Position,
};

/// Something that may leave once its cause is durable.
#[derive(Debug)]
pub(crate) enum Release {
    /// An attempt that can reach outside.
    Run(SagaKey, Intent),
    /// A change that watchers may see: the saga and its revision.
    Changed(SagaKey, u64),
    /// Sagas that metrics may count.
    Counts(Counts),
    Saga(Answer<SagaAnswer>, Result<SagaAnswer, Refusal>),
    Verb(Answer<VerbAnswer>, Result<VerbAnswer, Refusal>),
    Publish(Answer<PublishAnswer>, Result<PublishAnswer, Refusal>),
    Module(Answer<ModuleAnswer>, Result<ModuleAnswer, Refusal>),
    Job(Answer<JobAnswer>, Result<JobAnswer, Refusal>),
    Modules(Answer<Vec<ModuleView>>, Vec<ModuleView>),
    Definitions(Answer<Vec<Offered>>, Vec<Offered>),
}

impl Release {
    /// Answers the client. One that has gone does not mind. Only the shard's `let_go` may: what is said must be durable.
    pub(super) fn answer(self) {
        match self {
            Self::Saga(answer, said) => drop(answer.send(said)),
            Self::Verb(answer, said) => drop(answer.send(said)),
            Self::Publish(answer, said) => drop(answer.send(said)),
            Self::Module(answer, said) => drop(answer.send(said)),
            Self::Job(answer, said) => drop(answer.send(said)),
            Self::Modules(answer, said) => drop(answer.send(Ok(said))),
            Self::Definitions(answer, said) => drop(answer.send(Ok(said))),
            Self::Run(..) | Self::Changed(..) | Self::Counts(_) => {}
        }
    }

    /// Answers the client that nothing can be said. Attempts and deletions that it held back never happen.
    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Saga(answer, _) => drop(answer.send(Err(refusal))),
            Self::Verb(answer, _) => drop(answer.send(Err(refusal))),
            Self::Publish(answer, _) => drop(answer.send(Err(refusal))),
            Self::Module(answer, _) => drop(answer.send(Err(refusal))),
            Self::Job(answer, _) => drop(answer.send(Err(refusal))),
            Self::Modules(answer, _) => drop(answer.send(Err(refusal))),
            Self::Definitions(answer, _) => drop(answer.send(Err(refusal))),
            Self::Run(..) | Self::Changed(..) | Self::Counts(_) => {}
        }
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
        match self.0.front() {
            Some((position, _)) if *position <= durable => self.0.pop_front().map(|(_, release)| release),
            _ => None,
        }
    }

    /// The storage failed: everyone who waits is told so, and nothing else leaves.
    pub(crate) fn refuse_all(&mut self, refusal: &Refusal) {
        for (_, release) in self.0.drain(..) {
            release.refuse(refusal.clone());
        }
    }
}
