//! The engine: one single-threaded value per shard that owns its sagas.

pub mod guests;

pub mod port;
