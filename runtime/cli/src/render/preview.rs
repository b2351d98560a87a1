//! What a cancel would do, in one line.

use amends_wire::{
    preview::{CancelPreview, Certainty, Undoing},
    saga::Saga,
};

use super::text::{clean, short};

/// Of many side by side so many are named.
const NAMED_MAX: usize = 4;

/// What `amends cancel` would do to the saga; none once there is nothing to cancel.
pub(crate) fn line(saga: &Saga) -> Option<String> {
    let preview = saga.cancel_preview.as_ref().filter(|_| !saga.status.is_ended())?;
    Some(format!("on cancel: {}", clean(&in_words(saga, preview))))
}

/// The same, to be said before a cancel is sent; none if the host would refuse it, or has not said.
pub(crate) fn before_cancel(saga: &Saga) -> Option<String> {
    let preview = saga.cancel_preview.as_ref().filter(|preview| preview.refused.is_none())?;
    Some(in_words(saga, preview))
}

fn in_words(saga: &Saga, preview: &CancelPreview) -> String {
    if let Some(refused) = &preview.refused {
        return format!("refused, {refused}");
    }
    if preview.under_way {
        return "nothing changes, the saga is rolling back already".to_owned();
    }
    let undone = preview.undo.as_ref().map_or_else(|| "nothing is to be undone".to_owned(), |undo| format!("undo {}", all(undo)));
    let code = preview.version.zip(preview.digest.as_ref());
    let code = code.filter(|_| preview.undo.is_some());
    let code = code.map(|(version, digest)| format!(", on {} v{version} ({})", saga.module, short(digest))).unwrap_or_default();
    let left = match preview.left.as_slice() {
        [] => String::new(),
        left => format!("; nothing to undo in {}", left.join(", ")),
    };
    let pivot = if preview.pivot_decides { "if the open pivot is not done, " } else { "" };
    format!("{pivot}{undone}{code}{left}")
}

fn all(undoing: &Undoing) -> String {
    match undoing {
        Undoing::Step { step, certainty } => match certainty {
            Certainty::MayHaveRun => format!("{step} (may have run)"),
            Certainty::Open => format!("{step} (an attempt is open)"),
            Certainty::Done => step.clone(),
        },
        Undoing::InOrder { parts } => parts.iter().map(all).collect::<Vec<_>>().join(", then "),
        Undoing::SideBySide { parts } => {
            let mut names: Vec<String> = parts.iter().take(NAMED_MAX).map(all).collect();
            let more = parts.len().saturating_sub(NAMED_MAX);
            names.extend((more > 0).then(|| format!("…{more} more")));
            format!("({})", names.join(" ‖ "))
        }
    }
}

#[cfg(test)]
mod tests {
    use amends_wire::saga::Status;
    use expect_test::expect;

    use super::*;
    use crate::render::samples;

    fn step(step: &str, certainty: Certainty) -> Undoing {
        Undoing::Step { step: step.to_owned(), certainty }
    }

    #[test]
    fn a_cancel_is_told_in_its_order_with_what_is_not_certain() {
        let rooms = (1..=6).map(|room| step(&format!("book[{room}]"), Certainty::Done)).collect();
        let in_order =
            vec![step("car", Certainty::Open), Undoing::SideBySide { parts: rooms }, step("flight", Certainty::MayHaveRun)];
        let base = CancelPreview { version: Some(2), digest: Some("3f9c51d0072e0000".to_owned()), ..CancelPreview::default() };
        let undo = Some(Undoing::InOrder { parts: in_order });
        let previews = [
            CancelPreview { undo: undo.clone(), ..base.clone() },
            CancelPreview { undo, pivot_decides: true, left: vec!["note".to_owned()], ..base.clone() },
            base.clone(),
            CancelPreview { under_way: true, ..base },
            CancelPreview { refused: Some("it is past its point of no return".to_owned()), ..CancelPreview::default() },
        ];
        let printed = |preview| line(&Saga { cancel_preview: Some(preview), ..samples::waiting() }).unwrap() + "\n";
        expect![[r#"
            on cancel: undo car (an attempt is open), then (book[1] ‖ book[2] ‖ book[3] ‖ book[4] ‖ …2 more), then flight (may have run), on trip v2 (3f9c51d0072e)
            on cancel: if the open pivot is not done, undo car (an attempt is open), then (book[1] ‖ book[2] ‖ book[3] ‖ book[4] ‖ …2 more), then flight (may have run), on trip v2 (3f9c51d0072e); nothing to undo in note
            on cancel: nothing is to be undone
            on cancel: nothing changes, the saga is rolling back already
            on cancel: refused, it is past its point of no return
        "#]]
        .assert_eq(&previews.into_iter().map(printed).collect::<String>());
        let ended = Saga { status: Status::Completed, cancel_preview: Some(CancelPreview::default()), ..samples::waiting() };
        assert_eq!(line(&ended), None);
    }
}
