//! How a policy stands, and how its instances stand: the folds of their facts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cause, InstanceEvent, PolicyEvent, Reaction, State, Timer};
use crate::value::{Failure, Instant};

/// How a policy of a namespace stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyState {
    /// How many facts its stream has.
    pub facts: u64,
    /// Its module; empty before its first fact.
    pub module: String,
    /// The version of the module that it ran on last.
    pub module_version: u32,
    /// SHA-256 of its component.
    pub digest: [u8; 32],
    /// Which life it is, from 1.
    pub incarnation: u32,
    /// Where this life began: everything up to this position is not for it.
    pub from: u64,
    /// Events up to this position were there before it.
    pub replay_to: u64,
    /// An active version has it.
    pub is_installed: bool,
    /// An operator holds it.
    pub is_paused: bool,
    /// Why it does not go on by itself.
    pub stopped: Option<Stop>,
    /// The keys with which something waits for an operator.
    pub parked: BTreeMap<String, Parked>,
    /// The keys with which what waits is tried again.
    pub redriven: BTreeSet<String>,
    /// Causes with which the host died, each with how often since it was tried anew. The last ones only.
    pub died: BTreeMap<u64, u32>,
}

/// With so many deaths of the host a cause is not tried again by itself.
pub const DEATHS_MAX: u32 = 3;

/// Causes whose deaths are counted: a host that dies has fewer calls.
const DIED_MAX: usize = 256;

/// Why a policy does not go on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The position of the cause that it could not take, if it was one.
    pub at: Option<u64>,
    /// What stood against it.
    pub failure: Failure,
    /// Since when.
    pub since: Instant,
}

/// What waits with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The position of the cause that could not be taken.
    pub position: u64,
    /// Why.
    pub failure: Failure,
    /// Since when.
    pub since: Instant,
    /// How often the cause was tried.
    pub attempts: u32,
}

impl PolicyState {
    /// It takes causes.
    pub fn runs(&self) -> bool {
        self.is_installed && !self.is_paused && self.stopped.is_none()
    }

    /// The only code that changes it.
    pub fn apply(&mut self, fact: &PolicyEvent, at: Instant) {
        self.facts += 1;
        match fact {
            PolicyEvent::Installed { module, module_version, digest, incarnation, from, replay_to } => {
                (self.module, self.module_version, self.digest) = (module.clone(), *module_version, *digest);
                (self.incarnation, self.from, self.replay_to) = (*incarnation, *from, *replay_to);
                self.is_installed = true;
                // Other code may be what it stopped for.
                self.stopped = None;
            }
            PolicyEvent::Withdrawn => self.is_installed = false,
            PolicyEvent::Paused(_) => self.is_paused = true,
            PolicyEvent::Resumed(_) => (self.is_paused, self.stopped) = (false, None),
            PolicyEvent::Reset { incarnation, from, replay_to, .. } => {
                (self.incarnation, self.from, self.replay_to) = (*incarnation, *from, *replay_to);
                self.stopped = None;
                self.parked.clear();
                self.redriven.clear();
                self.died.clear();
            }
            PolicyEvent::Stopped { at: position, failure } => {
                // When it is resumed, the cause is tried anew.
                position.map(|position| self.died.remove(&position));
                self.stopped = Some(Stop { at: *position, failure: failure.clone(), since: at });
            }
            PolicyEvent::Parked { key, position, failure, attempts } => {
                let since = self.parked.get(key).map_or(at, |known| known.since);
                let (position, failure, attempts) = (*position, failure.clone(), *attempts);
                self.parked.insert(key.clone(), Parked { position, failure, since, attempts });
                self.redriven.remove(key);
                self.died.remove(&position);
            }
            PolicyEvent::Redriven { key, .. } => drop(self.redriven.insert(key.clone())),
            PolicyEvent::Dropped { .. } | PolicyEvent::Kept { .. } | PolicyEvent::Dead { .. } => {}
            PolicyEvent::Cleared { key } => {
                self.parked.remove(key);
                self.redriven.remove(key);
            }
            PolicyEvent::HostDied { position, .. } => {
                *self.died.entry(*position).or_default() += 1;
                if self.died.len() > DIED_MAX {
                    self.died.pop_first();
                }
            }
        }
    }
}

/// How an instance stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// How many facts its stream has.
    pub facts: u64,
    /// Its state, if it has begun and not ended.
    pub state: Option<State>,
    /// Timers that have not fired, each with a name of its own.
    pub timers: Vec<Timer>,
    /// Names of timers that have fired, and of which it was not told yet.
    pub fired: Vec<String>,
    /// When it ended last; none: it never did, or has begun again.
    pub ended_at: Option<Instant>,
}

impl Instance {
    /// It has begun and not ended.
    pub fn is_live(&self) -> bool {
        self.state.is_some()
    }

    /// The moment of its next timer.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.iter().map(|timer| timer.at).min()
    }

    /// The timer that is due first of those that are, and of these the one that was set first.
    pub fn due_timer(&self, now: Instant) -> Option<&Timer> {
        let due = self.timers.iter().filter(|timer| timer.at <= now);
        due.min_by_key(|timer| timer.at)
    }

    /// The only code that changes it.
    pub fn apply(&mut self, fact: &InstanceEvent, at: Instant) {
        self.facts += 1;
        match fact {
            InstanceEvent::Handled(reaction) => self.react(reaction, at),
            InstanceEvent::TimerFired(fired) => {
                self.timers.retain(|timer| timer.name != fired.name);
                self.fired.push(fired.name.clone());
            }
            InstanceEvent::Sent(_)
            | InstanceEvent::Published(_)
            | InstanceEvent::Started(_)
            | InstanceEvent::Answered { .. }
            | InstanceEvent::Late { .. } => {}
        }
    }

    fn react(&mut self, reaction: &Reaction, at: Instant) {
        let Reaction { cause, state, set, cleared, ends, .. } = reaction;
        if let Some(state) = state {
            self.state = Some(state.clone());
            self.ended_at = None;
        }
        let told = matches!(cause, Cause::Timer { .. }).then_some(cause);
        let is_over = |name: &String| cleared.contains(name) || set.iter().any(|new| new.name == *name);
        self.timers.retain(|timer| !is_over(&timer.name));
        self.fired.retain(|name| !is_over(name) && told != Some(&Cause::Timer { name: name.clone() }));
        for timer in set {
            // Of two with one name, the later one.
            self.timers.retain(|known| known.name != timer.name);
            self.timers.push(timer.clone());
        }
        if *ends {
            (self.state, self.ended_at) = (None, Some(at));
            self.timers.clear();
            self.fired.clear();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;
    use crate::value::Payload;

    fn timer(name: &str, at: u64) -> Timer {
        Timer { name: name.into(), at: Instant(at), data: None, root: "R1".into(), depth: 1 }
    }

    fn reaction(set: Vec<Timer>, cleared: &[&str], ends: bool) -> InstanceEvent {
        InstanceEvent::Handled(Box::new(Reaction {
            position: 7,
            cause: Cause::Timer { name: "t".into() },
            incarnation: 1,
            ids: [0; 16],
            module_version: 1,
            is_silent: false,
            state: Some(State { version: 1, data: Payload::json("{}") }),
            set,
            cleared: cleared.iter().map(|name| (*name).to_owned()).collect(),
            ends,
        }))
    }

    fn shown(instance: &Instance) -> String {
        let timers: Vec<String> = instance.timers.iter().map(|timer| format!("{}@{}", timer.name, timer.at.0)).collect();
        let (ended_at, fired) = (instance.ended_at.map(|at| at.0), instance.fired.join(" "));
        format!("{} {ended_at:?} [{}] fired [{fired}]", instance.is_live(), timers.join(" "))
    }

    #[test]
    fn a_timer_that_is_set_again_is_replaced_and_all_end_with_the_instance() {
        let mut instance = Instance::default();
        let mut lines = Vec::new();
        for fact in [
            reaction(vec![timer("grace", 60), timer("alarm", 30)], &[], false),
            reaction(vec![timer("grace", 90), timer("grace", 95)], &[], false),
            InstanceEvent::TimerFired(timer("alarm", 30)),
            reaction(vec![timer("other", 10)], &["grace"], false),
            reaction(vec![timer("alarm", 40)], &[], false),
            InstanceEvent::TimerFired(timer("alarm", 40)),
            reaction(Vec::new(), &[], true),
            reaction(vec![timer("grace", 200)], &[], false),
        ] {
            instance.apply(&fact, Instant(100));
            lines.push(shown(&instance));
        }
        let expected = "\
true None [grace@60 alarm@30] fired []
true None [alarm@30 grace@95] fired []
true None [grace@95] fired [alarm]
true None [other@10] fired [alarm]
true None [other@10 alarm@40] fired []
true None [other@10] fired [alarm]
false Some(100) [] fired []
true None [grace@200] fired []";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn of_timers_that_are_due_the_one_with_the_earliest_moment_is_first() {
        let mut instance = Instance::default();
        instance.apply(&reaction(vec![timer("b", 20), timer("a", 10), timer("c", 10)], &[], false), Instant(1));
        assert_eq!(instance.next_timer(), Some(Instant(10)));
        assert_eq!(instance.due_timer(Instant(9)), None);
        assert_eq!(instance.due_timer(Instant(30)).unwrap().name, "a");
    }

    #[test]
    fn other_code_lifts_a_stop_and_not_what_is_parked() {
        let mut handler = PolicyState::default();
        let installed = |incarnation| PolicyEvent::Installed {
            module: "rules".into(),
            module_version: 1,
            digest: [1; 32],
            incarnation,
            from: 5,
            replay_to: 5,
        };
        let failure = Failure::new("bad_data", "no total");
        let parked = PolicyEvent::Parked { key: "A".into(), position: 9, failure: failure.clone(), attempts: 5 };
        for fact in [installed(1), parked, PolicyEvent::Stopped { at: Some(9), failure }] {
            handler.apply(&fact, Instant(1));
        }
        assert!(!handler.runs() && handler.parked.contains_key("A"));
        handler.apply(&installed(1), Instant(2));
        assert!(handler.runs() && handler.parked.contains_key("A"));
        handler.apply(&PolicyEvent::Withdrawn, Instant(3));
        assert!(!handler.runs());
        handler.apply(&PolicyEvent::Reset { incarnation: 2, from: 0, replay_to: 20, act: Default::default() }, Instant(4));
        assert!(handler.parked.is_empty() && handler.incarnation == 2);
    }
}
