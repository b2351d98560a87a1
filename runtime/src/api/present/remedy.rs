//! What helps after a refusal, in words: its hint, and the command that makes the request which helps.

use crate::engine::port::{Refusal, Remedy};

/// What to do about a refusal: its hint, and the command that does it.
pub fn hint(refusal: &Refusal) -> Option<String> {
    match (&refusal.hint, &refusal.remedy) {
        (Some(hint), Some(remedy)) => Some(format!("{hint}: {}", command(remedy))),
        (Some(hint), None) => Some(hint.clone()),
        (None, Some(remedy)) => Some(command(remedy)),
        (None, None) => None,
    }
}

fn command(remedy: &Remedy) -> String {
    match remedy {
        Remedy::ListSagas => "amends list".to_owned(),
        Remedy::ShowSaga(id) => format!("amends show {id}"),
        Remedy::StartSaga => "amends start".to_owned(),
        Remedy::Deploy => "amends deploy FILE.wasm".to_owned(),
        Remedy::ShowModule(name) => format!("amends modules {name}"),
        Remedy::Activate(name) => format!("amends activate {name} VERSION"),
        Remedy::RevokeByForce(name) => format!("amends revoke {name} … --force"),
        // The command line has no verb that shows a schema.
        Remedy::ShowDefinition(name) => format!("GET /v1/definitions/{name}"),
        Remedy::ListSchedules => "amends schedule list".to_owned(),
        Remedy::ShowSchedule(id) => format!("amends schedule show {id}"),
        Remedy::ListJobs => "amends jobs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use amends_core::id::SagaId;
    use expect_test::expect;

    use super::*;
    use crate::engine::port::RefusalCode;

    #[test]
    fn a_refusal_says_what_helps_and_the_command_that_does_it() {
        let refusal = || Refusal::new(RefusalCode::VerbDoesNotFit, "it does not fit");
        let trip = || "trip".to_owned();
        let refusals = [
            refusal(),
            refusal().hint("try again soon"),
            refusal().remedy(Remedy::ListSagas),
            refusal().hint("look again").remedy(Remedy::ShowSaga(SagaId::new("T1").unwrap())),
            refusal().hint("give a later one, or start the saga now").remedy(Remedy::StartSaga),
            refusal().hint("deploy a module first").remedy(Remedy::Deploy),
            refusal().hint("choose one").remedy(Remedy::ShowModule(trip())),
            refusal().hint("activate another one first").remedy(Remedy::Activate(trip())),
            refusal().hint("to revoke all the same").remedy(Remedy::RevokeByForce(trip())),
            refusal().hint("its schema is in").remedy(Remedy::ShowDefinition(trip())),
            refusal().hint("look for it").remedy(Remedy::ListSchedules),
            refusal().hint("look again").remedy(Remedy::ShowSchedule("nightly".to_owned())),
            refusal().hint("wait for some, or stop them").remedy(Remedy::ListJobs),
        ];
        let hints = refusals.iter().map(|refusal| format!("{}\n", hint(refusal).as_deref().unwrap_or("no hint")));
        expect![[r#"
            no hint
            try again soon
            amends list
            look again: amends show T1
            give a later one, or start the saga now: amends start
            deploy a module first: amends deploy FILE.wasm
            choose one: amends modules trip
            activate another one first: amends activate trip VERSION
            to revoke all the same: amends revoke trip … --force
            its schema is in: GET /v1/definitions/trip
            look for it: amends schedule list
            look again: amends schedule show nightly
            wait for some, or stop them: amends jobs
        "#]]
        .assert_eq(&hints.collect::<String>());
    }
}
