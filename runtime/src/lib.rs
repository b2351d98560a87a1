//! Amends, a durable saga runtime: the library behind the `amends` binary.

pub mod journal;

pub mod store;

pub mod engine;

pub mod origin;

pub mod host;

pub mod service;

pub mod api;

pub mod marker;

pub mod node;

mod clocks;

mod log;

pub mod config;

pub mod client;

pub mod cli;

mod trouble;

mod plain;

mod unfit;

pub use cli::main;
