//! Clocks that the harness moves: `AMENDS_CLOCK=steered`. Compiled in by feature `testing` only.
//!
//! Both clocks show the machine's time and what they were moved by, in milliseconds: first `AMENDS_CLOCK=steered:90000`, then one
//! number a line on stdin. A line `set -3600000` moves the wall clock alone, as somebody who sets it does. The processor time of
//! guests is not moved.

use std::{
    io::BufRead,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use amends_core::Instant;

use super::Clocks;

/// This machine's clocks, or those that stdin moves.
pub(super) fn steered(machine: Clocks) -> Clocks {
    let Ok(asked) = std::env::var("AMENDS_CLOCK") else { return machine };
    let Some(moved) = moved_by(&asked) else {
        tracing::error!(asked, "AMENDS_CLOCK is steered, or steered:MILLISECONDS");
        return machine;
    };
    let (moved, set) = (Arc::new(AtomicU64::new(moved)), Arc::new(AtomicI64::new(0)));
    let (moving, setting) = (Arc::clone(&moved), Arc::clone(&set));
    let steer = move || {
        for line in std::io::stdin().lock().lines() {
            // Nobody steers any more: the clocks go on by themselves.
            let Ok(line) = line else { return };
            let steered = match line.trim().strip_prefix("set ") {
                Some(ms) => ms.parse().map(|ms| {
                    setting.fetch_add(ms, Ordering::SeqCst);
                }),
                None => line.trim().parse().map(|ms| {
                    moving.fetch_add(ms, Ordering::SeqCst);
                }),
            };
            if let Err(error) = steered {
                tracing::error!(line, %error, "a clock is moved by milliseconds, or set by `set` and milliseconds");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("clock".to_owned()).spawn(steer) {
        tracing::error!(%error, "the clocks cannot be steered");
    }
    let Clocks { wall, uptime } = machine;
    let since_start = Arc::clone(&moved);
    let uptime = Arc::new(move || uptime() + Duration::from_millis(since_start.load(Ordering::SeqCst)));
    let wall = Arc::new(move || {
        let moved = wall().0.saturating_add(moved.load(Ordering::SeqCst));
        Instant(moved.saturating_add_signed(set.load(Ordering::SeqCst)))
    });
    Clocks { wall, uptime }
}

fn moved_by(asked: &str) -> Option<u64> {
    match asked.strip_prefix("steered")? {
        "" => Some(0),
        moved => moved.strip_prefix(':')?.parse().ok(),
    }
}
