//! `amends cancel`: rolls a saga back.

use amends_wire::{
    job::{JobArgs, JobVerb},
    saga::Saga,
    verb,
};
use anyhow::Result;
use clap::Args;

use super::{
    act::{Asks, Common, Revision, act},
    exit::Exit,
    many::Many,
    render::preview,
    session::Session,
};

/// Roll a saga back, in reverse; refused after the point of no return.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends cancel T1 --note 'the customer called'")]
pub(super) struct Cancel {
    /// The saga.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(cancel: &Cancel, session: &Session) -> Result<Exit> {
    let Some(id) = cancel.many.or_one(cancel.id.as_ref())? else {
        return cancel.many.act(session, JobVerb::Cancel, JobArgs::default(), &cancel.common, Asks::First);
    };
    let plan = |saga: &Saga| preview::before_cancel(saga).map(|undone| format!("cancel {id}: {undone}"));
    let body = |revision: Revision| verb::ActRequest { note: cancel.common.note.clone(), expect_revision: revision.agreed() };
    act(session, id, "cancel", &cancel.common, Asks::First, plan, body)
}

#[cfg(test)]
mod tests {
    use amends_wire::{
        error::{ErrorBody, ErrorDetail},
        preview::{CancelPreview, Certainty, Undoing},
    };
    use clap::Parser;

    use super::*;
    use crate::{Cli, Verb, canned, render::samples};

    /// A saga that moves on quickly could not be cancelled: whenever the cancel came, the saga was past the revision that the command
    /// had read.
    #[test]
    fn a_cancel_or_an_abandon_without_a_question_is_held_to_no_revision_but_a_given_one() {
        let saga = Saga { cancel_preview: Some(CancelPreview::default()), ..samples::waiting() };
        let refused = ErrorBody { error: ErrorDetail { message: "as it is".into(), ..ErrorDetail::default() } };
        let sent = |arguments: &[&str]| {
            let (session, serving) = canned::host_of_bodies(vec![canned::json(200, &saga), canned::json(409, &refused)]);
            let sent = match Cli::parse_from(["amends"].iter().chain(arguments)).verb {
                Verb::Cancel(cancel) => run(&cancel, &session),
                Verb::Abandon(abandon) => crate::abandon::run(&abandon, &session),
                Verb::Skip(skip) => crate::skip::run(&skip, &session),
                _ => unreachable!(),
            };
            assert!(sent.unwrap_err().to_string().contains("as it is"));
            let sent: serde_json::Value = serde_json::from_str(&serving.join().unwrap()[1]).unwrap();
            sent["expect_revision"].clone()
        };
        for verb in ["cancel", "abandon"] {
            assert_eq!(sent(&[verb, "T2", "--yes"]), serde_json::Value::Null);
            assert_eq!(sent(&[verb, "T2", "--yes", "--expect-revision", "1"]), "1");
        }
        assert_eq!(sent(&["skip", "T2", "reserve-hotel", "--yes"]), saga.revision.as_str());
    }

    /// C2-16: before a cancel the client guessed from the statuses what would be undone, in forward order and also where the host
    /// refuses; `show` asked the host, and was right. The kind: one decision made in two places. Now the host's preview is what is
    /// said, and where it is a refusal nobody is asked whether to go on: the host answers.
    #[test]
    fn c2_16_before_a_cancel_the_hosts_preview_is_said_and_a_refusal_is_the_hosts() {
        let undo = |step: &str| Undoing::Step { step: step.to_owned(), certainty: Certainty::Done };
        let undo = Some(Undoing::InOrder { parts: vec![undo("reserve-car"), undo("reserve-flight")] });
        let taken = CancelPreview { undo, ..CancelPreview::default() };
        let taken = Saga { cancel_preview: Some(taken), ..samples::waiting() };
        assert_eq!(preview::before_cancel(&taken).as_deref(), Some("undo reserve-car, then reserve-flight"));

        let refused = CancelPreview { refused: Some("it is past its point of no return".into()), ..CancelPreview::default() };
        let refused = Saga { cancel_preview: Some(refused), ..samples::stuck_forward() };
        assert_eq!(preview::before_cancel(&refused), None);
        let error = ErrorDetail { message: "saga T2 is past its point of no return".into(), ..ErrorDetail::default() };
        let (session, serving) = canned::host(vec![canned::json(200, &refused), canned::json(409, &ErrorBody { error })]);
        let Verb::Cancel(cancel) = Cli::parse_from(["amends", "cancel", "T2"]).verb else { unreachable!() };
        assert!(run(&cancel, &session).unwrap_err().to_string().contains("saga T2 is past its point of no return"));
        assert_eq!(serving.join().unwrap()[1], "POST /v1/sagas/T2/cancel HTTP/1.1");
    }
}
