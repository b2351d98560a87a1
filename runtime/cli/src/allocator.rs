//! The allocator of the binary, and what it gives back to the system at once.

use std::ffi::c_long;

/// Requests, records and calls are allocated on one thread and freed on another, for which this allocator is made. With the allocator
/// of the system, `cargo xtask bench` shows more processor time for each saga on the thread of the shard.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Larger blocks come from the system and go back to it. What is smaller is kept for a second after it is freed, which makes the next
/// allocation cheap; of large values, of which a client may ask for many in a second, that is more than all that is held at a time.
const KEPT_KIB_MAX: c_long = 512;

/// The option `arena_max_object_size`, for which the crate has no name.
const KEPT_MAX: libmimalloc_sys::mi_option_t = 45;

/// The options of another release may have other numbers: look for the new one in its `mimalloc.h`.
const _: () = assert!(libmimalloc_sys::_mi_option_last == 47, "the options of mimalloc have the numbers that are known here");

/// From now on, large blocks go back to the system when they are freed. To be called before the process has other threads.
pub(crate) fn give_back_large_blocks() {
    #[expect(
        unsafe_code,
        reason = "a number of the allocator is set, which other threads could read meanwhile: there are none yet"
    )]
    unsafe {
        libmimalloc_sys::mi_option_set(KEPT_MAX, KEPT_KIB_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A host that had shown large sagas kept twice as much memory as it held, and grew by more than all its clients may hold.
    #[test]
    fn c2_29_large_blocks_are_given_back_when_they_are_freed() {
        give_back_large_blocks();
        let blocks: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1_000_000]).collect();
        let held = resident_kib();
        drop(blocks);
        let kept = resident_kib();
        assert!(kept + 50_000 < held, "{held} KiB with the blocks and {kept} KiB after them");
    }
}
