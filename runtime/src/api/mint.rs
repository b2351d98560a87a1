//! Ids that the host and the command line make up: sortable by time, or derived from a client's idempotency key.

use amends_core::{id::SagaId, value::Instant};
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Crockford's base 32: no letter that is read as another.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 48 bits of time and 80 random bits, as 26 characters that sort by time.
pub fn fresh(now: Instant) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
    Ok(encode(u128::from_be_bytes(bytes)))
}

/// Which start of a saga: the keys of its steps derive from it.
pub(in crate::api) fn incarnation() -> Result<[u8; 16], ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    Ok(bytes)
}

/// The saga id of a start without one.
pub(in crate::api) fn saga_id(now: Instant) -> Result<SagaId, ApiError> {
    Ok(SagaId::new(&fresh(now).map_err(no_randomness)?)?)
}

pub(in crate::api) fn no_randomness(error: getrandom::Error) -> ApiError {
    ApiError::internal(&format!("no randomness: {error}"))
}

/// The saga id of a start without one, but with an `Idempotency-Key`: sent again, it is the same saga.
pub(in crate::api) fn saga_id_from_key(definition: &str, key: &str) -> Result<SagaId, ApiError> {
    let digest = Sha256::new().chain_update(definition).chain_update([0]).chain_update(key).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(SagaId::new(&encode(u128::from_be_bytes(bytes)))?)
}

fn encode(number: u128) -> String {
    (0..26).map(|place| ALPHABET[(number >> (5 * (25 - place))) as usize & 31] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_later_and_one_key_gives_one_id() {
        let (early, late) = (fresh(Instant(1_000)).unwrap(), fresh(Instant(2_000)).unwrap());
        assert!(early < late && early.len() == 26);
        assert_eq!(saga_id_from_key("trip", "k").unwrap(), saga_id_from_key("trip", "k").unwrap());
        assert_ne!(saga_id_from_key("trip", "k").unwrap(), saga_id_from_key("order", "k").unwrap());
        assert_eq!(encode(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }
}
