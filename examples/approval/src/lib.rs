//! A request on which a person decides. The saga waits for the decision until a deadline, then for a time in which the request
//! can be cancelled, and then records it. While it waits it takes a few rows on the host's disk, for minutes or for months.

#![forbid(unsafe_code)]

use std::time::Duration;

use amends_sdk::{Call, Module, Result, Saga, Step, context, log, refused};
use serde::{Deserialize, Serialize};

/// The version that the outputs name.
pub const VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };

/// The input: the request.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// The id of the request, which is the key of the event; by default the saga's id.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The subject of the request.
    #[serde(default = "something")]
    pub subject: String,
    /// How long to wait for the decision, in seconds; an hour if it is missing.
    #[serde(default = "an_hour")]
    pub decide_within_s: u64,
    /// How long the request can be cancelled after the approval, in seconds; 0 by default.
    #[serde(default)]
    pub cool_off_s: u64,
}

/// The data of the event `approval`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the request is approved.
    pub approved: bool,
    /// Who decided.
    #[serde(default = "somebody")]
    pub by: String,
}

/// The output of `request`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened {
    /// The key of the event to send.
    pub request_id: String,
}

/// The output of the saga.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The id of the request.
    pub request_id: String,
    /// The subject.
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

/// The host calls it twice: the first call returns the wait, the second call receives the event.
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

/// The request can be cancelled until this step is done.
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
