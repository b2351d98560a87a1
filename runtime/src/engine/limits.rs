//! The limits of a shard, each with its argument.

use amends_core::Room;

/// The limits of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sagas in memory; a start beyond it is refused, an outcome never.
    pub residents_max: usize,
    /// A saga's journal in bytes; beyond it no forward attempt begins, beyond twice as much no attempt at all.
    pub saga_bytes_max: u64,
    /// The data of a command that a step is, as every payload: it is made on the thread of the shard.
    pub payload_bytes_max: usize,
    /// How long an event that nobody took stays findable.
    pub event_kept_ms: u64,
    /// Records that wait for their commit; beyond them new work is refused, and what runs ahead waits for its commits.
    pub queue_records: u64,
    /// Schedules of a namespace.
    pub schedules_max: u64,
    /// Stuck legs that a job deals with before the next request has its turn.
    pub job_legs_max: usize,
}

impl Default for Limits {
    /// 20,000 sagas in memory at some kilobytes each; 64 MiB of journal a saga; 1 MiB of payload; seven days; 8,192 records; 100,000 schedules;
    /// 4,096 legs at some microseconds and a record each: a fan-out may be stuck in 100,000 of them.
    fn default() -> Self {
        Self {
            residents_max: 20_000,
            saga_bytes_max: 64 << 20,
            payload_bytes_max: 1 << 20,
            event_kept_ms: 7 * 86_400_000,
            queue_records: 8_192,
            schedules_max: 100_000,
            job_legs_max: 4_096,
        }
    }
}

impl Limits {
    /// What may still be written to the journal of a saga that has so many bytes.
    pub(crate) fn room(&self, journal_bytes: u64) -> Room {
        match journal_bytes {
            bytes if bytes < self.saga_bytes_max => Room::Free,
            // What was done is worth as much again for undoing it.
            bytes if bytes < self.saga_bytes_max.saturating_mul(2) => Room::Full,
            _ => Room::Spent,
        }
    }
}
