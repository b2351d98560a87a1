//! What comes of a call: a reaction that is recorded, or another try, or a cause that waits for an operator.

use amends_core::{
    policy::{Definition, OnPoison, TIMERS_BYTES_MAX, TIMERS_MAX},
    value::Failure,
};

use super::{
    Policies, PolicyKey,
    cause::Flaw,
    handling::{Called, Standing},
    record, rows,
};
use crate::engine::{
    guests::{GuestReport, Wishes},
    kernel::commit::Commit,
};

/// The wait after the first try, in milliseconds; it doubles with each further one.
const FIRST_REST_MS: u64 = 200;

/// And does not get longer than this.
const REST_MS_MAX: u64 = 60_000;

impl Policies {
    /// A call for the first cause of a line has ended.
    pub(crate) fn reported(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, report: GuestReport) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let Some(line) = handling.lines.get_mut(of) else { return };
        let Some(called) = line.called.take() else { return };
        handling.calls -= 1;
        self.calls -= 1;
        // What is of another life of the policy counts for nothing: it reads anew.
        if called.incarnation == handling.stands.incarnation {
            let said = match report {
                GuestReport::Handled(said) => said,
                // The others go to whoever asked for them.
                GuestReport::Step(_)
                | GuestReport::Decided(_)
                | GuestReport::Folded(_)
                | GuestReport::Projected(_)
                | GuestReport::Queried(_) => return,
            };
            match said.map(|wishes| allowed(&called.code.definition, line.instance.as_ref(), wishes)) {
                Ok(Ok(wishes)) => self.took(commit, key, of, &called, wishes),
                Ok(Err(failure)) => self.failed(commit, key, of, failure),
                Err(fault) if fault.is_hosts => self.delay(commit, key, of),
                Err(fault) => self.failed(commit, key, of, fault.failure),
            }
        }
        if let Some(handling) = self.handlings.get_mut(key) {
            handling.forget_if_idle(of);
        }
        self.let_go_on(key);
    }

    /// The cause is taken: what comes of it is recorded, and the next one of the line may go.
    fn took(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, called: &Called, wishes: Wishes) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let Some(line) = handling.lines.get_mut(of) else { return };
        let (Some(cause), Some(mut standing)) = (line.causes.pop_front(), line.instance.take()) else { return };
        (line.attempts, line.delays) = (0, 0);
        let begins = !standing.instance.is_live() && wishes.state.is_some();
        let sent = &mut self.sent;
        commit.metrics.handled(&key.name, "handled");
        // Nobody waits for it.
        commit.lazily(|commit| {
            let standing = &mut standing;
            record::Reacting { commit: &mut *commit, key, of, cause: &cause, called, standing, sent }.record(wishes);
            handling.done(commit, key, of, &cause);
            // What came before the instance was there comes before what has come since.
            if begins && handling.kept.of(of) > 0 {
                handling.drain(commit, key, of);
            }
        });
        handling.stands_so(of, standing);
    }

    /// The first cause of a line comes too late.
    pub(super) fn late(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let Some(line) = handling.lines.get_mut(of) else { return };
        let (Some(cause), Some(mut standing)) = (line.causes.pop_front(), line.instance.take()) else { return };
        commit.metrics.handled(&key.name, "late");
        let incarnation = handling.stands.incarnation;
        commit.lazily(|commit| {
            record::late(commit, key, of, &cause, &mut standing);
            rows::put_instance(commit, key, of, &standing, incarnation);
            handling.done(commit, key, of, &cause);
        });
        handling.stands_so(of, standing);
    }

    /// The cause could not be taken this time.
    fn failed(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, failure: Failure) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let attempts_max = handling.code.as_ref().map_or(1, |code| code.definition.attempts_max);
        // It was that of a code, or before a stop, which is over: the cause is read again.
        if handling.is_stale {
            return;
        }
        let Some(line) = handling.lines.get_mut(of) else { return };
        line.attempts += 1;
        commit.metrics.handled(&key.name, "failed");
        if line.attempts >= attempts_max {
            self.cannot_take(commit, key, of, failure);
            return;
        }
        let attempts = line.attempts;
        let (code, why) = (&failure.code, &failure.message);
        tracing::debug!(policy = key.name, key = of, attempts, code, why, "a policy cannot take a cause: it is tried again");
        self.rest(commit, key, of, attempts);
    }

    /// The host could not make the call, which says nothing of the cause.
    fn delay(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str) {
        let Some(line) = self.handlings.get_mut(key).and_then(|handling| handling.lines.get_mut(of)) else { return };
        line.delays += 1;
        let delays = line.delays;
        self.rest(commit, key, of, delays);
    }

    fn rest(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, times: u32) {
        let rest_ms = FIRST_REST_MS.saturating_mul(1 << times.saturating_sub(1).min(16)).min(REST_MS_MAX);
        let until = commit.now.plus(rest_ms);
        if let Some(line) = self.handlings.get_mut(key).and_then(|handling| handling.lines.get_mut(of)) {
            line.rests_until = Some(until);
            self.resting.insert((until, key.clone(), of.to_owned()));
        }
    }

    /// What a policy needs cannot be read.
    pub(crate) fn unreadable(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, why: String) {
        if let Some(handling) = self.handlings.get_mut(key) {
            handling.stop(commit, key, None, Failure::new("unreadable", format!("the journal cannot be read: {why}")));
        }
    }

    /// Nobody can take the first cause of a line.
    pub(super) fn is_flawed(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, flaw: Flaw) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let stops = handling.code.as_ref().is_some_and(|code| code.definition.on_poison == OnPoison::Stop);
        match flaw.has_key || stops {
            true => self.cannot_take(commit, key, of, flaw.failure),
            false => handling.set_aside(commit, key, of, flaw.failure),
        }
    }

    /// The first cause of a line waits for an operator, or the policy stops at it.
    pub(super) fn cannot_take(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, failure: Failure) {
        let Some(handling) = self.handlings.get_mut(key) else { return };
        let on_poison = handling.code.as_ref().map_or(OnPoison::Park, |code| code.definition.on_poison);
        let position = handling.lines.get(of).and_then(|line| line.causes.front()).map(|cause| cause.position);
        match on_poison {
            OnPoison::Park => handling.park(commit, key, of, failure),
            OnPoison::Stop => handling.stop(commit, key, position, failure),
        }
    }
}

/// What a policy wants, if it is what its definition declares.
fn allowed(definition: &Definition, standing: Option<&Standing>, wishes: Wishes) -> Result<Wishes, Failure> {
    let undeclared = |what: String| Err(Failure::new("bad_output", format!("it {what}, which its definition does not declare")));
    if let Some(sent) = wishes.commands.iter().find(|sent| !definition.may_send(&sent.aggregate, &sent.name)) {
        return undeclared(format!("sends `{}.{}`", sent.aggregate, sent.name));
    }
    if let Some(event) = wishes.events.iter().find(|event| !definition.publishes.contains(&event.topic.event_type)) {
        return undeclared(format!("publishes `{}`", event.topic.event_type.escape_debug()));
    }
    if let Some(start) = wishes.starts.iter().find(|start| !definition.starts.contains(&start.saga)) {
        return undeclared(format!("starts a saga `{}`", start.saga.escape_debug()));
    }
    let keeps = definition.state.is_some();
    if !keeps && (wishes.state.is_some() || wishes.ends) {
        return undeclared("keeps a state".to_owned());
    }
    let is_live = standing.is_some_and(|standing| standing.instance.is_live());
    if !(wishes.set.is_empty() || (keeps && (is_live || wishes.state.is_some()))) {
        return Err(Failure::new("bad_output", "it sets a timer where no instance is, which could not take it"));
    }
    if standing.is_some_and(|standing| record::has_too_many(standing, &wishes)) {
        let said = format!(
            "its instance would have more than {TIMERS_MAX} timers, or with their data more than {TIMERS_BYTES_MAX} bytes"
        );
        return Err(Failure::new("bad_output", said));
    }
    Ok(wishes)
}
