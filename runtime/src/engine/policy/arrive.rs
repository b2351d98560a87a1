//! Causes that are no events: the answer to a command that a reaction sent, and a timer of an instance whose moment has come.

use amends_core::{
    Instant,
    event::{Answer, Answered, Sent},
    policy::InstanceEvent,
};

use super::{Policies, PolicyKey, handling::Standing, record, rows};
use crate::{
    engine::{
        kernel::{
            commit::{Chain, Commit},
            reads::{Reads, Unready},
            timers::Timer,
        },
        messages::Message,
    },
    journal::{Record, TimerKind, record as journal_record},
};

impl Policies {
    /// The answer to a command of a reaction came.
    pub(crate) fn answered(
        &mut self,
        mut reads: Reads<'_>,
        message: &Message,
        (sent, record): (Sent, &Record),
        answer: &Answer,
    ) -> Result<(), Unready> {
        let Some((key, of)) = PolicyKey::of_instance(&message.of) else { return Ok(()) };
        let Some(handling) = self.handlings.get(&key) else { return Ok(()) };
        // Of an earlier life of the policy nobody waits for it.
        if message.position <= handling.stands.replay_to {
            message.forget(&mut reads.done()?);
            return Ok(());
        }
        // Without code it waits for the code to come.
        let wants = handling.code.as_ref().is_none_or(|code| code.definition.answers);
        let refused = match answer {
            Answer::Refused(failure) => Some(failure),
            Answer::Accepted { .. } => None,
        };
        if !wants && refused.is_none() {
            message.forget(&mut reads.done()?);
            return Ok(());
        }
        let standing = self.standing(&mut reads, &key, of)?;
        let commit = &mut reads.done()?;
        if let Some(failure) = refused.filter(|_| !wants) {
            let (code, why) = (&failure.code, &failure.message);
            let command = format!("{}/{}/{}", sent.aggregate, sent.to, sent.name);
            commit.metrics.dead_letter();
            tracing::warn!(
                policy = key.name,
                key = of,
                command,
                code,
                why,
                "a command of a policy was refused, and the policy takes no answers"
            );
        }
        let Sent { number, aggregate, to: from, name, .. } = sent;
        let answered = Box::new(Answered { number, aggregate, from, answer: answer.clone() });
        let event = InstanceEvent::Answered { command: message.numbered(number), name, answered };
        // It comes after the command's own records, which are a stream away.
        let chain = Chain { correlation: Some(message.correlation()), depth: record.depth.saturating_add(2), cause: None };
        commit.lazily(|commit| {
            message.forget(commit);
            self.arrived(commit, &key, of, standing, (chain, event), wants);
        });
        Ok(())
    }

    /// A timer of the instance that begins at a position is due.
    pub(crate) fn due(&mut self, mut reads: Reads<'_>, timer: Timer) -> Result<(), Unready> {
        let stored = reads.record(timer.start)?;
        let head = stored.map(|stored| journal_record::decode_stored(&stored)).transpose()?.and_then(|record| record.head);
        let Some(head) = head else { return Err(Unready::Corrupt(format!("no instance begins at {}", timer.start))) };
        let Some((key, of)) = PolicyKey::of_instance(&head.stream) else { return Ok(()) };
        let standing = self.standing(&mut reads, &key, of)?;
        let commit = &mut reads.done()?;
        commit.clear_timer(timer);
        let Some(fired) = standing.instance.due_timer(commit.now).cloned() else { return Ok(()) };
        let chain = Chain { correlation: Some(fired.root.clone()), depth: fired.depth, cause: None };
        let event = InstanceEvent::TimerFired(fired);
        let after = self.arrived(commit, &key, of, standing, (chain, event), true);
        commit.timer(TimerKind::Instance, timer.start, None, after);
        Ok(())
    }

    /// The time of an event is over that is kept for its instance.
    pub(crate) fn expire(&mut self, mut reads: Reads<'_>, timer: Timer) -> Result<(), Unready> {
        let Some((key, of, position)) = rows::kept(&mut reads, timer)? else { return Ok(()) };
        let row = rows::parked_at(&mut reads, &key, &of, position)?;
        let commit = &mut reads.done()?;
        commit.clear_timer(timer);
        let Some(handling) = self.handlings.get_mut(&key) else { return Ok(()) };
        // It may have been tried again since, and is kept for longer then.
        let is_kept = |row: &rows::ParkedRow| {
            row.waits == rows::Waits::Instance(timer.due) && row.incarnation == handling.stands.incarnation
        };
        // Where its instance has begun, it is being taken.
        if let Some(row) = row.filter(is_kept).filter(|_| handling.kept.of(&of) > 0) {
            handling.expire(commit, &key, &of, position, row);
        }
        Ok(())
    }

    /// How an instance stands, from memory or from its row.
    fn standing(&self, reads: &mut Reads<'_>, key: &PolicyKey, of: &str) -> Result<Standing, Unready> {
        match self.known(key, of) {
            Some(known) => Ok(known.clone()),
            None => rows::instance(reads, key, of, self.incarnation(key)),
        }
    }

    fn incarnation(&self, key: &PolicyKey) -> u32 {
        self.handlings.get(key).map_or(0, |handling| handling.stands.incarnation)
    }

    fn known(&self, key: &PolicyKey, of: &str) -> Option<&Standing> {
        self.handlings.get(key)?.lines.get(of)?.instance.as_ref()
    }

    /// Records what is no event, and has the policy read on if it is a cause. Gives the moment of the instance's next timer.
    fn arrived(
        &mut self,
        commit: &mut Commit<'_>,
        key: &PolicyKey,
        of: &str,
        mut standing: Standing,
        (chain, event): (Chain, InstanceEvent),
        is_cause: bool,
    ) -> Option<Instant> {
        let position = record::append(commit, key.instance(of), &mut standing, chain, None, event);
        let incarnation = self.incarnation(key);
        rows::put_instance(commit, key, of, &standing, incarnation);
        let after = standing.instance.next_timer();
        if is_cause {
            rows::put_arrival(commit, key, of, position, incarnation);
        }
        if let Some(handling) = self.handlings.get_mut(key) {
            handling.has_more |= is_cause;
            if let Some(line) = handling.lines.get_mut(of) {
                line.instance = Some(standing);
            }
        }
        self.let_go_on(key);
        after
    }
}
