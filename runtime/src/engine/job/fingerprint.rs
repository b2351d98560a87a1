//! What a verb for many sagas that is sent again under the same key must be equal in.

use amends_core::{job::SagaFilter, view::Status};

use super::request::JobRequest;
use crate::engine::{
    kernel::fingerprint::{Fingerprint, Parts},
    saga,
};

/// The verb, the filter and the note.
pub(crate) fn of_job(request: &JobRequest) -> Fingerprint {
    let parts = saga::fingerprint::verb(Parts::default(), &request.verb);
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
    use amends_core::{
        event::{Act, Resolution},
        verbs::{AskedVerb, Legs, Verb},
    };

    use super::*;

    #[test]
    fn a_verb_for_many_keeps_its_fingerprint() {
        let of = |verb: AskedVerb, filter: SagaFilter| {
            let act = Act { note: "why".into(), by: "who".into() };
            let said_of = format!("{verb:?}");
            let said = of_job(&JobRequest { id: "J1".into(), verb, filter: filter.clone(), act, against: None });
            format!("{} {said_of} {filter:?}\n", hex::encode(&said[..4]))
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
        let verbs = [
            Verb::Cancel,
            Verb::Retry(Legs::All),
            Verb::Skip(Legs::All),
            Verb::Resolve(Legs::All, Resolution::NotDone),
            Verb::Resolve(Legs::All, Resolution::Undone),
            Verb::Abandon,
            Verb::Move(2),
        ]
        .map(|verb| of(verb, SagaFilter::default()));
        let filters = [
            SagaFilter { definition: text(), ..SagaFilter::default() },
            SagaFilter { module: text(), ..SagaFilter::default() },
            all,
        ];
        let said: String = verbs.into_iter().chain(filters.map(|filter| of(Verb::Retry(Legs::All), filter))).collect();
        expect_test::expect![[r#"
            25ff2810 Cancel SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            baa30490 Retry(All) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            44f096f8 Skip(All) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            6bcfa5a7 Resolve(All, NotDone) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            f786af5e Resolve(All, Undone) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            1a598f35 Abandon SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            cc3ecb7d Move(2) SagaFilter { definition: None, status: None, module: None, version: None, step: None, failure: None }
            324b4d30 Retry(All) SagaFilter { definition: Some("x"), status: None, module: None, version: None, step: None, failure: None }
            c88ae73f Retry(All) SagaFilter { definition: None, status: None, module: Some("x"), version: None, step: None, failure: None }
            636fb38a Retry(All) SagaFilter { definition: Some("x"), status: Some(Stuck), module: Some("x"), version: Some(1), step: Some("x"), failure: Some("x") }
        "#]].assert_eq(&said);
    }
}
