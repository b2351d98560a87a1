//! What a verb that is sent again under the same key must be equal in.

use amends_core::event::Resolution;

use super::request::{Intervention, StepVerb, Verb, VerbRequest};
use crate::engine::kernel::fingerprint::{Fingerprint, Parts};

/// The saga, the verb with all that it says, and the note. Who asked and at which revision may differ.
pub(crate) fn of_verb(request: &VerbRequest) -> Fingerprint {
    let parts = Parts::default().part(request.id.as_str());
    let verb = match &request.asked {
        Intervention::Verb(verb) => verb,
        Intervention::Steps(verb, paths) => {
            let parts = parts.part(match verb {
                StepVerb::Skip => "skip each",
                StepVerb::NotDone => "each not done",
                StepVerb::Undone => "each undone",
            });
            let parts = paths.iter().fold(parts, |parts, path| parts.part(path.as_str()));
            return parts.part(&request.act.note).done();
        }
        Intervention::Move(version) => {
            return parts.part("move").part(version.to_be_bytes()).part(&request.act.note).done();
        }
    };
    let parts = match verb {
        Verb::Cancel => parts.part("cancel"),
        Verb::Retry(None) => parts.part("retry"),
        Verb::Retry(Some(step)) => parts.part("retry step").part(step.as_str()),
        Verb::RetryLegs(legs) => legs.iter().fold(parts.part("retry legs"), |parts, leg| parts.part(leg.to_string())),
        Verb::Skip(step) => parts.part("skip").part(step.as_str()),
        Verb::Resolve(step, resolution) => {
            let parts = parts.part("resolve").part(step.as_str());
            match resolution {
                Resolution::Output(output) => parts.part("output").payload(output),
                Resolution::NotDone => parts.part("not done"),
                Resolution::Undone => parts.part("undone"),
            }
        }
        Verb::Unlock(key) => parts.part("unlock").part(key),
        Verb::Abandon => parts.part("abandon"),
    };
    parts.part(&request.act.note).done()
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
            Verb::Retry(None),
            Verb::Retry(Some(step.clone())),
            Verb::Skip(step.clone()),
            Verb::Resolve(step.clone(), Resolution::Output(Payload::json("1"))),
            Verb::Resolve(step.clone(), Resolution::Output(Payload::opaque("1"))),
            Verb::Resolve(step.clone(), Resolution::NotDone),
            Verb::Resolve(step, Resolution::Undone),
            Verb::Abandon,
            Verb::Unlock("seat/12A".into()),
            Verb::RetryLegs([Leg::forward(StepPath::new("pay"))].into()),
        ];
        let verbs = verbs.into_iter().map(Intervention::Verb).chain([Intervention::Move(2)]);
        let said: String = verbs.map(|verb| shown(verb, "why")).collect();
        expect_test::expect![[r#"
            d732b4a4 Verb(Cancel)
            2e624660 Verb(Retry(None))
            702bbd2e Verb(Retry(Some(StepPath("pay"))))
            e6320891 Verb(Skip(StepPath("pay")))
            a4b19bb1 Verb(Resolve(StepPath("pay"), Output(Payload { format: Json, bytes: b"1" })))
            0bb88b04 Verb(Resolve(StepPath("pay"), Output(Payload { format: Bytes, bytes: b"1" })))
            9bab396a Verb(Resolve(StepPath("pay"), NotDone))
            5de934ea Verb(Resolve(StepPath("pay"), Undone))
            fe8b7db6 Verb(Abandon)
            28b855ef Verb(Unlock("seat/12A"))
            e5a96771 Verb(RetryLegs({Leg { path: StepPath("pay"), alternate: 0, round: 0, direction: Forward }}))
            ab81a72b Move(2)
        "#]]
        .assert_eq(&said);
        let cancel = || Intervention::Verb(Verb::Cancel);
        assert_ne!(shown(cancel(), ""), shown(cancel(), "why"));
    }

    fn shown(asked: Intervention, note: &str) -> String {
        let act = Act { note: note.into(), by: "who".into() };
        let id = SagaId::new("T1").unwrap();
        let name = format!("{asked:?}");
        format!("{} {name}\n", hex::encode(&of_verb(&VerbRequest { id, asked, act, expect_revision: None })[..4]))
    }
}
