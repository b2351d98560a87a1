//! Names, ids, step paths, legs and the keys derived from them.
//!
//! A leg is (step path, alternate, round, direction). All attempts of a leg share one key (law 10).

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a name or an id was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    /// What it was meant to name: `saga id`, `namespace`, …
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}: use {}", self.what, self.rule)
    }
}

impl std::error::Error for BadName {}

/// A module's, saga's or step's name: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The rule, as an error message says it.
    pub const RULE: &'static str = "1 to 63 of a-z, 0-9 and -, beginning with a letter";

    /// Checks and keeps a name.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if first && rest && text.len() <= 63 { Ok(Self(text.into())) } else { Err(BadName { what: "name", rule: Self::RULE }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A namespace: `[a-z0-9-]{1,63}`. It exists once something is deployed there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks and keeps a namespace.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && (1..=63).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(BadName { what: "namespace", rule: "1 to 63 of a-z, 0-9 and -" })
        }
    }

    /// The namespace as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A saga's id, chosen by the client or minted: `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`. Never reusable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SagaId(Arc<str>);

impl SagaId {
    /// Checks and keeps an id.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
        if first && rest && text.len() <= 128 {
            Ok(Self(text.into()))
        } else {
            Err(BadName { what: "saga id", rule: "1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit" })
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which start of a saga: 128 random bits, given from outside. Keys derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub [u8; 16]);

/// The child path, the step and the `each` element: `reserve-hotel`, `group/2/charge`, `pay[sku-7]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(Arc<str>);

impl StepPath {
    /// A path as text. Paths come from checked definitions.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without the keys of elements: `group/pay` of `group[7]/pay`. What was given is where it has none.
    pub fn without_elements(&self) -> Self {
        let mut kept = String::new();
        let mut rest = self.as_str();
        while let Some((before, element)) = rest.split_once('[') {
            kept.push_str(before);
            rest = element.split_once(']').map_or("", |(_, after)| after);
        }
        Self::new(&(kept + rest))
    }

    /// The path is `above` or of something in it: a step of a child, an element of a fan-out.
    pub fn is_in(&self, above: &Self) -> bool {
        self.0.strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    }
}

/// Which way a leg goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// The step itself.
    Forward,
    /// Its compensation, by the compensation's own alternate.
    Undo(u32),
    /// The question whether it happened.
    Check,
}

/// All attempts at one thing. `alternate` and `round` are the forward ones in every direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Leg {
    /// The step.
    pub path: StepPath,
    /// From 0.
    pub alternate: u32,
    /// From 0; a new round begins each time a rollback stops at a savepoint.
    pub round: u32,
    /// Which way.
    pub direction: Direction,
}

impl Leg {
    /// The first round's first alternate of a step.
    pub fn forward(path: StepPath) -> Self {
        Self { path, alternate: 0, round: 0, direction: Direction::Forward }
    }

    /// The same alternate and round in another direction.
    #[must_use]
    pub fn turned(&self, direction: Direction) -> Self {
        Self { direction, ..self.clone() }
    }

    /// The key of this leg: the same in every attempt, and different from every other leg's (law 10).
    pub fn key(&self, namespace: &Namespace, saga: &SagaId, incarnation: Incarnation) -> StepKey {
        let mut hash = Sha256::new();
        for part in [namespace.as_str(), saga.as_str()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(incarnation.0);
        hash.update((self.path.as_str().len() as u64).to_le_bytes());
        hash.update(self.path.as_str());
        hash.update(self.alternate.to_le_bytes());
        hash.update(self.round.to_le_bytes());
        let (direction, undo) = match self.direction {
            Direction::Forward => (0u8, 0),
            Direction::Undo(alternate) => (1, alternate),
            Direction::Check => (2, 0),
        };
        hash.update([direction]);
        hash.update(undo.to_le_bytes());
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        StepKey(key)
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction {
            Direction::Forward => write!(f, "{}", self.path)?,
            Direction::Undo(0) => write!(f, "undo {}", self.path)?,
            Direction::Undo(k) => write!(f, "undo#{k} {}", self.path)?,
            Direction::Check => write!(f, "check {}", self.path)?,
        }
        if self.alternate > 0 {
            write!(f, " alternate {}", self.alternate)?;
        }
        if self.round > 0 {
            write!(f, " round {}", self.round)?;
        }
        Ok(())
    }
}

/// 128 bits of SHA-256 over what names a leg; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepKey(pub [u8; 16]);

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shown several times in every attempt: a formatted byte would cost more than the rest of the call.
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let text: String = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        f.write_str(&text)
    }
}

/// The routing hash of a namespace: FNV-1a with the finalizer of MurmurHash3, fixed for ever. Shards own ranges of it, so that everything
/// of a namespace is decided by one shard; without the finalizer, names that differ in their last letters would lie close together.
pub fn partition_key(namespace: &Namespace) -> u32 {
    let hash = namespace.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

macro_rules! textual {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}
textual!(Name, Namespace, SagaId, StepPath);

macro_rules! checked {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(&text)
            }
        }
    )*};
}
checked!(Name, Namespace, SagaId);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    #[test]
    fn names_that_escape_a_folder_or_fool_a_reader_are_refused() {
        for bad in ["", "../x", "Order", "9x", "a b", "order\u{202e}", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".hidden", "../x", "a/b", "a\0b", "tr\u{202e}ip", &"a".repeat(300)] {
            assert!(SagaId::new(bad).is_err(), "{bad:?}");
        }
        assert!(Name::new("reserve-hotel").is_ok());
        assert!(SagaId::new("T1:2026-01-01.a_b").is_ok());
    }

    #[test]
    fn every_leg_has_its_own_key_and_every_attempt_the_same() {
        let (namespace, saga) = (Namespace::new("default").unwrap(), SagaId::new("T1").unwrap());
        let leg = Leg::forward(StepPath::new("pay"));
        let key = |leg: &Leg| leg.key(&namespace, &saga, Incarnation([7; 16])).to_string();
        assert_eq!(key(&leg), key(&leg.clone()));
        let others = [
            leg.turned(Direction::Undo(0)),
            leg.turned(Direction::Undo(1)),
            leg.turned(Direction::Check),
            Leg { alternate: 1, ..leg.clone() },
            Leg { round: 1, ..leg.clone() },
            Leg::forward(StepPath::new("pa")),
        ];
        for other in others {
            assert_ne!(key(&leg), key(&other), "{other}");
        }
    }
}
