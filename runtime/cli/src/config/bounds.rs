//! The smallest and the largest value of each numeric setting, in one table.
//!
//! Below the smallest value the host could run nothing, or would refuse every request; a larger number than the largest is a
//! typing error, or more than a host can handle. If the smallest value is 0, it turns something off, and the row names it.

use std::fmt::Display;

use super::{
    tables::Config,
    units::{Size, Span},
};

const SECOND: Span = Span::seconds(1);
const DAY: Span = Span::seconds(86_400);
const CENTURY: Span = Span::seconds(36_525 * 86_400);
const KIB: Size = Size::kib(1);
const MIB: Size = Size::mib(1);
const GIB: Size = Size::mib(1 << 10);
const PIB: Size = Size::mib(1 << 30);

/// One setting, as `in_flight` of `[guest]`, with its problem, if any.
pub(super) struct Bounded {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    problem: Option<String>,
}

/// Whether every setting is within its bounds, and those that depend on each other fit.
pub(super) fn check(config: &Config) -> Result<(), String> {
    for Bounded { section, key, problem } in table(config) {
        if let Some(problem) = problem {
            return Err(format!("`{key}` in [{section}] is {problem}"));
        }
    }
    fits_together(config)
}

/// The table.
#[rustfmt::skip]
pub(super) fn table(config: &Config) -> Vec<Bounded> {
    let Config { server, store, guest, limits, retention } = config;
    vec![
        bound("server", "wait_max", server.wait_max, SECOND, DAY),
        // 0s: requests and attempts are ended at once.
        bound("server", "drain", server.drain, Span::seconds(0), DAY),
        // Below it not even a component and some payloads would fit.
        bound("server", "held_max", server.held_max, Size::mib(16), PIB),
        bound("store", "cache", store.cache, MIB, PIB),
        bound("store", "views_cache", store.views_cache, MIB, PIB),
        bound("store", "queue_records", store.queue_records, 16, 10_000_000),
        // 0: the host may fill the disk.
        bound("store", "free_min", store.free_min, Size::kib(0), PIB),
        bound("store", "free_min_percent", store.free_min_percent, 0, 100),
        bound("guest", "in_flight", guest.in_flight, 1, 100_000),
        // 0: what waits counts as what runs.
        bound("guest", "waiting", guest.waiting, 0, 100_000),
        // 0: one for each processor, and at least two.
        bound("guest", "threads", guest.threads, 0, 1_024),
        // A component of a usual toolchain begins with a little more than one MiB; a 32-bit address ends at four GiB.
        bound("guest", "memory", guest.memory, Size::mib(2), Size::mib(4 << 10)),
        // 0: half of the machine's memory.
        bound("guest", "memory_total", guest.memory_total, Size::kib(0), PIB),
        bound("guest", "table_elements", guest.table_elements, 1_000, 10_000_000),
        // The number of core instances of a component of a usual toolchain.
        bound("guest", "instances", guest.instances, 4, 1_000),
        // The processor time of a guest is checked every two milliseconds.
        bound("guest", "cpu", guest.cpu, Span::millis(10), DAY),
        bound("guest", "deadline_max", guest.deadline_max, SECOND, Span::seconds(30 * 86_400)),
        // 0: log lines of guests are dropped.
        bound("guest", "log", guest.log, Size::kib(0), Size::mib(64)),
        bound("guest", "http_requests", guest.http_requests, 1, 10_000),
        bound("guest", "http_request", guest.http_request, KIB, GIB),
        bound("guest", "http_response", guest.http_response, KIB, GIB),
        bound("guest", "http_connect", guest.http_connect, Span::millis(10), Span::seconds(300)),
        // The compiler's program alone takes much of the smallest value.
        bound("guest", "compile_memory", guest.compile_memory, Size::mib(512), PIB),
        bound("guest", "compile_cpu", guest.compile_cpu, SECOND, DAY),
        bound("guest", "compile_wall", guest.compile_wall, Span::millis(10), DAY),
        bound("limits", "payload", limits.payload, KIB, Size::mib(256)),
        bound("limits", "journal", limits.journal, MIB, Size::mib(64 << 10)),
        bound("limits", "wasm", limits.wasm, Size::kib(16), Size::mib(512)),
        bound("limits", "steps", limits.steps, 1, 10_000),
        bound("limits", "stage_steps", limits.stage_steps, 1, 10_000),
        // 0: there are no schedules.
        bound("limits", "schedules", limits.schedules, 0, 10_000_000),
        bound("retention", "events", retention.events, SECOND, CENTURY),
    ]
}

fn bound<T: PartialOrd + Display>(section: &'static str, key: &'static str, value: T, least: T, greatest: T) -> Bounded {
    let problem = match (value < least, value > greatest) {
        (true, _) => Some(format!("{value}, and the least is {least}")),
        (_, true) => Some(format!("{value}, and the greatest is {greatest}")),
        (false, false) => None,
    };
    Bounded { section, key, problem }
}

/// Pairs of settings that must agree.
fn fits_together(config: &Config) -> Result<(), String> {
    let Config { guest, limits, .. } = config;
    if guest.memory_total.bytes() > 0 && guest.memory_total < guest.memory {
        let (all, one) = (guest.memory_total, guest.memory);
        return Err(format!("`memory_total` in [guest] is {all} for all attempts, and one alone may have {one} (`memory`)"));
    }
    if limits.journal < limits.payload {
        let (journal, payload) = (limits.journal, limits.payload);
        return Err(format!(
            "`journal` in [limits] is {journal} for a whole saga, and its input alone may have {payload} (`payload`)"
        ));
    }
    Ok(())
}
