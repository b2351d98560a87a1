//! How wasmtime is set up: one function builds its configuration, for the host and for the compile worker.
//!
//! The two differ only in how instances are allocated, so that the worker's code fits the host. It must not know sagas.

use std::{num::NonZeroUsize, thread};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::limits::{Limits, SLICE, usize_of};

/// Components that may be instantiated beside the attempts in flight: `describe` of a module that is being verified.
const SPARE: u32 = 8;

/// Pages of a slot that stay with the process between two attempts; they are reset all the same.
const MEMORY_RESIDENT: usize = 2 << 20;
const TABLE_RESIDENT: usize = 64 << 10;

/// The engine that runs guests, with a thread that ends their turns.
pub(super) fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    let engine = match Engine::new(&config(InstanceAllocationStrategy::Pooling(pool(limits)))) {
        Ok(engine) => engine,
        Err(error) => {
            // A container may limit address space to less than the pool reserves. Slower instances beat none.
            tracing::warn!(%error, "no room for the pool of guest memories; each attempt maps its own (raise `ulimit -v`)");
            Engine::new(&config(InstanceAllocationStrategy::OnDemand))?
        }
    };
    tick(&engine)?;
    Ok(engine)
}

/// The engine that only compiles. The pool's reservations would not fit under the worker's limit of address space.
pub(super) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&config(InstanceAllocationStrategy::OnDemand))
}

fn config(allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(allocation)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        // Not zeroed between two attempts: compiled code reads no local that it did not write and has no way to the stack it runs
        // on, and what guests had lies in the host's heap as well. Zeroing would be a tenth of what an attempt costs.
        .async_stack_size(2 << 20)
        .memory_init_cow(true)
        // Results must not depend on the processor.
        .cranelift_nan_canonicalization(true)
        // Where one inner component passes a string to another, the adapter between them reads one memory and writes the other.
        .wasm_multi_memory(true)
        // Fewer features, fewer ways out of the sandbox; no toolchain that targets WASI 0.2 needs these.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false)
        .wasm_tail_call(false)
        .shared_memory(false)
        .concurrency_support(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let components = limits.places().total().saturating_add(SPARE);
    // A component from a language toolchain has one memory and about one table for each of two to four core instances.
    // An attempt whose component has more takes slots of others; when there is none left it fails as `host_busy`.
    let per_component = |max: u32, usual: u32| components.saturating_mul(max.min(usual));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(components)
        .total_core_instances(per_component(limits.instances_max, 4))
        .total_memories(per_component(limits.memories_max, 1).saturating_add(limits.memories_max))
        .total_tables(per_component(limits.tables_max, 2).saturating_add(limits.tables_max))
        .total_stacks(components)
        .max_core_instances_per_component(limits.instances_max)
        .max_memories_per_component(limits.memories_max)
        .max_memories_per_module(limits.memories_max)
        .max_tables_per_component(limits.tables_max)
        .max_tables_per_module(limits.tables_max)
        .table_elements(limits.table_elements_max as usize)
        .max_memory_size(usize_of(limits.memory).min(4 << 30))
        .max_unused_warm_slots(32)
        .linear_memory_keep_resident(MEMORY_RESIDENT)
        .table_keep_resident(TABLE_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// An OS thread, because a timer of the runtime that a guest spins on would never fire. It ends with the engine.
fn tick(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("amends-epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(SLICE);
        }
    })?;
    Ok(())
}
