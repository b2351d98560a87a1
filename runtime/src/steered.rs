//! A wall clock that the harness moves: `AMENDS_CLOCK=steered`. Compiled in by feature `testing` only.
//!
//! It shows the machine's time and what it was moved by so far, in milliseconds: first `AMENDS_CLOCK=steered:90000`, then one
//! number a line on stdin. Time that passes for guests alone, as their processor time, is not moved.

use std::{
    io::BufRead,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use amends_core::Instant;

use crate::engine::driver::Clock;

/// This machine's clock, or one that stdin moves.
pub(crate) fn steered(machine: Clock) -> Clock {
    let Ok(asked) = std::env::var("AMENDS_CLOCK") else { return machine };
    let Some(moved) = moved_by(&asked) else {
        tracing::error!(asked, "AMENDS_CLOCK is steered, or steered:MILLISECONDS");
        return machine;
    };
    let moved = Arc::new(AtomicU64::new(moved));
    let steering = Arc::clone(&moved);
    let steer = move || {
        for line in std::io::stdin().lock().lines() {
            // Nobody steers any more: the clock goes on by itself.
            let Ok(line) = line else { return };
            match line.trim().parse() {
                Ok(ms) => drop(steering.fetch_add(ms, Ordering::SeqCst)),
                Err(_) => tracing::error!(line, "the clock is moved by milliseconds"),
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("clock".to_owned()).spawn(steer) {
        tracing::error!(%error, "the clock cannot be steered");
    }
    Arc::new(move || Instant(machine().0.saturating_add(moved.load(Ordering::SeqCst))))
}

fn moved_by(asked: &str) -> Option<u64> {
    match asked.strip_prefix("steered")? {
        "" => Some(0),
        moved => moved.strip_prefix(':')?.parse().ok(),
    }
}
