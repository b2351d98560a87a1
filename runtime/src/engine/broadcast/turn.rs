//! A turn of a broadcast: the next sagas that it is for, in one commit with how far it is.

use amends_core::Input;

use super::{Broadcast, Broadcasts, Waiter, What};
use crate::{
    engine::{
        event::request::PublishAnswer,
        kernel::{
            commit::Commit,
            reads::{Reads, Unready},
            release::{Release, Reply},
        },
        module::Modules,
        refusal::{Refusal, RefusalCode},
        saga::{
            Sagas,
            rows::{self, Recipients},
        },
    },
    journal::keys,
    store::{Position, Table},
};

impl Broadcasts {
    /// The turn of the next one.
    pub(crate) fn turn(&mut self, mut reads: Reads<'_>, sagas: &mut Sagas, modules: &mut Modules) -> Result<(), Unready> {
        let Some((start, mut broadcast)) = self.whose_turn(&reads) else { return Ok(()) };
        let Recipients { keys, more_after } = next_sagas(&mut reads, &broadcast, start)?;
        let event = match &broadcast.what {
            What::Event(delivery) => Some(delivery.event(&mut reads)?),
            What::Grants(_) | What::Code => None,
        };
        let keys = sagas.all_ready(&mut reads, modules.definitions(), keys)?;
        let mut commit = reads.done()?;
        match (&mut broadcast.what, event) {
            (What::Event(delivery), Some(event)) => delivery.tell(&mut commit, sagas, modules, &event, keys),
            (What::Event(_), None) => {}
            (What::Code, _) => keys.iter().for_each(|key| sagas.tell_of_code(&mut commit, modules, key)),
            (What::Grants(_), _) => keys.iter().for_each(|key| sagas.tell(&mut commit, modules, key, Input::GrantsChanged)),
        }
        (self.last, self.last_turn) = (start, commit.now);
        match more_after {
            Some(through) => {
                let position = commit.last_position();
                self.go_on(&mut commit, start, Broadcast { through, position, ..broadcast });
            }
            None => self.end(&mut commit, start, broadcast),
        }
        Ok(())
    }

    fn whose_turn(&self, reads: &Reads<'_>) -> Option<(Position, Broadcast)> {
        let start = self.next(reads.durable())?;
        Some((start, self.under_way.get(&start)?.clone()))
    }

    /// Everybody was told.
    fn end(&mut self, commit: &mut Commit<'_>, start: Position, broadcast: Broadcast) {
        self.forget(commit, start);
        if let What::Event(delivery) = broadcast.what {
            let answer = delivery.end(commit, &broadcast.namespace);
            self.answer(commit, start, &Ok(answer));
        }
    }

    /// What a broadcast rests on cannot be read: it ends there, and the others can go on.
    pub(crate) fn give_up(&mut self, commit: &mut Commit<'_>, why: &str) {
        let Some(start) = self.next(commit.durable()) else { return };
        tracing::error!(start, why, "what many sagas were to be told cannot be read: those that are left are not told");
        self.forget(commit, start);
        let said = format!("what many sagas were to be told cannot be read: {why}");
        self.answer(commit, start, &Err(Refusal::new(RefusalCode::StorageFailed, said)));
    }

    fn forget(&mut self, commit: &mut Commit<'_>, start: Position) {
        self.under_way.remove(&start);
        commit.delete(Table::Broadcasts, keys::broadcast(start));
    }

    fn answer(&mut self, commit: &mut Commit<'_>, start: Position, said: &Result<PublishAnswer, Refusal>) {
        for Waiter { duplicate, answer, .. } in self.waiters.extract_if(.., |waiter| waiter.start == start) {
            let said = said.clone().map(|said| PublishAnswer { duplicate, ..said });
            commit.release_at(commit.last_position(), Release::Reply(Reply::new(answer, said)));
        }
    }
}

/// The next sagas that a broadcast is for: those that had begun before it.
fn next_sagas(reads: &mut Reads<'_>, broadcast: &Broadcast, start: Position) -> Result<Recipients, Unready> {
    let Broadcast { namespace, what, through, .. } = broadcast;
    match what {
        What::Event(delivery) => rows::waiting_for(reads, namespace, delivery.topic(), (*through, start)),
        What::Grants(module) => rows::denied(reads, namespace, module, (*through, start)),
        What::Code => rows::undecided(reads, namespace, (*through, start)),
    }
}
