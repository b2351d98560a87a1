//! What a verb that is sent again under the same key must be equal in.

use amends_core::{
    event::Resolution,
    verbs::{AskedVerb, Legs, Verb},
};

use super::request::VerbRequest;
use crate::engine::kernel::fingerprint::{Fingerprint, Parts};

/// The saga, the verb with all that it says, and the note. Who asked and at which revision may differ.
pub(crate) fn of_verb(request: &VerbRequest) -> Fingerprint {
    verb(Parts::default().part(request.id.as_str()), &request.asked).part(&request.act.note).done()
}

/// The verb with all that it says.
pub(crate) fn verb(parts: Parts, verb: &AskedVerb) -> Parts {
    match verb {
        Verb::Cancel => parts.part("cancel"),
        Verb::Retry(asked) => legs(parts, ["retry", "retry step", "retry each", "retry legs"], asked),
        Verb::Skip(asked) => legs(parts, ["skip", "skip", "skip each", "skip legs"], asked),
        Verb::Resolve(asked, Resolution::NotDone) if !matches!(asked, Legs::Of(_)) => {
            legs(parts, ["resolve not done", "", "each not done", "legs not done"], asked)
        }
        Verb::Resolve(asked, Resolution::Undone) if !matches!(asked, Legs::Of(_)) => {
            legs(parts, ["resolve undone", "", "each undone", "legs undone"], asked)
        }
        Verb::Resolve(asked, resolution) => {
            let parts = legs(parts, ["resolve", "resolve", "resolve each", "resolve legs"], asked);
            match resolution {
                Resolution::Output(output) => parts.part("output").payload(output),
                Resolution::NotDone => parts.part("not done"),
                Resolution::Undone => parts.part("undone"),
            }
        }
        Verb::Unlock(key) => parts.part("unlock").part(key),
        Verb::Move(version) => parts.part("move").part(version.to_be_bytes()),
        Verb::Abandon => parts.part("abandon"),
    }
}

/// A verb, by what it is called for each kind of legs, and which these are.
fn legs(parts: Parts, [all, of, of_each, these]: [&str; 4], legs: &Legs) -> Parts {
    match legs {
        Legs::All => parts.part(all),
        Legs::Of(step) => parts.part(of).part(step.as_str()),
        Legs::OfEach(steps) => steps.iter().fold(parts.part(of_each), |parts, step| parts.part(step.as_str())),
        Legs::These(legs) => legs.iter().fold(parts.part(these), |parts, leg| parts.part(leg.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use amends_core::{
        Payload,
        event::Act,
        id::{Leg, SagaId, StepPath},
    };

    use super::*;

    /// A fingerprint was made of how Rust shows a verb for debugging: with another name in the code, the repeat of a verb that an
    /// older build had done would have been refused as another request. These are what is stored, and stay.
    #[test]
    fn a_verb_keeps_its_fingerprint() {
        let step = StepPath::new("pay");
        let verbs = [
            Verb::Cancel,
            Verb::Retry(Legs::All),
            Verb::Retry(Legs::Of(step.clone())),
            Verb::Skip(Legs::Of(step.clone())),
            Verb::Resolve(Legs::Of(step.clone()), Resolution::Output(Payload::json("1"))),
            Verb::Resolve(Legs::Of(step.clone()), Resolution::Output(Payload::opaque("1"))),
            Verb::Resolve(Legs::Of(step.clone()), Resolution::NotDone),
            Verb::Resolve(Legs::Of(step), Resolution::Undone),
            Verb::Abandon,
            Verb::Unlock("seat/12A".into()),
            Verb::Retry(Legs::These([Leg::forward(StepPath::new("pay"))].into())),
            Verb::Move(2),
        ];
        let said: String = verbs.into_iter().map(|verb| shown(verb, "why")).collect();
        expect_test::expect![[r#"
            d732b4a4 Cancel
            2e624660 Retry(All)
            702bbd2e Retry(Of(StepPath("pay")))
            e6320891 Skip(Of(StepPath("pay")))
            a4b19bb1 Resolve(Of(StepPath("pay")), Output(Payload { format: Json, bytes: b"1" }))
            0bb88b04 Resolve(Of(StepPath("pay")), Output(Payload { format: Bytes, bytes: b"1" }))
            9bab396a Resolve(Of(StepPath("pay")), NotDone)
            5de934ea Resolve(Of(StepPath("pay")), Undone)
            fe8b7db6 Abandon
            28b855ef Unlock("seat/12A")
            e5a96771 Retry(These({Leg { path: StepPath("pay"), alternate: 0, round: 0, direction: Forward }}))
            ab81a72b Move(2)
        "#]]
        .assert_eq(&said);
        let cancel = || Verb::Cancel;
        assert_ne!(shown(cancel(), ""), shown(cancel(), "why"));
    }

    fn shown(asked: AskedVerb, note: &str) -> String {
        let act = Act { note: note.into(), by: "who".into() };
        let id = SagaId::new("T1").unwrap();
        let name = format!("{asked:?}");
        format!("{} {name}\n", hex::encode(&of_verb(&VerbRequest { id, asked, act, expect_revision: None })[..4]))
    }
}
