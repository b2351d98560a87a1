//! What a request that is sent again under the same key must be equal in.
//!
//! A fingerprint is stored with the first answer, and compared by later builds: each kind writes out what it is made of, so that no
//! new name in the code makes another request of the same one. What a fingerprint is made of never changes; a new verb is a new word.

use amends_core::value::{Format, Payload};
use sha2::{Digest, Sha256};

/// SHA-256 of the parts, each behind its length.
pub(crate) type Fingerprint = [u8; 32];

/// The parts of a request, each behind its length.
#[derive(Default)]
pub(crate) struct Parts(Sha256);

impl Parts {
    pub(crate) fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn done(self) -> Fingerprint {
        self.0.finalize().into()
    }

    pub(crate) fn payload(self, payload: &Payload) -> Self {
        let format = match payload.format {
            Format::Json => "json",
            Format::Bytes => "bytes",
        };
        self.part(format).part(&payload.bytes)
    }
}
