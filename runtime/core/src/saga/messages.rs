//! Commands and events that code of steps sends: they leave with the outcome of their attempt, or not at all.
//!
//! A command is sent again after a kill under the same id, which is made of its leg's key and its number there. Its answer is recorded
//! whether the leg waits for it or not; a leg that begins to wait later finds it.

use super::{
    handle::Turn,
    run::{CommandRun, LegRun, LegState, StepRun},
    state::Saga,
};
use crate::{
    event::{Answer, Answered, Attempt, Charge, Event, Published, Sent, Wait, Woken},
    id::{Direction, Leg},
    outcome::Message,
    value::Instant,
};

impl Turn<'_> {
    /// What an attempt sends with its outcome. A check only asks.
    pub(super) fn send(&mut self, attempt: &Attempt, messages: Vec<Message>) {
        for message in messages.into_iter().filter(|_| attempt.leg.direction != Direction::Check) {
            self.emit(match message {
                Message::Command(sent) => Event::Sent(attempt.clone(), Box::new(sent)),
                Message::Event(published) => Event::Published(attempt.clone(), Box::new(published)),
            });
        }
    }

    /// An answer came. What was sent by a leg that is over concerns nobody any more.
    pub(super) fn answered(&mut self, leg: Leg, answered: Answered) {
        if !self.saga.is_ended() && self.saga.awaits(&leg, answered.number) {
            self.emit(Event::Answered(leg, Box::new(answered)));
        }
    }

    /// The command whose answer a wait is for was sent by an earlier attempt, or is by this one.
    pub(super) fn will_be_answered(&self, attempt: &Attempt, wait: &Wait, messages: &[Message]) -> bool {
        let Some(number) = wait.answer else { return true };
        let is_sent_now = |message: &Message| matches!(message, Message::Command(sent) if sent.number == number);
        self.saga.can_be_answered(&attempt.leg, wait).is_ok() || messages.iter().any(is_sent_now)
    }
}

impl Saga {
    /// A command of a leg has no answer yet.
    fn awaits(&self, leg: &Leg, number: u32) -> bool {
        let run = self.run(&leg.path).filter(|run| run.has_in_hand(leg));
        let command = run.and_then(|run| run.leg(leg.direction).commands.get(number as usize));
        command.is_some_and(|command| command.answer.is_none())
    }

    pub(super) fn fold_sent(&mut self, attempt: &Attempt, sent: &Sent) -> Result<(), String> {
        let leg = self.sending(attempt)?;
        if leg.commands.len() != sent.number as usize {
            return Err(format!("command {} of {} is out of order", sent.number, attempt.leg));
        }
        leg.commands.push(CommandRun {
            to: (sent.aggregate.clone(), sent.to.clone()),
            name: sent.name.clone(),
            answer: None,
            is_told: false,
            stands: true,
        });
        // Whatever else comes of the attempt, the command will be decided.
        leg.doubtful += 1;
        Ok(())
    }

    pub(super) fn fold_published(&mut self, attempt: &Attempt, published: &Published) -> Result<(), String> {
        let leg = self.sending(attempt)?;
        if leg.published != published.number {
            return Err(format!("event {} of {} is out of order", published.number, attempt.leg));
        }
        leg.published += 1;
        leg.doubtful += 1;
        Ok(())
    }

    /// The leg of an open attempt that may send.
    fn sending(&mut self, attempt: &Attempt) -> Result<&mut LegRun, String> {
        if self.open(attempt).is_none() || attempt.leg.direction == Direction::Check {
            return Err(format!("attempt {} of {} cannot send anything now", attempt.number, attempt.leg));
        }
        self.named(&attempt.leg)
    }

    pub(super) fn fold_answered(&mut self, leg: &Leg, answered: &Answered, at: Instant) -> Result<(), String> {
        // A compensation that has begun goes on: it began because the command might have been decided.
        let is_being_undone = self.run(&leg.path).is_some_and(|run| run.rollback_cause.is_some());
        let used = self.named(leg)?;
        let command = used.commands.get_mut(answered.number as usize).filter(|command| command.answer.is_none());
        let command = command.ok_or_else(|| format!("{leg} has no command {} without an answer", answered.number))?;
        command.answer = Some(answered.answer.clone());
        if matches!(answered.answer, Answer::Refused(_)) && !is_being_undone {
            // It did not happen. What a check or an operator has said of the leg may have taken it into account before.
            used.doubtful = used.doubtful.saturating_sub(u32::from(std::mem::take(&mut command.stands)));
        }
        let waits = |wait: &Wait| wait.answer == Some(answered.number);
        if matches!(&used.state, LegState::Waiting { wait, .. } if waits(wait)) {
            command.is_told = true;
            self.waking(leg, waits, at)?.arrived = Some(Woken::Answer(answered.clone()));
        }
        Ok(())
    }

    /// What a leg waits for is the answer to a command that it has sent, if it is an answer, and it waits once for each: one that it had
    /// is there at once, and a guest that waits for it again and again would be called without end.
    pub(super) fn can_be_answered(&self, leg: &Leg, wait: &Wait) -> Result<(), String> {
        let Some(number) = wait.answer else { return Ok(()) };
        let command = |run: &StepRun| run.leg(leg.direction).commands.get(number as usize).map(|command| command.is_told);
        match self.run(&leg.path).and_then(command) {
            Some(false) => Ok(()),
            Some(true) => Err(format!("{leg} has had the answer to command {number}")),
            None => Err(format!("{leg} has sent no command {number}")),
        }
    }

    /// A leg that begins to wait for an answer that has come goes on at once.
    pub(super) fn find_answer(&mut self, leg: &Leg, at: Instant) {
        let Ok(used) = self.named(leg) else { return };
        let LegState::Waiting { wait: Wait { answer: Some(number), .. }, since } = used.state else { return };
        let Some(command) = used.commands.get_mut(number as usize) else { return };
        let CommandRun { to: (aggregate, from), answer: Some(answer), .. } = command.clone() else { return };
        command.is_told = true;
        used.waited_ms = used.waited_ms.saturating_add(at.since(since));
        used.state = LegState::Ready;
        used.arrived = Some(Woken::Answer(Answered { number, aggregate, from, answer }));
    }
}

impl LegRun {
    /// One attempt of a compensation is told that its command was refused. A compensation cannot be refused: if that attempt fails,
    /// the next one sends the command anew, as the next attempt of a command that is data does.
    pub(super) fn forget_refusal(&mut self, direction: Direction, charge: Charge) {
        let is_refusal = |woken: &Woken| matches!(woken, Woken::Answer(Answered { answer: Answer::Refused(_), .. }));
        if matches!(direction, Direction::Undo(_)) && charge == Charge::Leg && self.arrived.as_ref().is_some_and(is_refusal) {
            self.arrived = None;
        }
    }
}
