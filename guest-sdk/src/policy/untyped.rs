//! A policy without its types: what the exports and the test kit call. Payloads in and out.

use super::{Memory, Policy, Reaction, Taken};
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::host;
use crate::recorded::{self, Raw};
use crate::stop::Failure;

/// A policy without its types.
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "the rules of the test kit ask for more"))]
pub(crate) trait Untyped {
    fn name(&self) -> &str;
    fn definition(&self) -> wit::Definition;
    fn handle(&self, call: &wit::Call) -> Result<wit::Reaction, Failure>;
    /// What its author has said that cannot be.
    fn problems(&self) -> &[String];
    /// The names of the timers that it takes.
    fn timers(&self) -> Vec<&str>;
}

impl<M: Memory> Untyped for Policy<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn definition(&self) -> wit::Definition {
        wit::Definition {
            name: self.name.to_string(),
            subscriptions: self.subscriptions.iter().map(|subscription| subscription.spec.clone()).collect(),
            state: self.forms.as_ref().map(|forms| forms.spec()),
            on_poison: self.on_poison,
            attempts_max: self.attempts_max,
            start: self.start,
            replay: self.replay,
            answers: self.on_answer.is_some(),
            sends: self.sends.clone(),
            publishes: self.publishes.clone(),
            starts: self.starts.clone(),
        }
    }

    fn handle(&self, call: &wit::Call) -> Result<wit::Reaction, Failure> {
        let (kept, mut reaction) = (call.state.as_ref(), Reaction::new(&call.key, call.is_replay));
        let mut state = match &self.forms {
            Some(forms) => forms.load(kept)?,
            None => M::State::default(),
        };
        let taken = self.take(&mut state, call, &mut reaction)?;
        let mut wanted = reaction.into_wit(self.forms.is_some(), |name| self.timer(name).is_some())?;
        if let (Some(forms), Taken::Whole) = (&self.forms, taken) {
            wanted.state = forms.changed(kept, &state)?;
        }
        Ok(wanted)
    }

    fn problems(&self) -> &[String] {
        &self.problems
    }

    fn timers(&self) -> Vec<&str> {
        self.on_timers.iter().map(|timer| timer.name.as_str()).collect()
    }
}

impl<M: Memory> Policy<M> {
    fn take(&self, state: &mut M::State, call: &wit::Call, reaction: &mut Reaction) -> Result<Taken, Failure> {
        let has_instance = self.forms.is_none() || call.state.is_some();
        match &call.cause {
            wit::Cause::Event(event) => host::handling(event.into(), || self.take_event(state, event, reaction)),
            // The state of an instance that has ended is gone; a new one is not made of an answer or a timer.
            wit::Cause::Timer(_) | wit::Cause::Answer(_) if !has_instance => Ok(Taken::Late),
            wit::Cause::Timer(timer) => {
                let take = self.timer(&timer.name);
                let take =
                    take.ok_or_else(|| Failure::new("no_such_timer", format_args!("no `on_timer` takes {}", timer.name)))?;
                take(state, timer, reaction).map(|()| Taken::Whole)
            }
            wit::Cause::Answer(answer) => match &self.on_answer {
                Some(take) => take(state, answer, reaction).map(|()| Taken::Whole),
                None => Err(Failure::new("no_on_answer", format_args!("no `on_answer` takes the one to {}", answer.name))),
            },
        }
    }

    fn take_event(&self, state: &mut M::State, event: &Raw, reaction: &mut Reaction) -> Result<Taken, Failure> {
        let subscription = self.subscriptions.iter().find(|known| known.spec.event_type == event.event_type);
        let subscription =
            subscription.ok_or_else(|| recorded::unreadable(event, &format!("{} does not take its type", self.name)))?;
        match ((subscription.take)(state, event, reaction)?, &self.on_erased) {
            (Taken::Erased, Some(take)) => take(state, event, reaction).map(|()| Taken::Whole),
            (taken, _) => Ok(taken),
        }
    }

    fn timer(&self, name: &str) -> Option<&super::Taking<M::State, wit::Timer>> {
        let is_it = |known: &str| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.on_timers.iter().find(|known| is_it(&known.name)).map(|known| &*known.take)
    }
}
