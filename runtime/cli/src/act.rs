//! The common part of operator verbs: read the saga, print the plan, ask for confirmation on a terminal, act once.

use amends_wire::{
    definition::Kind,
    saga::{RollbackReason, Saga, Status, Step, StepStatus},
    verb::Acted,
};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{
    exit::Exit,
    render::{self, style, text},
    session::{Consent, Form, Session, consent, print, print_json, say},
};

/// The options of every verb.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// The reason; recorded with the user and the time.
    #[arg(long)]
    pub(super) note: Option<String>,
    /// Act only if the saga is at this revision. By default, the revision that the command reads before; for `cancel` and `abandon`
    /// only if they ask for confirmation.
    #[arg(long, value_name = "REVISION")]
    pub(super) expect_revision: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) form: Form,
}

/// Whether a verb destroys something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// The verb destroys something: ask first.
    First,
    /// The verb destroys nothing.
    Never,
}

/// The revision at which a verb finds its saga.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    read: String,
    given: Option<u64>,
    consent: Consent,
}

impl Revision {
    /// For a verb whose meaning depends on the state of the saga, as which attempt it is about.
    pub(super) fn seen(&self) -> String {
        self.given.map_or_else(|| self.read.clone(), |given| given.to_string())
    }

    /// For a verb that means the same in any state: it is held to a revision only if somebody named it, or was shown it and agreed.
    /// Otherwise a saga that moves on all the time would never be at the revision that was read.
    pub(super) fn agreed(&self) -> Option<String> {
        (self.given.is_some() || self.consent == Consent::Given).then(|| self.seen())
    }
}

/// Sends a verb. `plan` describes its effect on the saga that was read; `body` receives the revision.
///
/// A verb that asks for confirmation prints the plan before the question. Other verbs print it after the host has accepted, since
/// a line before a refusal would read as success. Without a plan the host would refuse the verb: it is sent without a question,
/// and the host answers with the reason.
pub(super) fn act<B: Serialize, P: Into<Option<String>>>(
    session: &Session,
    id: &str,
    verb: &str,
    common: &Common,
    asks: Asks,
    plan: impl Fn(&Saga) -> P,
    body: impl Fn(Revision) -> B,
) -> Result<Exit> {
    let saga: Saga = session.client.get(&["v1", "sagas", id], &[])?;
    // The names in it are as they were typed.
    let plan = plan(&saga).into().map(|plan| text::clean(&plan).into_owned());
    let mut consented = Consent::Unasked;
    // No confirmation for an ended saga: the host answers how it ended, or that the verb was given before.
    if !saga.status.is_ended() {
        say(&format!("{} {} is {} at revision {}", saga.saga, saga.id, style::status(saga.status), saga.revision));
        if let Some(plan) = plan.as_ref().filter(|_| asks == Asks::First) {
            say(&format!("would {plan}"));
            consented = consent("go on?", common.yes)?;
            if consented == Consent::Refused {
                say("nothing was done");
                return Ok(Exit::Failed);
            }
        }
    }
    let revision = Revision { read: saga.revision.clone(), given: common.expect_revision, consent: consented };
    let acted: Acted = session.client.post(&["v1", "sagas", id, verb], &body(revision))?;
    if let Some(plan) = plan.filter(|_| asks == Asks::Never && acted.applied) {
        say(&plan);
    }
    if common.form.json {
        print_json(&acted)?;
    } else {
        let repeated = if acted.applied { String::new() } else { format!("  ({}; nothing changed)", unchanged(&saga)) };
        print(&format!("{} {}{repeated}\n", acted.id, style::status(acted.status)))?;
        if !acted.status.is_ended() && acted.status != Status::Stuck {
            say(&format!("follow it with `amends watch {}`", acted.id));
        }
    }
    Ok(Exit::Fine)
}

/// Why a verb changed nothing, from the saga that was read before.
fn unchanged(saga: &Saga) -> String {
    match &saga.rollback {
        Some(rollback) if !saga.status.is_ended() && rollback.reason != RollbackReason::Cancelled => {
            format!("it is rolling back already ({})", render::journal::reason(rollback))
        }
        _ => "it had been asked before".to_owned(),
    }
}

/// The steps that are done or may have run, whose effects remain if they are not undone, in words.
pub(super) fn outstanding(saga: &Saga) -> Option<String> {
    let counts = |step: &&Step| step.undo_declared || step.kind != Kind::Compensatable;
    let stands = |step: &&Step| match step.status {
        StepStatus::Compensated => false,
        StepStatus::Done | StepStatus::Skipped | StepStatus::Compensating => true,
        StepStatus::Stuck => step.undo.is_some() || step.may_have_run,
        StepStatus::Pending
        | StepStatus::Running
        | StepStatus::Waiting
        | StepStatus::BackingOff
        | StepStatus::Refused
        | StepStatus::Unknown => step.may_have_run,
    };
    let name = |step: &Step| if step.may_have_run { format!("{} (may have run)", step.name) } else { step.name.clone() };
    let names: Vec<String> = saga.steps.iter().filter(counts).filter(stands).map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_verb_that_means_the_same_in_any_state_is_held_to_the_revision_that_was_named_or_agreed_to() {
        let held = |given, consent| Revision { read: "7".to_owned(), given, consent }.agreed();
        assert_eq!(held(None, Consent::Unasked), None);
        assert_eq!(held(None, Consent::Given).as_deref(), Some("7"));
        assert_eq!(held(Some(5), Consent::Unasked).as_deref(), Some("5"));
        assert_eq!(held(Some(5), Consent::Given).as_deref(), Some("5"));
    }

    /// A cancel of a saga that rolled back for a reason of its own was told that it had been asked before, and nobody had.
    #[test]
    fn a_cancel_that_comes_after_the_rollback_is_told_what_began_it() {
        assert_eq!(unchanged(&samples::stuck_in_rollback()), "it is rolling back already (refused by reserve-car)");
        assert_eq!(unchanged(&samples::waiting()), "it had been asked before");
        assert_eq!(unchanged(&samples::compensated()), "it had been asked before");
    }

    #[test]
    fn before_an_abandon_what_leaves_nothing_to_undo_is_not_named() {
        // Steps that say `undo: nothing` were named among what stays.
        let stays = |saga: &Saga| outstanding(saga).unwrap_or_default();
        let mut saga = samples::stuck_forward();
        saga.steps[3].may_have_run = false;
        saga.steps[1].undo_declared = false;
        assert_eq!(stays(&saga), "reserve-flight, reserve-car");
        saga.steps[3].may_have_run = true;
        assert_eq!(stays(&saga), "reserve-flight, reserve-car, charge (may have run)");
        assert_eq!(stays(&samples::waiting()), "reserve-flight");
        assert_eq!(stays(&samples::stuck_in_rollback()), "reserve-flight, reserve-hotel");
        assert_eq!(outstanding(&samples::compensated()), None);
    }

    /// C2-13: `null` as an output reads as none, and was taken for the mark.
    #[test]
    fn c2_13_before_an_abandon_a_step_that_is_done_and_returned_nothing_is_not_in_doubt() {
        let mut saga = samples::waiting();
        saga.steps[0].output = None;
        assert_eq!(outstanding(&saga).as_deref(), Some("reserve-flight"));
    }
}
