//! What a request that is sent again under the same key must be equal in.
//!
//! A fingerprint is stored with the first answer, and compared by later builds: what it is made of is written out here, so that
//! no new name in the code makes another request of the same one. Never change it; a new verb is a new word.

use amends_core::{
    event::Resolution,
    id::SagaId,
    value::{Format, Payload},
    view::Status,
};
use sha2::{Digest, Sha256};

use crate::engine::port::{Intervention, JobRequest, JobVerb, Publish, SagaFilter, StepVerb, Verb, VerbRequest};

/// SHA-256 of the parts, each behind its length.
pub(crate) type Fingerprint = [u8; 32];

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

/// The verb, the filter and the note.
pub(crate) fn of_job(request: &JobRequest) -> Fingerprint {
    let parts = match request.verb {
        JobVerb::Cancel => Parts::default().part("cancel"),
        JobVerb::Retry => Parts::default().part("retry"),
        JobVerb::Skip => Parts::default().part("skip"),
        JobVerb::NotDone => Parts::default().part("resolve not done"),
        JobVerb::Undone => Parts::default().part("resolve undone"),
        JobVerb::Abandon => Parts::default().part("abandon"),
        JobVerb::Move(version) => Parts::default().part("move").part(version.to_be_bytes()),
    };
    let SagaFilter { definition, status, module, version, step, failure } = &request.filter;
    let version = version.map(|version| version.to_string());
    [
        definition.as_deref(),
        status.map(Status::as_str),
        module.as_deref(),
        version.as_deref(),
        step.as_deref(),
        failure.as_deref(),
    ]
    .into_iter()
    .fold(parts, |parts, said| match said {
        Some(said) => parts.part("only").part(said),
        None => parts.part("any"),
    })
    .part(&request.act.note)
    .done()
}

/// To whom, the name, the key, and the data byte by byte.
pub(crate) fn of_signal(publish: &Publish) -> Fingerprint {
    let to = publish.to.as_ref().map_or("", SagaId::as_str);
    let parts = Parts::default().part(to).part(&publish.event_type).part(&publish.key);
    publish.data.iter().fold(parts, Parts::payload).done()
}

#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn done(self) -> Fingerprint {
        self.0.finalize().into()
    }

    fn payload(self, payload: &Payload) -> Self {
        let format = match payload.format {
            Format::Json => "json",
            Format::Bytes => "bytes",
        };
        self.part(format).part(&payload.bytes)
    }
}

#[cfg(test)]
mod tests {
    use amends_core::{
        event::Act,
        id::{Leg, StepPath},
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

    #[test]
    fn a_verb_for_many_keeps_its_fingerprint() {
        use JobVerb::{Abandon, Cancel, Move, NotDone, Retry, Skip, Undone};
        let of = |verb, filter: SagaFilter| {
            let act = Act { note: "why".into(), by: "who".into() };
            let said = of_job(&JobRequest { id: "J1".into(), verb, filter: filter.clone(), act, against: None });
            format!("{} {verb:?} {filter:?}\n", hex::encode(&said[..4]))
        };
        let text = || Some("x".to_owned());
        let all = SagaFilter {
            definition: text(),
            status: Some(Status::Stuck),
            module: text(),
            version: Some(1),
            step: text(),
            failure: text(),
        };
        let verbs = [Cancel, Retry, Skip, NotDone, Undone, Abandon, Move(2)].map(|verb| of(verb, SagaFilter::default()));
        let filters = [
            SagaFilter { definition: text(), ..SagaFilter::default() },
            SagaFilter { module: text(), ..SagaFilter::default() },
            all,
        ];
        let said: String = verbs.into_iter().chain(filters.map(|filter| of(Retry, filter))).collect();
        expect_test::expect![[r#"
            25ff2810 Cancel SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            baa30490 Retry SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            44f096f8 Skip SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            6bcfa5a7 NotDone SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            f786af5e Undone SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            1a598f35 Abandon SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            cc3ecb7d Move(2) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            324b4d30 Retry SagaFilter { definition: Some("x"), status: None, module: None, version: None, step: None, failure: None }
            c88ae73f Retry SagaFilter { definition: None, status: None, module: Some("x"), version: None, step: None, failure: None }
            636fb38a Retry SagaFilter { definition: Some("x"), status: Some(Stuck), module: Some("x"), version: Some(1), step: Some("x"), failure: Some("x") }
        "#]].assert_eq(&said);
    }

    fn shown(asked: Intervention, note: &str) -> String {
        let act = Act { note: note.into(), by: "who".into() };
        let id = SagaId::new("T1").unwrap();
        let name = format!("{asked:?}");
        format!("{} {name}\n", hex::encode(&of_verb(&VerbRequest { id, asked, act, expect_revision: None })[..4]))
    }
}
