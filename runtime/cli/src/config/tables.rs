//! Every setting of the host with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::{Size, Span};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The API.
    pub server: Server,
    /// The journal.
    pub store: Store,
    /// What one attempt of a guest may use.
    pub guest: Guest,
    /// The limits of sizes and numbers.
    pub limits: Limits,
    /// The retention of data.
    pub retention: Retention,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// The address of the API; port 0 picks a free one.
    pub listen: String,
    /// Names that are accepted in `Host` and `Origin` in addition to the loopback names.
    pub hosts: Vec<String>,
    /// The longest `?wait=`.
    pub wait_max: Span,
    /// How long a shutdown waits for open attempts and requests.
    pub drain: Span,
    /// Memory that is held for all clients together: sagas and pages that are read for them or that they have not taken, and bodies
    /// that they send. What is smaller than 64 KiB is not counted.
    pub held_max: Size,
    /// The format of the log on stderr.
    pub log_format: LogFormat,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8420".to_owned(),
            hosts: Vec::new(),
            wait_max: Span::seconds(300),
            drain: Span::seconds(10),
            held_max: Size::mib(96),
            log_format: LogFormat::Text,
        }
    }
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

impl LogFormat {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// The data folder.
    pub data: PathBuf,
    /// Memory for pages of the journal's file.
    pub cache: Size,
    /// Memory for pages of the file of the views.
    pub views_cache: Size,
    /// The largest number of records that wait for a commit; beyond it new work is refused.
    pub queue_records: u64,
    /// New starts are refused when less than this is free on the disk…
    pub free_min: Size,
    /// …or less than so many percent of it.
    pub free_min_percent: u8,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./amends-data"),
            cache: Size::mib(64),
            views_cache: Size::mib(32),
            queue_records: 8_192,
            free_min: Size::mib(512),
            free_min_percent: 5,
        }
    }
}

/// `[guest]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guest {
    /// Attempts that run at once. One module has at most a quarter of them.
    pub in_flight: usize,
    /// Attempts that wait for the network at once, beside those that run. One module has at most a quarter of both together.
    pub waiting: usize,
    /// Threads for attempts; 0 is one for each processor, and at least two.
    pub threads: usize,
    /// Linear memory of one attempt.
    pub memory: Size,
    /// Linear memory of all attempts that run at once; 0 is half of the memory of the machine or its container.
    pub memory_total: Size,
    /// Elements of all its tables.
    pub table_elements: usize,
    /// Core instances in one component.
    pub instances: usize,
    /// CPU time of one attempt.
    pub cpu: Span,
    /// The longest deadline that a step may declare.
    pub deadline_max: Span,
    /// Log lines of one attempt; more are counted and dropped.
    pub log: Size,
    /// Outgoing requests of one attempt.
    pub http_requests: u32,
    /// Body of one outgoing request.
    pub http_request: Size,
    /// Body of one response.
    pub http_response: Size,
    /// Time to connect.
    pub http_connect: Span,
    /// The folder of secrets, with a file for each; empty: there are no secrets.
    pub secrets: PathBuf,
    /// Address space of a compilation.
    pub compile_memory: Size,
    /// CPU time of a compilation.
    pub compile_cpu: Span,
    /// Wall time of a compilation.
    pub compile_wall: Span,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            in_flight: 256,
            waiting: 2_048,
            threads: 0,
            memory: Size::mib(64),
            memory_total: Size::mib(0),
            table_elements: 100_000,
            instances: 50,
            cpu: Span::seconds(5),
            deadline_max: Span::seconds(3_600),
            log: Size::kib(64),
            http_requests: 16,
            http_request: Size::mib(1),
            http_response: Size::mib(8),
            http_connect: Span::seconds(2),
            secrets: PathBuf::new(),
            compile_memory: Size::mib(2_048),
            compile_cpu: Span::seconds(60),
            compile_wall: Span::seconds(90),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// One input, output or event.
    pub payload: Size,
    /// All records of one saga; then it is stuck.
    pub journal: Size,
    /// One component.
    pub wasm: Size,
    /// Steps of one definition.
    pub steps: usize,
    /// Steps of one stage.
    pub stage_steps: usize,
    /// Schedules of one namespace: each has a row and a timer, and takes some kilobytes of journal at each start.
    pub schedules: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload: Size::mib(1),
            journal: Size::mib(64),
            wasm: Size::mib(16),
            steps: 256,
            stage_steps: 64,
            schedules: 100_000,
        }
    }
}

/// `[retention]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// How long an event is kept that no saga took.
    pub events: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: Span::seconds(7 * 86_400) }
    }
}
