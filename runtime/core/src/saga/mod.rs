//! The saga: what a module declares about one, its state, and what is decided about it.
//!
//! The whole of it is five words:
//!
//! | word | meaning |
//! |---|---|
//! | [`Saga::start`] | decides the first events of a new saga |
//! | [`Saga::replay`] | folds recorded events back into a saga |
//! | [`Saga::handle`] | decides what an input means, and applies it |
//! | [`Saga::apply`] | the only mutator: one event onto the state |
//! | [`Saga::effects`] | what the state wants from the outside now; asked, never remembered |

pub mod definition;

pub mod plan;

pub mod validate;

pub mod elements;

pub mod command;

pub mod lint;

pub mod retry;

mod state;

mod run;

mod live;

mod tree;

mod settle;

mod output;

mod apply;

mod apply_acts;

pub mod handle;

mod reports;

mod messages;

pub mod verbs;

pub mod locks;

pub mod moving;

pub mod effects;

pub mod view;

mod show;

pub mod preview;

pub use self::state::{ReplayError, Saga};
