//! What a cancel would do, as the wire says it.

use amends_core::{
    event::Code,
    id::Leg,
    preview::{self, Certainty},
    verbs::Rejected,
};
use amends_wire::preview as wire;

/// What a cancel would do, or why it would be refused.
pub fn on_cancel(preview: &Result<preview::CancelPreview, Rejected>) -> wire::CancelPreview {
    let preview::CancelPreview { pivot_decides, under_way, undoing, left, code: Code { version, digest, .. } } = match preview {
        Ok(preview) => preview,
        Err(rejected) => return wire::CancelPreview { refused: Some(rejected.to_string()), ..wire::CancelPreview::default() },
    };
    let mut left: Vec<String> = left.iter().map(|leg| leg.path.as_str().to_owned()).collect();
    left.dedup();
    wire::CancelPreview {
        refused: None,
        under_way: *under_way,
        pivot_decides: *pivot_decides,
        undo: (!is_nothing(undoing)).then(|| said(undoing)),
        left,
        version: Some(*version),
        digest: Some(hex::encode(digest)),
    }
}

fn is_nothing(undoing: &preview::Undoing) -> bool {
    match undoing {
        preview::Undoing::Leg { .. } => false,
        preview::Undoing::InOrder(all) | preview::Undoing::SideBySide(all) => all.is_empty(),
    }
}

fn said(undoing: &preview::Undoing) -> wire::Undoing {
    let all = |all: &[preview::Undoing]| all.iter().map(said).collect();
    match undoing {
        preview::Undoing::Leg { leg, certainty } => step(leg, *certainty),
        preview::Undoing::InOrder(steps) => wire::Undoing::InOrder { parts: all(steps) },
        preview::Undoing::SideBySide(steps) => wire::Undoing::SideBySide { parts: all(steps) },
    }
}

fn step(leg: &Leg, certainty: Certainty) -> wire::Undoing {
    let certainty = match certainty {
        Certainty::Done => wire::Certainty::Done,
        Certainty::MayHaveRun => wire::Certainty::MayHaveRun,
        Certainty::Open => wire::Certainty::Open,
    };
    wire::Undoing::Step { step: leg.path.as_str().to_owned(), certainty }
}
