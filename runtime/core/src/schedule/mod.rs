//! Schedules: sagas that are started at a time, after a delay, or by a cron expression.
//!
//! A schedule is the fold of its facts, and [`Schedule::decide`] says what is to be done with it at a moment. Which moments an
//! expression names in its time zone is the caller's: a [`Calendar`].

mod facts;

mod state;

mod decide;

pub use self::{
    decide::{Calendar, Decision, Due},
    facts::{Overlap, Reason, ScheduleEvent, Spec, When},
    state::{Fired, Missed, Schedule, Waiting},
};
