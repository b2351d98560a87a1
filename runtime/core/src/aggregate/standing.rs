//! How an aggregate stands, as far as its module's code is not needed to say it: the fold of the facts of its stream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AggregateEvent, Presence};

/// How an aggregate stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How many facts its stream has.
    pub facts: u64,
    /// How many events. It is there from the first one on.
    pub revision: u64,
    /// The component that could not fold its events.
    pub quarantined: Option<[u8; 32]>,
    /// The keys that it holds.
    pub claims: BTreeSet<String>,
}

/// What is done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is decided in this call.
    Now,
    /// It is decided in a later call: whether it may be decided at all depends on what comes of those before it.
    Later,
    /// It is refused.
    Refused(Misfit),
}

/// Why a command is refused without asking the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// There is one.
    Exists,
    /// There is none.
    Missing,
    /// It has another revision than whoever sent the command says.
    Revision {
        /// What was said.
        expected: u64,
        /// What it has.
        actual: u64,
    },
}

impl Standing {
    /// The only code that changes it.
    pub fn apply(&mut self, fact: &AggregateEvent) {
        self.facts += 1;
        match fact {
            AggregateEvent::Recorded { revision, .. } | AggregateEvent::Imported { revision, .. } => self.revision = *revision,
            AggregateEvent::Decided { .. } => {}
            AggregateEvent::Quarantined { digest, .. } => self.quarantined = Some(*digest),
        }
        for claim in fact.command().into_iter().flat_map(|command| &command.claims) {
            match claim.held {
                true => self.claims.insert(claim.key.clone()),
                false => self.claims.remove(&claim.key),
            };
        }
    }

    /// What is done with a command that has so many before it in the same call.
    pub fn admit(&self, on: Presence, expected: Option<u64>, before: usize) -> Admission {
        if let Some(expected) = expected {
            let actual = self.revision;
            match (before, actual == expected) {
                (0, true) => {}
                (0, false) => return Admission::Refused(Misfit::Revision { expected, actual }),
                (_, _) => return Admission::Later,
            }
        }
        match (on, self.revision, before) {
            (Presence::Any, ..) | (Presence::New, 0, 0) => Admission::Now,
            (Presence::Existing, 0, 0) => Admission::Refused(Misfit::Missing),
            // What is before it may record the first event.
            (Presence::New | Presence::Existing, 0, _) => Admission::Later,
            (Presence::New, ..) => Admission::Refused(Misfit::Exists),
            (Presence::Existing, ..) => Admission::Now,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;
    use crate::{
        aggregate::{Claim, Command},
        value::Payload,
    };

    fn at(revision: u64) -> Standing {
        Standing { revision, ..Standing::default() }
    }

    fn command(claims: &[(&str, bool)]) -> Box<Command> {
        let claims = claims.iter().map(|(key, held)| Claim { key: (*key).into(), held: *held }).collect();
        Box::new(Command { id: "R1".into(), name: "open".into(), data: Payload::null(), answer: None, claims, sender: None })
    }

    fn recorded(revision: u64, command: Option<Box<Command>>) -> AggregateEvent {
        AggregateEvent::Recorded {
            revision,
            event_type: "customer.opened".into(),
            version: 1,
            data: Some(Payload::null()),
            tags: Vec::new(),
            subject: None,
            module_version: 1,
            command,
        }
    }

    #[test]
    fn a_decision_without_events_is_a_fact_and_no_revision() {
        let mut standing = Standing::default();
        let refused = AggregateEvent::Decided { command: command(&[]), refused: None, module_version: 1 };
        for fact in [recorded(1, Some(command(&[("a", true), ("b", true)]))), recorded(2, None), refused] {
            standing.apply(&fact);
        }
        assert_eq!((standing.facts, standing.revision), (3, 2));
        assert_eq!(standing.claims.iter().collect::<Vec<_>>(), ["a", "b"]);
        standing.apply(&recorded(3, Some(command(&[("a", false), ("c", false), ("b", true)]))));
        assert_eq!(standing.claims.iter().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn xr_12_xr_13_whether_there_must_be_one_is_said_before_the_module_is_asked() {
        use {Admission::*, Misfit::*, Presence::*};
        let of = |revision, on, before| at(revision).admit(on, None, before);
        assert_eq!([of(0, Any, 0), of(0, New, 0), of(0, Existing, 0)], [Now, Now, Refused(Missing)]);
        assert_eq!([of(0, Any, 1), of(0, New, 1), of(0, Existing, 1)], [Now, Later, Later], "the one before may be the first");
        assert_eq!([of(5, Any, 0), of(5, New, 0), of(5, Existing, 0)], [Now, Refused(Exists), Now]);
        assert_eq!([of(5, Any, 3), of(5, New, 3), of(5, Existing, 3)], [Now, Refused(Exists), Now]);
        let expects = |expected, before| at(5).admit(Any, Some(expected), before);
        assert_eq!([expects(5, 0), expects(5, 1), expects(3, 1)], [Now, Later, Later]);
        assert_eq!(expects(3, 0), Refused(Revision { expected: 3, actual: 5 }));
    }
}
