//! Asking again while the host has no room, for work that may take an hour and is not to end because others are busy for a moment.

use std::time::Duration;

use crate::engine::refusal::{Refusal, RefusalCode};

/// How often is asked again, and how long after: ten seconds, as long as a crowd of callers lasts.
pub(super) const TRIES_MAX: u32 = 100;
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the host has room.
pub(super) async fn patiently<T, A: Future<Output = Result<T, Refusal>>>(ask: impl Fn() -> A) -> Result<T, Refusal> {
    for _ in 0..TRIES_MAX {
        match ask().await {
            Err(refusal) if refusal.code == RefusalCode::Overloaded => tokio::time::sleep(PAUSE).await,
            asked => return asked,
        }
    }
    ask().await
}
