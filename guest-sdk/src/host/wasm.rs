//! The surroundings in a component: the host's imports.

use crate::bindings::imports::amends::module;
use crate::bindings::projections::amends::module::view;
use crate::host::{EventAt, Row};
use crate::log::Level;
use crate::{Moment, http};

mod folding;
mod libc;
#[path = "../http/wasi.rs"]
mod wasi;

pub(crate) fn now() -> Moment {
    Moment::from_millis(module::context::now())
}

pub(crate) fn attempt_started_at() -> Moment {
    Moment::from_millis(module::context::attempt_started_at())
}

pub(crate) fn new_id() -> String {
    module::context::new_id()
}

pub(crate) fn random_bytes(len: u32) -> Vec<u8> {
    module::context::random_bytes(len)
}

pub(crate) fn config(key: &str) -> Option<String> {
    module::config::get(key)
}

pub(crate) fn secret(name: &str) -> Option<String> {
    module::secrets::get(name)
}

pub(crate) fn send_command(command: &module::types::OutgoingCommand) -> String {
    module::messages::send(command)
}

pub(crate) fn publish(event: &module::types::OutgoingEvent) {
    module::messages::publish(event);
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => module::log::Level::Trace,
        Level::Debug => module::log::Level::Debug,
        Level::Info => module::log::Level::Info,
        Level::Warn => module::log::Level::Warn,
        Level::Error => module::log::Level::Error,
    };
    module::log::log(level, message);
}

pub(crate) fn send(request: &http::Request) -> Result<http::Response, http::Error> {
    wasi::send(request)
}

/// Takes an event into a state.
pub(crate) fn folding<T>(event: EventAt<'_>, evolve: impl FnOnce() -> T) -> T {
    folding::at("evolve", event, evolve)
}

/// Takes an event into the rows of a projection.
pub(crate) fn projecting<T>(event: EventAt<'_>, project: impl FnOnce() -> T) -> T {
    folding::at("project", event, project)
}

/// Lets a policy take an event.
pub(crate) fn handling<T>(event: EventAt<'_>, handle: impl FnOnce() -> T) -> T {
    folding::at("handle", event, handle)
}

pub(crate) fn row(key: &[u8]) -> Option<Vec<u8>> {
    view::get(key)
}

pub(crate) fn put_row(key: &[u8], value: &[u8]) {
    view::put(key, value);
}

pub(crate) fn delete_row(key: &[u8]) {
    view::delete(key);
}

/// At most `limit` rows, which is at most 1,000: smallest key first, or largest first.
pub(crate) fn scan_rows(prefix: &[u8], after: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Row> {
    view::scan(prefix, after, limit, reverse)
}
