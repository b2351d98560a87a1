//! A request that a person decides on: it waits for the decision until a deadline, then for a time in which it can be
//! called off, and is recorded. While it waits it is a few rows on the host's disk, for minutes or for months.

#![forbid(unsafe_code)]

use std::time::Duration;

use amends_sdk::{Call, Module, Result, Saga, Step, context, log, refused};
use serde::{Deserialize, Serialize};

/// The version that the outputs name.
pub const VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };

/// What to decide on.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// The number that the decision names; the saga's id if it is missing.
    #[serde(default)]
    pub request_id: Option<String>,
    /// What is asked for.
    #[serde(default = "something")]
    pub subject: String,
    /// How long to wait for the decision, in seconds; an hour if it is missing.
    #[serde(default = "an_hour")]
    pub decide_within_s: u64,
    /// How long the decision can still be called off, in seconds; not at all if it is missing.
    #[serde(default)]
    pub cool_off_s: u64,
}

/// The data of the event `approval`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Yes or no.
    pub approved: bool,
    /// Who decided.
    #[serde(default = "somebody")]
    pub by: String,
}

/// A request that somebody has to decide on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened {
    /// The key of the event to send.
    pub request_id: String,
}

/// What came of the request; the saga's output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The number that the decision named.
    pub request_id: String,
    /// What was asked for.
    pub subject: String,
    /// Who approved it.
    pub approved_by: String,
    /// The version of the module that recorded it.
    pub version: u32,
}

/// The saga.
pub fn approval() -> Saga<Request> {
    Saga::new("approval")
        .version(VERSION)
        .step(Step::compensatable("request", request).effect_free().undo(withdraw).undo_effect_free())
        .step(Step::compensatable("decide", decide).effect_free().needs(["request"]).undo_nothing())
        .step(Step::compensatable("cool-off", cool_off).effect_free().undo_nothing())
        .step(Step::retriable("record", record).effect_free().needs(["request", "decide"]))
}

/// The module.
pub fn module() -> Module {
    Module::new("approval").saga(approval())
}
amends_sdk::export!(saga: module);

fn request(request: Request, call: &Call) -> Result<Opened> {
    let request_id = request.request_id.unwrap_or_else(|| call.saga().to_owned());
    log::info!("{request_id} asks for {}", request.subject);
    Ok(Opened { request_id })
}

fn withdraw(request: Request, _: Option<Opened>, _: &Call) -> Result {
    log::info!("{} is withdrawn", request.subject);
    Ok(())
}

/// Is called twice: to say what it waits for, and when that has come.
fn decide(request: Request, call: &Call) -> Result<Decision> {
    let opened: Opened = call.output("request")?;
    let deadline = context::now() + Duration::from_secs(request.decide_within_s);
    let Some(event) = call.event_until("approval", &opened.request_id, deadline)? else {
        return Err(refused("nobody_decided", format_args!("nobody decided until {deadline}")));
    };
    let decision: Decision = event.data()?;
    match decision.approved {
        true => Ok(decision),
        false => Err(refused("denied", format_args!("{} said no", decision.by))),
    }
}

/// Until this is over the request can be cancelled; recorded, it stands.
fn cool_off(request: Request, call: &Call) -> Result {
    match request.cool_off_s {
        0 => Ok(()),
        seconds => call.sleep(Duration::from_secs(seconds)),
    }
}

fn record(request: Request, call: &Call) -> Result<Record> {
    let opened: Opened = call.output("request")?;
    let decision: Decision = call.output("decide")?;
    let (request_id, subject) = (opened.request_id, request.subject);
    Ok(Record { request_id, subject, approved_by: decision.by, version: VERSION })
}

fn something() -> String {
    "something".to_owned()
}

fn somebody() -> String {
    "somebody".to_owned()
}

fn an_hour() -> u64 {
    3600
}

#[cfg(test)]
mod tests {
    use super::*;
    use amends_sdk::testing::given;
    use serde_json::json;

    #[test]
    fn an_approved_request_is_recorded() {
        let run = given(approval())
            .when(json!({"request_id": "R1", "subject": "a desk"}))
            .then(
                "request done
                 decide waits for event approval/R1 until +1h",
            )
            .event("approval", "R1", json!({"approved": true, "by": "ada"}))
            .then(
                "decide done
                 cool-off done
                 record done
                 completed",
            );
        let (request_id, subject, approved_by) = ("R1".to_owned(), "a desk".to_owned(), "ada".to_owned());
        assert_eq!(run.output::<Record>(), Record { request_id, subject, approved_by, version: VERSION });
    }

    #[test]
    fn a_denied_request_is_withdrawn() {
        given(approval()).id("R2").when(json!({})).event("approval", "R2", json!({"approved": false, "by": "bob"})).then(
            "request done
             decide waits for event approval/R2 until +1h
             decide refused denied
             undo request done
             compensated denied",
        );
    }

    #[test]
    fn a_request_that_nobody_decides_on_is_withdrawn_at_the_deadline() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        given(approval())
            .when(json!({"decide_within_s": 600}))
            .advance(minutes(9))
            .then(
                "request done
                 decide waits for event approval/test until +10min",
            )
            .advance(minutes(1))
            .then(
                "decide refused nobody_decided
                 undo request done
                 compensated nobody_decided",
            );
    }

    #[test]
    fn while_it_cools_off_a_request_can_be_called_off() {
        let cooling = || {
            given(approval()).when(json!({"cool_off_s": 30})).event("approval", "test", json!({"approved": true})).then(
                "request done
                     decide waits for event approval/test until +1h
                     decide done
                     cool-off waits until +30s",
            )
        };
        cooling().cancel().then(
            "cancelled
             undo request done
             compensated cancelled",
        );
        cooling().advance(Duration::from_secs(30)).then(
            "cool-off done
             record done
             completed",
        );
    }

    #[test]
    fn a_decision_that_makes_no_sense_does_not_end_the_wait() {
        let run = given(approval()).when(json!({})).event("approval", "test", json!("maybe"));
        let run = run.event("approval", "test", json!({"approved": true})).then(
            "request done
             decide waits for event approval/test until +1h ×2
             decide done
             cool-off done
             record done
             completed",
        );
        assert!(run.logs()[1].starts_with("warn passed over event event-1 of type approval"));
    }
}
