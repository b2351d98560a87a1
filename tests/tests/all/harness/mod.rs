//! What the scenarios stand on: hosts, their API, participants, and the laws that hold whatever a scenario is about.

pub(crate) mod api;

pub(crate) mod guests;

pub(crate) mod folder;

pub(crate) mod host;

pub(crate) mod duplicator;

pub(crate) mod laws;

pub(crate) mod desk;

pub(crate) mod probe;
