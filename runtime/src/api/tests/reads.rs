//! Lists, the host itself, and the description of it all.

use amends_core::{Event, view::Status};
use expect_test::expect;

use super::{answer, check};
use crate::{
    api::fake::{Fake, NOON, completed},
    engine::port::{Refusal, RefusalCode},
    journal::{Actor, Fact, Record, RecordId},
};

#[test]
fn lists_page_by_an_opaque_cursor() {
    let fake = Fake::new();
    answer(&fake, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    fake.take_asked();
    expect![[r#"
        200
        {
          "cursor": "0-1-41",
          "sagas": [
            {
              "ended_at": "2026-01-01T12:00:01.300Z",
              "id": "T1",
              "module": "trip",
              "saga": "trip",
              "started_at": "2026-01-01T12:00:00.000Z",
              "status": "completed",
              "version": 1
            }
          ]
        }
    "#]]
    .assert_eq(&answer(
        &fake,
        "GET /v1/sagas?saga=trip&status=waiting&version=2&failure=no_car&limit=5&cursor=0-1-7&at_least=0-1-3",
    ));
    expect![[r#"ListFilter { sagas: SagaFilter { definition: Some("trip"), status: Some(Waiting), module: None, version: Some(2), step: None, failure: Some("no_car") }, limit: 5, cursor: Some(7) }"#]]
        .assert_eq(&fake.take_asked().join("\n"));
}

#[test]
fn the_host_says_how_it_is() {
    assert_eq!(answer(&Fake::new(), "GET /healthz"), "200\n{\n  \"alive\": true\n}\n");
    check(
        "GET /readyz",
        expect![[r#"
        200
        {
          "ready": true,
          "recovered": 12,
          "recovery_ms": 80
        }
    "#]],
    );
    check(
        "GET /metrics",
        expect![[r#"
        200
        # EOF
    "#]],
    );
}

/// `/readyz` said ready of a host that had stopped to do anything. What it says now is what the engine says to a question.
#[test]
fn c2_02_a_host_whose_engine_cannot_answer_is_not_ready() {
    let fake = Fake::new();
    *fake.refuse.lock().unwrap() = Some(Refusal::new(RefusalCode::Overloaded, "8192 requests are waiting"));
    expect![[r#"
        503
        {
          "ready": false,
          "reason": "8192 requests are waiting"
        }
    "#]]
    .assert_eq(&answer(&fake, "GET /readyz"));
}

#[test]
fn every_described_operation_is_routed_and_every_answer_to_it_is_ours() {
    let description = serde_json::to_value(crate::api::openapi::description()).unwrap();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 35);
    for (path, operations) in paths {
        let path = path.replace("{id}", "T1").replace("{name}", "trip").replace("{saga}", "trip").replace("{version}", "1");
        for method in operations.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            if path == "/v1/watch" {
                continue; // It does not end.
            }
            let said = answer(&Fake::new(), &format!("{method} {path}"));
            assert!(!said.contains("route_not_found") && !said.contains("method_not_allowed"), "{method} {path}: {said}");
        }
    }
    let text = description.to_string();
    for absent in ["aggregate", "projection"] {
        assert!(!text.contains(absent), "{absent} is described and does not exist");
    }
}

/// Every query parameter was described as a required part of the path, so a generated client could call none of these operations:
/// the types that they are read from do not say where they stand, and the generator then says the path.
#[test]
fn a_parameter_is_of_the_path_if_the_path_names_it_and_of_query_or_headers_otherwise() {
    let description = serde_json::to_value(crate::api::openapi::description()).unwrap();
    let mut said = String::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
            let of = |place: &str| {
                let here = parameters.iter().filter(|parameter| parameter["in"] == place);
                here.map(|parameter| parameter["name"].as_str().unwrap()).collect::<Vec<_>>()
            };
            let in_template: Vec<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(of("path"), in_template, "{method} {path}");
            for parameter in &parameters {
                assert_eq!(parameter["required"] == true, parameter["in"] == "path", "{method} {path}: {parameter}");
            }
            let query = of("query").join(" ");
            if !query.is_empty() {
                said += &format!("{method} {path}: {query}\n");
            }
        }
    }
    expect![[r#"
        get /v1/definitions/{saga}: format
        post /v1/definitions/{saga}/sagas: id wait
        get /v1/jobs/{id}: wait
        post /v1/modules: activate plan
        put /v1/modules/{name}: activate plan
        get /v1/sagas: saga status module version step failure limit cursor at_least
        get /v1/sagas/{id}: at_least
        get /v1/sagas/{id}/journal: from limit at_least
        get /v1/schedules: limit cursor at_least
        get /v1/schedules/{name}: at_least
        get /v1/stuck: saga module version step failure
    "#]]
    .assert_eq(&said);
    let start = &description["paths"]["/v1/definitions/{saga}/sagas"]["post"];
    let headers = start["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "header");
    let headers: Vec<&str> = headers.map(|parameter| parameter["name"].as_str().unwrap()).collect();
    assert_eq!(headers, ["Amends-Namespace", "Idempotency-Key"]);
    assert!(start["responses"]["200"]["headers"]["Amends-Position"].is_object(), "{start}");
}

/// The largest revision as `Last-Event-ID` overflowed, and one beyond the end would have been waited for in vain. The number is
/// the client's, and was used as if it had been ours. Now such a client follows from what there is.
#[test]
fn who_has_seen_more_than_there_is_follows_from_now_on() {
    let fake = Fake::new();
    let running = amends_core::view::View { status: Status::Running, ended_at: None, ..completed() };
    fake.sagas.lock().unwrap().insert("T1".to_owned(), (running, [0; 32]));
    fake.records.lock().unwrap().push(Record {
        id: RecordId { stream: 1, version: 18 },
        position: 30,
        at: NOON,
        causation: None,
        correlation: None,
        depth: 0,
        epoch: 1,
        generation: 1,
        actor: Actor::Host,
        head: None,
        fact: Fact::Saga(Event::Compensated),
    });
    let said = answer(&fake, "GET /v1/sagas/T1/watch\nlast-event-id: 18446744073709551615");
    assert!(said.contains("id: 18\n") && said.contains("event: end\n"), "{said}");
}
