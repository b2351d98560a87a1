//! Where the command line meets what it is built around: the three places at which a host is put together.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use amends_core::validate;
use bytesize::ByteSize;
use prometheus_client::metrics::counter::Counter;

use super::exit::Fatal;
use crate::config::{self, Config};
use amends_host::{
    api, clocks,
    engine::limits::Limits,
    host::{self, Compile, HostConfig},
    node::{self, Node, NodeError},
    service::{
        Services,
        disk::Free,
        verify::{self, Unverified, Verified},
    },
    store::redb,
    trouble::Trouble,
};

/// A host that has recovered and takes requests.
pub struct Host {
    /// What the API is over.
    pub services: Services,
    /// Ends only if the host cannot go on (law 14).
    pub failed: Pin<Box<dyn Future<Output = Fatal> + Send>>,
    /// No new starts, time for open attempts until a moment, commit, close.
    pub close: Box<dyn FnOnce(Instant) -> Result<(), Fatal> + Send>,
}

impl From<NodeError> for Fatal {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::InUse(what) => Self::DataInUse(what),
            NodeError::NotOurs(what) => Self::NotOurs(what),
            NodeError::Storage(what) => Self::StorageFailed(what),
            NodeError::Other(what) => Self::Other(what),
        }
    }
}

/// Opens the data folder, recovers, and starts the engine. Runs on a blocking thread of the tokio runtime.
///
/// `listening` is the API's own address, which no guest may call; `lost_lines` counts what the log lost.
pub fn open(config: &Config, listening: SocketAddr, lost_lines: Counter) -> Result<Host, Fatal> {
    let worker = this_program().map_err(|error| Fatal::Other(format!("cannot tell which program this is: {error}")))?;
    let mut node = Node::open(node::Config {
        data: config.store.data.clone(),
        store: store_options(config),
        views_cache_bytes: caches(config).1,
        guests: guest_limits(config),
        engine: engine_limits(config),
        definitions: definition_limits(config),
        listening: vec![listening],
        worker,
        clocks: clocks::of_machine(),
        secrets: Some(config.guest.secrets.clone()).filter(|folder| !folder.as_os_str().is_empty()),
        free: free(config),
        lost_lines,
    })?;
    let failed = node.failed();
    Ok(Host {
        services: node.services().clone(),
        failed: Box::pin(async move { Fatal::StorageFailed(failed.await) }),
        close: Box::new(move |until| node.close(until).map_err(Fatal::from)),
    })
}

/// This process's executable, also after its file was removed or replaced: a compile worker must be the same build as its host.
///
/// The kernel resolves this name to the program that the process runs, and a child has the same one until it executes another.
fn this_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// Memory for the pages of the journal's file, and of that of the views.
fn caches(config: &Config) -> (usize, usize) {
    (config.store.cache.as_usize(), config.store.views_cache.as_usize())
}

fn store_options(config: &Config) -> redb::Options {
    redb::Options { cache_bytes: caches(config).0, ..redb::Options::default() }
}

fn free(config: &Config) -> Free {
    Free { bytes_min: config.store.free_min.bytes(), percent_min: config.store.free_min_percent }
}

fn engine_limits(config: &Config) -> Limits {
    Limits {
        saga_bytes_max: config.limits.journal.bytes(),
        payload_bytes_max: config.limits.payload.as_usize(),
        event_kept_ms: config.retention.events.ms(),
        schedules_max: config.limits.schedules,
        queue_records: config.store.queue_records,
        ..Limits::default()
    }
}

/// What the API takes.
pub(super) fn api_options(config: &Config) -> api::Options {
    api::Options {
        hosts: config.server.hosts.clone(),
        payload_bytes_max: config.limits.payload.as_usize(),
        wasm_bytes_max: config.limits.wasm.as_usize(),
        wait_ms_max: config.server.wait_max.ms(),
        held_bytes_max: config.server.held_max.bytes(),
    }
}

/// The one place where a setting meets the limit that it sets; the other limits are not for an operator to set.
fn guest_limits(config: &Config) -> host::Limits {
    let Config { guest, limits, .. } = config;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let size = |size: config::Size| ByteSize::b(size.bytes());
    host::Limits {
        in_flight_max: count(guest.in_flight),
        waiting_max: count(guest.waiting),
        threads: count(guest.threads),
        memory: size(guest.memory),
        memory_total: size(guest.memory_total),
        table_elements_max: count(guest.table_elements),
        instances_max: count(guest.instances),
        cpu: guest.cpu.0,
        log: size(guest.log),
        payload: size(limits.payload),
        wasm: size(limits.wasm),
        http_requests_max: guest.http_requests,
        http_request: size(guest.http_request),
        http_response: size(guest.http_response),
        http_connect: guest.http_connect.0,
        compile_memory: size(guest.compile_memory),
        compile_cpu: guest.compile_cpu.0,
        compile_wall: guest.compile_wall.0,
        ..host::Limits::default()
    }
}

fn definition_limits(config: &Config) -> validate::Limits {
    validate::Limits {
        steps_max: config.limits.steps,
        stage_steps_max: config.limits.stage_steps,
        deadline_ms_max: config.guest.deadline_max.ms(),
        ..validate::Limits::default()
    }
}

/// Verifies a component without a host, for `check` and `graph`, within the limits that a host of this configuration has.
pub fn verify(bytes: Vec<u8>, config: &Config) -> Result<Verified, Unverified> {
    let refused = |what: String| Unverified { trouble: Trouble::Host, code: "not_checked", reasons: vec![what], hint: None };
    let program = this_program().map_err(|error| refused(format!("cannot tell which program this is: {error}")))?;
    let host = host::Host::new(HostConfig {
        stages: Arc::default(),
        limits: guest_limits(config),
        uptime: clocks::uptime(),
        modules: Arc::new(|_| Err(std::io::Error::other("nothing is stored without a host"))),
        compile: Compile::Worker { program, args: vec![host::compile_worker::ARGUMENT.into()] },
        cache: None,
        secrets: None,
    })
    .map_err(|error| refused(error.to_string()))?;
    let found = host.verify(&bytes)?;
    verify::check(found, bytes.len() as u64, &definition_limits(config))
}

/// The body of the process that the host starts for one compilation.
pub fn compile_worker() -> ExitCode {
    host::compile_worker::main()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_settings_has_the_documented_limits() {
        assert_eq!(guest_limits(&Config::default()), host::Limits::default());
        assert_eq!(definition_limits(&Config::default()), validate::Limits::default());
    }

    /// What a host is built of, in words.
    fn built_of(config: &Config) -> String {
        let host = (guest_limits(config), engine_limits(config), definition_limits(config));
        format!("{host:?} {:?} {:?} {:?}", caches(config), free(config), api_options(config))
    }

    /// `drain` was read, logged, and given to the API alone; the engine waited for ten seconds whatever it said. The kind: a setting
    /// that nothing obeys. Each one that is no text and no path changes a limit of what a host is built of. The rest is named by the
    /// file that obeys it; that `drain` is obeyed is shown on the real binary.
    #[test]
    fn c2_04_every_setting_changes_what_a_host_is_built_of() {
        let in_file = |key: &str| match key {
            "server.drain" | "server.listen" | "server.log_format" => Some(include_str!("serve.rs")),
            "store.data" | "store.views_cache" | "guest.secrets" => Some(include_str!("wiring.rs")),
            _ => None,
        };
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        let before = built_of(&Config::default());
        for (section, keys) in &defaults {
            for (key, value) in keys.as_table().unwrap() {
                let name = format!("{section}.{key}");
                if let Some(text) = in_file(&name) {
                    assert!(text.contains(&format!("config.{name}")), "{name}");
                    continue;
                }
                let mut changed = defaults.clone();
                changed[section][key] = other(value);
                let config: Config = changed.try_into().unwrap();
                assert_ne!(built_of(&config), before, "nothing obeys {name}");
            }
        }
    }

    /// Another value of the same form.
    fn other(value: &toml::Value) -> toml::Value {
        match value {
            toml::Value::Integer(number) => toml::Value::Integer(number + 1),
            toml::Value::Array(_) => toml::Value::Array(vec![toml::Value::String("other".to_owned())]),
            toml::Value::String(text) if text.ends_with('B') => toml::Value::String("3MiB".to_owned()),
            toml::Value::String(_) => toml::Value::String("17s".to_owned()),
            other => panic!("a setting of another form: {other}"),
        }
    }
}
