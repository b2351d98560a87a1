//! Clients that wait for the end of a saga.

use std::collections::HashMap;

use super::{SagaKey, request::SagaAnswer};
use crate::engine::kernel::request::Answer;

/// Where the answer of a client that waits goes.
pub(crate) type SagaReply = Answer<SagaAnswer>;

/// Where an answer goes, with whether the client's own request made the saga.
type Waiter = (SagaReply, bool);

/// Clients that wait, by saga. Those that gave up leave in time: there are never many more than wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_saga: HashMap<SagaKey, Vec<Waiter>>,
    /// Clients since the last look for those that gave up, and how many that look left.
    since: usize,
    left: usize,
}

/// Fewer clients than this are not worth a look.
const WORTH_A_LOOK: usize = 1_024;

impl Waiters {
    /// A client waits from now on.
    pub(crate) fn push(&mut self, key: SagaKey, answer: SagaReply, created: bool) {
        self.by_saga.entry(key).or_default().push((answer, created));
        self.since += 1;
        if self.since > self.left.max(WORTH_A_LOOK) {
            self.forget_those_that_gave_up();
        }
    }

    /// The clients of a saga that has ended or is stuck.
    pub(crate) fn take(&mut self, key: &SagaKey) -> Vec<Waiter> {
        self.by_saga.remove(key).unwrap_or_default()
    }

    /// Every client, when nobody will be told how a saga ends.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = SagaReply> {
        std::mem::take(&mut self.by_saga).into_values().flatten().map(|(answer, _)| answer)
    }

    /// A client that gave up has closed its end; it does not say so to the shard.
    fn forget_those_that_gave_up(&mut self) {
        self.by_saga.retain(|_, waiters| {
            waiters.retain(|(answer, _)| !answer.is_closed());
            !waiters.is_empty()
        });
        self.left = self.by_saga.values().map(Vec::len).sum();
        self.since = 0;
    }
}

#[cfg(test)]
mod tests {
    use amends_core::id::{Namespace, SagaId};
    use tokio::sync::oneshot;

    use super::*;

    /// A saga that waits for days was asked about by clients that gave up after seconds: each left its channel behind until the
    /// saga ended, since only another client of the same saga looked.
    #[test]
    fn clients_that_gave_up_are_forgotten_while_their_sagas_wait() {
        let mut waiters = Waiters::default();
        let key =
            |n: usize| SagaKey { namespace: Namespace::new("default").unwrap(), id: SagaId::new(&format!("S{n}")).unwrap() };
        let (answer, _waits) = oneshot::channel();
        waiters.push(key(0), answer, true);
        for n in 1..10_000 {
            let (answer, gave_up) = oneshot::channel();
            drop(gave_up);
            waiters.push(key(n), answer, true);
        }
        assert!(waiters.by_saga.len() <= 2 * WORTH_A_LOOK, "{}", waiters.by_saga.len());
        assert_eq!(waiters.take(&key(0)).len(), 1);
    }
}
