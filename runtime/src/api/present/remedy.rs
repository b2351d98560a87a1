//! What helps after a refusal, in words: its hints, each with the command that makes the request which helps.

use crate::engine::port::{Hint, Remedy};

/// What to do about a refusal, with the commands that do it; `None` if it has no hint.
pub fn hint(hints: &[Hint]) -> Option<String> {
    let hints: Vec<String> = hints.iter().map(words).collect();
    (!hints.is_empty()).then(|| hints.join("; "))
}

fn words(Hint { words, remedy }: &Hint) -> String {
    let command = match remedy {
        None => return words.clone(),
        // The command line has no verb that shows a schema.
        Some(Remedy::ShowDefinition(name)) => return format!("{words} GET /v1/definitions/{name}"),
        Some(Remedy::ListSagas) => "list".to_owned(),
        Some(Remedy::ShowSaga(id)) => format!("show {id}"),
        Some(Remedy::StartSaga) => "start".to_owned(),
        Some(Remedy::Deploy) => "deploy FILE.wasm".to_owned(),
        Some(Remedy::ShowModule(name)) => format!("modules {name}"),
        Some(Remedy::Activate(name)) => format!("activate {name} VERSION"),
        Some(Remedy::RevokeByForce(name)) => format!("revoke {name} … --force"),
        Some(Remedy::ListSchedules) => "schedule list".to_owned(),
        Some(Remedy::ShowSchedule(id)) => format!("schedule show {id}"),
        Some(Remedy::ListJobs) => "jobs".to_owned(),
    };
    format!("{words}: amends {command}")
}

#[cfg(test)]
mod tests {
    use amends_core::id::SagaId;
    use expect_test::expect;

    use super::*;
    use crate::engine::port::{Refusal, RefusalCode};

    #[test]
    fn a_refusal_says_what_helps_and_the_command_that_does_it() {
        let refusal = || Refusal::new(RefusalCode::VerbDoesNotFit, "it does not fit");
        let trip = || "trip".to_owned();
        let refusals = [
            refusal(),
            refusal().hint("try again soon"),
            refusal().remedy("they are in", Remedy::ListSagas).remedy("to revoke all the same", Remedy::RevokeByForce(trip())),
            refusal().remedy("look again", Remedy::ShowSaga(SagaId::new("T1").unwrap())),
            refusal().remedy("give a later one, or start the saga now", Remedy::StartSaga),
            refusal().remedy("deploy a module first", Remedy::Deploy),
            refusal().remedy("choose one", Remedy::ShowModule(trip())),
            refusal().remedy("activate another one first", Remedy::Activate(trip())),
            refusal().remedy("its schema is in", Remedy::ShowDefinition(trip())),
            refusal().remedy("look for it", Remedy::ListSchedules),
            refusal().remedy("look again", Remedy::ShowSchedule("nightly".to_owned())),
            refusal().remedy("wait for some, or stop them", Remedy::ListJobs),
        ];
        let hints = refusals.iter().map(|refusal| format!("{}\n", hint(&refusal.hints).as_deref().unwrap_or("no hint")));
        expect![[r#"
            no hint
            try again soon
            they are in: amends list; to revoke all the same: amends revoke trip … --force
            look again: amends show T1
            give a later one, or start the saga now: amends start
            deploy a module first: amends deploy FILE.wasm
            choose one: amends modules trip
            activate another one first: amends activate trip VERSION
            its schema is in GET /v1/definitions/trip
            look for it: amends schedule list
            look again: amends schedule show nightly
            wait for some, or stop them: amends jobs
        "#]]
        .assert_eq(&hints.collect::<String>());
    }
}
