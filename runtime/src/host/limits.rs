//! Every limit on a guest, in one place: what an attempt may use, send and receive, and what a compilation may cost.
//!
//! It must not know wasmtime: these are the operator's numbers. Those that an operator may set are in the tables `[guest]` and
//! `[limits]` of the configuration, under the same defaults.

use std::time::Duration;

use bytesize::ByteSize;

use super::{machine, queue::Places};

/// What a guest has of its thread before the others have it: what somebody waits at most behind one that computes for long. Giving
/// the thread back costs some microseconds, a few thousandths of it.
pub(super) const SLICE: Duration = Duration::from_millis(2);

/// What a thread runs of guests at most before it looks at its network and its timers, which costs about a microsecond.
pub(super) const BREATH: Duration = Duration::from_micros(500);

/// How long an attempt waits for its place before the engine is told that the host is busy, and decides again: a burst of starts is
/// worked off in less. A saga that has no use for its attempt any more does not wait for it.
pub(super) const PLACE_WAIT: Duration = Duration::from_secs(60);

/// What a guest may use. The default of each field is the documented one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that run at once, or could if they had a processor. More wait for their turn; one module has at most a quarter of the
    /// places.
    pub in_flight_max: u32,
    /// Attempts that wait for the network at once, beside those that run. Each keeps its memory and a slot of 4 GiB of addresses, and uses
    /// no processor.
    pub waiting_max: u32,
    /// OS threads for guests; 0 is one for each processor, and at least two, so that one spinning guest leaves a way round it.
    pub threads: u32,
    /// Processor time of one attempt.
    pub cpu: Duration,
    /// Linear memory of one attempt, all memories together.
    pub memory: ByteSize,
    /// Linear memory of all attempts that run at once; 0 is half of what the machine or its container has. One that finds it used up is tried again.
    pub memory_total: ByteSize,
    /// Table elements of one attempt, all tables together.
    pub table_elements_max: u32,
    /// Core instances of one component.
    pub instances_max: u32,
    /// Tables of one component.
    pub tables_max: u32,
    /// Memories of one component.
    pub memories_max: u32,
    /// Resources (streams, requests, pollables) that one attempt holds at once.
    pub handles_max: u32,
    /// One payload, in either direction.
    pub payload: ByteSize,
    /// Log lines, standard output and standard error of one attempt together.
    pub log: ByteSize,
    /// Outgoing requests of one attempt.
    pub http_requests_max: u32,
    /// Body of one outgoing request.
    pub http_request: ByteSize,
    /// Body of one response.
    pub http_response: ByteSize,
    /// Headers of one request or response, as they lie in memory.
    pub http_headers: ByteSize,
    /// Resolving a name and connecting to it.
    pub http_connect: Duration,
    /// Agreeing on TLS after that.
    pub http_tls: Duration,
    /// A component's size.
    pub wasm: ByteSize,
    /// Address space of a compilation.
    pub compile_memory: ByteSize,
    /// Processor time of a compilation.
    pub compile_cpu: Duration,
    /// Wall-clock time of a compilation.
    pub compile_wall: Duration,
    /// The compiled code's size.
    pub compile_output: ByteSize,
    /// Compilations at once.
    pub compiles_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 256,
            waiting_max: 2_048,
            threads: 0,
            cpu: Duration::from_secs(5),
            memory: ByteSize::mib(64),
            memory_total: ByteSize::b(0),
            table_elements_max: 100_000,
            instances_max: 50,
            tables_max: 16,
            memories_max: 8,
            handles_max: 1_000,
            payload: ByteSize::mib(1),
            log: ByteSize::kib(64),
            http_requests_max: 16,
            http_request: ByteSize::mib(1),
            http_response: ByteSize::mib(8),
            http_headers: ByteSize::kib(32),
            http_connect: Duration::from_secs(2),
            http_tls: Duration::from_secs(3),
            wasm: ByteSize::mib(16),
            compile_memory: ByteSize::gib(2),
            compile_cpu: Duration::from_secs(60),
            compile_wall: Duration::from_secs(90),
            compile_output: ByteSize::mib(256),
            compiles_max: 2,
        }
    }
}

impl Limits {
    /// What crosses from guest to host in one call: several payloads and what names them.
    pub(super) fn hostcall_bytes_max(&self) -> usize {
        usize_of(self.payload).saturating_mul(4).max(4 << 20)
    }

    /// The memory of all guests together: never less than one may have, or nothing would run.
    pub(super) fn memory_for_all(&self) -> usize {
        let total = match self.memory_total.as_u64() {
            0 => machine::memory() / 2,
            total => total,
        };
        usize_of(ByteSize::b(total)).max(usize_of(self.memory))
    }

    /// The places for attempts.
    pub(super) fn places(&self) -> Places {
        Places { running: self.in_flight_max, begun: self.in_flight_max.saturating_add(self.waiting_max) }
    }

    /// The number of guest threads.
    pub(super) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 64),
            n => n as usize,
        }
    }
}

/// A size as this machine counts; what does not fit is as much as there is.
pub(super) fn usize_of(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
