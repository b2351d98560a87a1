//! Triggers: which events start which sagas of a module, the rules of that, and the id of a saga that an event starts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    definition::Definition,
    id::{BadName, SagaId},
    plain::{is_printable, shown},
    validate::Problem,
};

/// An event of this type, addressed to nobody, starts one saga of this name; its input is the event's data.
///
/// It belongs to a version of a module and to no definition: with it or without it, a saga runs and moves the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// A saga of the same module.
    pub saga: String,
    /// The type of the event.
    pub event_type: String,
}

/// The most triggers of a module: each event of a namespace is held against all of its modules.
pub const TRIGGERS_MAX: usize = 64;

/// The longest type of an event: it is a part of row keys.
pub const EVENT_TYPE_BYTES_MAX: usize = 255;

/// Every rule that a module's triggers break, with the saga that each is about. `sagas` is what the module contains.
pub fn problems(triggers: &[Trigger], sagas: &[Arc<Definition>]) -> Vec<Problem> {
    let about = |trigger: &Trigger, problem: String| Problem { saga: trigger.saga.clone(), step: None, problem };
    let mut found = Vec::new();
    if let Some(first) = triggers.get(TRIGGERS_MAX) {
        let problem = format!("with it, events start sagas of its module in {} ways; at most {TRIGGERS_MAX}", triggers.len());
        found.push(about(first, problem));
    }
    for (index, trigger) in triggers.iter().take(TRIGGERS_MAX).enumerate() {
        let event = shown(&trigger.event_type).escape_debug();
        if !sagas.iter().any(|saga| saga.name == trigger.saga) {
            found.push(about(trigger, format!("an event `{event}` is to start it, and the module has no such saga")));
        }
        if !is_event_type(&trigger.event_type) {
            let problem =
                format!("nobody can publish an event `{event}`; a type has 1 to {EVENT_TYPE_BYTES_MAX} printable bytes");
            found.push(about(trigger, problem));
        }
        if triggers[..index].contains(trigger) {
            found.push(about(trigger, format!("the event `{event}` starts it twice; say it once")));
        }
    }
    found
}

/// Whether an event of this type may be published.
pub fn is_event_type(text: &str) -> bool {
    !text.is_empty() && text.len() <= EVENT_TYPE_BYTES_MAX && is_printable(text)
}

/// The id of the saga of this name that an event starts: `fulfil:` and 96 bits of SHA-256 over the event's source and id, so that
/// the same event never starts it twice, however late it is sent again. Fixed for ever.
///
/// # Errors
///
/// The name is none that a saga may have.
pub fn saga_id(saga: &str, source: &str, event: &str) -> Result<SagaId, BadName> {
    let mut hash = Sha256::new();
    for part in [source, event] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let hex: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    SagaId::new(&format!("{saga}:{hex}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    #[test]
    fn an_events_source_and_id_make_the_id_of_what_it_starts_and_no_other_event_makes_the_same() {
        let id = |source, event| saga_id("fulfil", source, event).unwrap().to_string();
        assert_eq!(id("shop", "o-17"), "fulfil:e3c8e9e723ac83c5f48e07bb");
        assert_ne!(id("shop", "o-17"), id("shopo", "-17"));
        assert_ne!(id("shop", "o-17"), id("o-17", "shop"));
        let longest = "a".repeat(63);
        assert_eq!(saga_id(&longest, "shop", "o-17").unwrap().as_str().len(), 63 + 1 + 24);
    }
}
