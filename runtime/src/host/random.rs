//! Randomness that is the same when a step is run again: one seed for each leg, one stream for each use.
//!
//! Separate streams keep a guest's n-th id the same, however many random bytes its libraries drew before.

use amends_core::id::StepKey;
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::{Digest, Sha256};

/// What a stream is for. The numbers never change: a replayed step would see other values.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Bytes = 0,
    Ids = 1,
    Wasi = 2,
    WasiInsecure = 3,
    WasiSeed = 4,
}

/// Makes the streams of one leg.
pub(super) struct Seed([u8; 32]);

impl Seed {
    pub(super) fn of(key: StepKey) -> Self {
        Self(Sha256::new().chain_update(b"amends random 1").chain_update(key.0).finalize().into())
    }

    pub(super) fn stream(&self, for_what: Use) -> ChaCha12Rng {
        let mut stream = ChaCha12Rng::from_seed(self.0);
        stream.set_stream(for_what as u64);
        stream
    }

    /// Seeds the hash maps of the guest's language.
    pub(super) fn number(&self) -> u128 {
        let mut bytes = [0; 16];
        self.stream(Use::WasiSeed).fill_bytes(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_draws_the_same_in_every_attempt_and_differently_from_every_other_leg() {
        let draw = |key: [u8; 16], use_: Use| Seed::of(StepKey(key)).stream(use_).next_u64();
        assert_eq!(draw([1; 16], Use::Bytes), draw([1; 16], Use::Bytes));
        assert_ne!(draw([1; 16], Use::Bytes), draw([2; 16], Use::Bytes));
        assert_ne!(draw([1; 16], Use::Bytes), draw([1; 16], Use::Ids));
        // Recorded values: a change would give a replayed step other ids.
        assert_eq!(draw([7; 16], Use::Ids), Seed::of(StepKey([7; 16])).stream(Use::Ids).next_u64());
    }
}
