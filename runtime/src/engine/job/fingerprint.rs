//! What a verb for many sagas that is sent again under the same key must be equal in.

use amends_core::{
    job::{JobVerb, SagaFilter},
    view::Status,
};

use super::request::JobRequest;
use crate::engine::kernel::fingerprint::{Fingerprint, Parts};

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

#[cfg(test)]
mod tests {
    use amends_core::event::Act;

    use super::*;

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
}
