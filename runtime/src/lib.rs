//! The host of Amends, a durable saga runtime, as a library. The command line, settings and logs are the crate `amends`, so that a
//! change there compiles nothing of this.

pub mod journal;

pub mod store;

pub mod engine;

pub mod origin;

pub mod host;

pub mod service;

pub mod api;

pub mod marker;

pub mod node;

pub mod stages;

pub mod held;

pub mod clocks;

pub mod trouble;

pub mod plain;

pub mod unfit;
