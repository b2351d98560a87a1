//! Randomness that is the same when a step is run again: one seed for each leg, one stream for each use.
//!
//! Separate streams keep a guest's n-th id the same, however many random bytes its libraries drew before.

use amends_core::id::StepKey;
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

/// What a stream is for. The numbers never change: a replayed step would see other values.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Bytes = 0,
    Ids = 1,
    Wasi = 2,
    WasiInsecure = 3,
}

/// Makes the streams of one leg.
pub(super) struct Seed([u8; 32]);

impl Seed {
    pub(super) fn of(key: StepKey) -> Self {
        Self(hash(b"amends random 1", key))
    }

    pub(super) fn stream(&self, for_what: Use) -> ChaCha12Rng {
        let mut stream = ChaCha12Rng::from_seed(self.0);
        stream.set_stream(for_what as u64);
        stream
    }
}

/// Seeds the hash maps of the guest's language. Every guest asks for it, so it costs no stream.
pub(super) fn number(key: StepKey) -> u128 {
    let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash(b"amends number 1", key);
    u128::from_le_bytes(head)
}

fn hash(purpose: &[u8], key: StepKey) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update(key.0).finalize().into()
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    #[test]
    fn a_leg_draws_the_same_in_every_attempt_and_differently_from_every_other_leg() {
        let draw = |key: [u8; 16], use_: Use| Seed::of(StepKey(key)).stream(use_).next_u64();
        assert_eq!(draw([1; 16], Use::Bytes), draw([1; 16], Use::Bytes));
        assert_ne!(draw([1; 16], Use::Bytes), draw([2; 16], Use::Bytes));
        assert_ne!(draw([1; 16], Use::Bytes), draw([1; 16], Use::Ids));
        assert_eq!(number(StepKey([1; 16])), number(StepKey([1; 16])));
        assert_ne!(number(StepKey([1; 16])), number(StepKey([2; 16])));
        // Recorded values: a change would give a step that is run again other ids.
        let drawn =
            format!("{:016x} {:016x} {:032x}", draw([7; 16], Use::Bytes), draw([7; 16], Use::Ids), number(StepKey([7; 16])));
        expect_test::expect!["27e579ac9db58e11 ae0653d58e1ef3db fbceb6fd4cdc982e4f45cac036e808dc"].assert_eq(&drawn);
    }
}
