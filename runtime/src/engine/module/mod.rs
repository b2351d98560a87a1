//! Modules: what is deployed, what is active, what each may reach.
//!
//! - [`request`]: what may be asked; `deploy`: what it means
//! - [`state`], the fold of the module streams; `schema`, whether an input fits a definition; `recover`, start-up

pub mod request;

mod deploy;

pub mod state;

pub(crate) mod schema;

pub(crate) mod recover;

pub use self::state::Definitions;
pub(crate) use self::{
    deploy::{
        Decided, InFlight, activate, deploy, grants, lift_quarantine, no_module, no_version, number_of, quarantine, record,
        remove, views,
    },
    state::{Active, ActiveAggregate, ActivePolicy, ActiveProjection, Aggregate, Module, Modules, Named, Projection, Version},
};
