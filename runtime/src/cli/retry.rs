//! `amends retry`: tries again now.

use anyhow::Result;
use clap::Args;

use super::{
    act::{Asks, Common, act},
    exit::Exit,
    session::Session,
};
use crate::api::wire::{saga::Saga, verb};

/// Try again now what is stuck or backs off, with a fresh budget of attempts.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends retry T1\n  amends retry T1 reserve-hotel --note 'the hotel is back'")]
pub(super) struct Retry {
    /// The saga.
    id: String,
    /// Only this step.
    step: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(retry: &Retry, session: &Session) -> Result<Exit> {
    let plan = |saga: &Saga| match (&retry.step, saga.stuck.as_slice()) {
        (Some(step), _) => format!("retry {step} of {}", retry.id),
        (None, []) => format!("retry what backs off in {}", retry.id),
        (None, stuck) => {
            let legs: Vec<String> = stuck.iter().map(|stuck| format!("{} ({})", stuck.step, stuck.direction)).collect();
            format!("retry {} of {}", legs.join(", "), retry.id)
        }
    };
    let body =
        |revision| verb::Retry { step: retry.step.clone(), note: retry.common.note.clone(), expect_revision: Some(revision) };
    act(session, &retry.id, "retry", &retry.common, Asks::Never, plan, body)
}
