//! Requests that wait for something that may take long: how many may wait at a time, and for how long.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests with `wait` at a time, and connections that follow sagas at a time. Together they leave 200 of the 900 connections to
/// those who ask and act: the signal that ends a wait gets in past all that wait.
pub(super) const WAITS_MAX: usize = 400;
pub(super) const WATCHES_MAX: usize = 300;

/// A wait that is over by then needs no place: sagas that do not reach outside end within milliseconds.
const SHORT: Duration = Duration::from_millis(250);

/// The places of those who wait long.
#[derive(Debug)]
pub(super) struct Waits {
    waits: Semaphore,
    watches: Arc<Semaphore>,
}

impl Waits {
    /// This many of each.
    pub(super) fn new(waits: usize, watches: usize) -> Self {
        Self { waits: Semaphore::new(waits), watches: Arc::new(Semaphore::new(watches)) }
    }

    /// What `ended` gives. None: the time is up, the host stops, or as many wait already as may.
    pub(super) async fn wait<T>(
        &self,
        ended: impl Future<Output = T>,
        time: Duration,
        stopped: impl Future<Output = ()>,
    ) -> Option<T> {
        let (mut ended, mut stopped) = (pin!(ended), pin!(stopped));
        let short = time.min(SHORT);
        tokio::select! {
            ended = &mut ended => return Some(ended),
            () = tokio::time::sleep(short) => {}
            () = &mut stopped => return None,
        }
        let _place = self.waits.try_acquire().ok()?;
        tokio::select! {
            ended = &mut ended => Some(ended),
            () = tokio::time::sleep(time.saturating_sub(short)) => None,
            () = &mut stopped => None,
        }
    }

    /// A place for one who follows sagas; none if all are taken.
    pub(super) fn watch(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.watches).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::api::server::CONNECTIONS_MAX;

    const LONG: Duration = Duration::from_secs(3_600);

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// 900 starts that waited took every connection, and the signal that would have ended their waits found none.
    #[test]
    fn c2_03_waits_and_watches_together_leave_places_for_others() {
        const { assert!(WAITS_MAX + WATCHES_MAX + 200 <= CONNECTIONS_MAX) };
    }

    #[test]
    fn c2_03_who_finds_no_place_to_wait_is_answered_and_a_short_wait_needs_none() {
        run(async {
            let waits = Waits::new(1, 0);
            let first = waits.wait(pending::<()>(), LONG, pending());
            let second = waits.wait(pending::<()>(), LONG, pending());
            tokio::select! {
                biased;
                _ = first => panic!("it has the place"),
                ended = second => assert_eq!(ended, None),
            }
            assert_eq!(Waits::new(0, 0).wait(ready(7), LONG, pending()).await, Some(7));
            assert_eq!(Waits::new(1, 0).wait(pending::<()>(), Duration::ZERO, pending()).await, None);
            assert_eq!(Waits::new(1, 0).wait(pending::<()>(), LONG, ready(())).await, None);
            assert!(Waits::new(0, 1).watch().is_some() && Waits::new(0, 0).watch().is_none());
        });
    }
}
