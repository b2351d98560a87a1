//! Where the time of a saga goes: what the host's threads spend in each stage of its way.
//!
//! A stage is timed where it begins and ends on one thread, so that the sum over a run, divided by its sagas, says what a change
//! took away. Waiting is no stage of its own but for `queue`: what an attempt waits for its guest thread.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Writes the enum, its list and its names.
macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident $name:literal,)*) => {
        /// A stage of the way of a saga.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage {
            $($(#[$doc])* $stage,)*
        }

        impl Stage {
            /// All of them, in the order in which a saga passes them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$stage),*];

            /// Its name in the metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$stage => $name,)*
                }
            }
        }
    };
}

stages! {
    /// The API reads and checks a start, up to handing it to the engine.
    Accept "accept",
    /// The shard decides: all its inputs.
    Decide "decide",
    /// An attempt waits for its guest thread.
    Queue "queue",
    /// A fresh instance is made for an attempt.
    Instantiate "instantiate",
    /// The guest is called, until it returns; what it waits for the network is in it.
    Call "call",
    /// What came of an attempt is brought to whoever goes on with it, who may decide at once.
    Report "report",
    /// The API writes the answer to a start.
    Answer "answer",
}

/// Time spent since the host began.
#[derive(Debug, Default)]
pub struct Stages([AtomicU64; Stage::ALL.len()]);

impl Stages {
    /// Adds the time since `began`, and returns now: the begin of the next stage.
    pub fn since(&self, stage: Stage, began: Instant) -> Instant {
        let now = Instant::now();
        let ns = u64::try_from(now.duration_since(began).as_nanos()).unwrap_or(u64::MAX);
        self.0[stage as usize].fetch_add(ns, Ordering::Relaxed);
        now
    }

    /// The time spent in a stage.
    pub fn of(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.0[stage as usize].load(Ordering::Relaxed))
    }
}
