//! The bytes of a definition, and its hash, which a saga's start record contains.

use amends_core::definition::Definition;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Corrupt;

/// The version byte of an encoded definition. A definition that uses new fields gets the next number; one in which all new fields
/// have their neutral value keeps this format, so that the hash of an old definition does not change.
const VERSION: u8 = 1;

/// A definition as compact bytes.
pub fn encode(definition: &Definition) -> Bytes {
    match postcard::to_extend(definition, vec![VERSION]) {
        Ok(bytes) => bytes.into(),
        Err(error) => unreachable!("a vector takes every byte and every field has a known length: {error}"),
    }
}

/// Decodes a definition; the bytes must contain nothing else.
pub fn decode(bytes: &[u8]) -> Result<Definition, Corrupt> {
    match bytes.split_first() {
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((definition, [])) => Ok(definition),
            Ok((_, rest)) => Err(Corrupt(format!("definition: it is too long by {}", rest.len()))),
            Err(error) => Err(Corrupt(format!("definition: {error}"))),
        },
        Some((version, _)) => Err(Corrupt(format!("definition: format {version} is unknown to this build"))),
        None => Err(Corrupt("definition: it is empty".to_owned())),
    }
}

/// SHA-256 of a definition's bytes: equal definitions, and only those, have equal hashes.
pub fn hash(definition: &Definition) -> [u8; 32] {
    Sha256::digest(encode(definition)).into()
}

#[cfg(test)]
mod tests {
    use amends_core::definition::{
        Body, Each, EachMode, Kind, LockKey, OnExhausted, OnLocked, OnUnknown, Retry, Stage, Step, Undo, UndoPolicy,
    };
    use expect_test::expect;

    use super::*;

    fn trip() -> Definition {
        let step = Step {
            name: "reserve-hotel".into(),
            kind: Kind::Compensatable,
            body: Body::Code,
            effect_free: false,
            needs: vec!["reserve-flight".into()],
            retry: Retry::forward(),
            deadline_ms: 30_000,
            on_unknown: OnUnknown::Check,
            on_exhausted: OnExhausted::Rollback,
            alternates: 1,
            undo: Undo::Code(UndoPolicy { retry: Retry::persistent(), deadline_ms: 30_000, alternates: 0, effect_free: false }),
            each: Some(Each { items: "/rooms".into(), key: None, mode: EachMode::Collect, concurrency: 4 }),
        };
        Definition {
            name: "trip".into(),
            version: 1,
            stages: vec![Stage { steps: vec![step], savepoint_after: Some("booked".into()) }],
            output: None,
            deadline_ms: Some(60_000),
            locks: vec![LockKey { name: "customer".into(), pointer: "/customer".into() }],
            on_locked: OnLocked::Queue,
            rounds: 1,
            schema: None,
        }
    }

    #[test]
    fn a_definition_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&trip())), Ok(trip()));
    }

    #[test]
    fn a_definition_keeps_its_hash() {
        expect!["fbb051db996a65668e2a08082820abd72380da129e1f056373ee267519ce74ee"].assert_eq(&hex::encode(hash(&trip())));
        assert_ne!(hash(&trip()), hash(&Definition { rounds: 2, ..trip() }));
    }

    #[test]
    fn bytes_that_are_no_definition_are_refused() {
        let good = encode(&trip());
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "cut at {length}");
        }
        assert!(decode(&[&good[..], &[0]].concat()).is_err());
        assert!(decode(&[&[2], &good[1..]].concat()).is_err());
    }
}
