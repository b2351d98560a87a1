//! Facts about the current call that are the same in every attempt of the step.
//!
//! A step that runs twice should do the same thing twice, so it should take time and randomness from here. In the host, the
//! standard library's clock and random numbers have the same source.
//!
//! The `decide` function of an [`Aggregate`](crate::Aggregate) can ask for the time, ids and random bytes too. They are the same
//! when a command is decided again, and the ids go on from command to command of one call. So can the functions of a
//! [`Policy`](crate::Policy): the time is that of the cause's record, and all of it is the same in every attempt.

use crate::{Moment, host};

/// The time of the record that made this step ready: the same in every attempt. It does not advance during the call.
pub fn now() -> Moment {
    host::now()
}

/// When this attempt began. It differs from attempt to attempt, so no request should depend on it.
pub fn attempt_started_at() -> Moment {
    host::attempt_started_at()
}

/// A fresh identifier of 32 hexadecimal digits. The n-th one of a step is the same in every attempt.
pub fn new_id() -> String {
    host::new_id()
}

/// Up to 65,536 random bytes, the same in every attempt. The operator can predict them: they are not for secrets.
pub fn random_bytes(len: u32) -> Vec<u8> {
    host::random_bytes(len)
}
