//! Lists, the host itself, and the description of it all.

use amends_core::{outcome::Outcome, value::Payload};
use expect_test::expect;

use super::{answer, json, send, shown};
use crate::{
    api::openapi::described::document,
    service::testing::{TestHost, run},
};

#[test]
fn lists_page_by_an_opaque_cursor() {
    let host = TestHost::new();
    host.guests.hold("charge");
    for id in ["T1", "T2"] {
        answer(&host, &format!("POST /v1/definitions/trip/sagas?id={id}\n\n{{}}"));
    }
    let first = answer(&host, "GET /v1/sagas?saga=trip&status=running&version=1&limit=1&at_least=0-1-3");
    expect![[r#"
        200
        {
          "cursor": "0-1-8",
          "sagas": [
            {
              "ended_at": null,
              "id": "T2",
              "module": "trip",
              "saga": "trip",
              "started_at": "2026-01-01T12:00:00.000Z",
              "status": "running",
              "version": 1
            }
          ]
        }
    "#]]
    .assert_eq(&first);
    let cursor = json(&host, "GET /v1/sagas?limit=1")["cursor"].as_str().unwrap().to_owned();
    let second = json(&host, &format!("GET /v1/sagas?limit=1&cursor={cursor}"));
    assert_eq!((&second["sagas"][0]["id"], second["sagas"].as_array().unwrap().len()), (&"T1".into(), 1));
    for none in ["saga=order", "status=waiting", "version=2", "failure=no_car", "step=charge"] {
        let page = json(&host, &format!("GET /v1/sagas?{none}"));
        assert_eq!(page["sagas"].as_array().unwrap().len(), 0, "{none}");
    }
}

#[test]
fn the_host_says_how_it_is() {
    let host = TestHost::new();
    assert_eq!(answer(&host, "GET /healthz"), "200\n{\n  \"alive\": true\n}\n");
    expect![[r#"
        200
        {
          "ready": true,
          "recovered": 0,
          "recovery_ms": 80
        }
    "#]]
    .assert_eq(&answer(&host, "GET /readyz"));
    let metrics = answer(&host, "GET /metrics");
    assert!(metrics.starts_with("200\n# HELP") && metrics.ends_with("# EOF\n"), "{metrics}");
    host.failure.set("the disk is gone");
    expect![[r#"
        503
        {
          "ready": false,
          "reason": "the storage failed: the disk is gone"
        }
    "#]]
    .assert_eq(&answer(&host, "GET /readyz"));
}

#[test]
fn definitions_are_what_new_sagas_start_on() {
    let host = TestHost::new();
    host.deploy(b"\0asm order");
    let listed = json(&host, "GET /v1/definitions");
    let line =
        |saga: &serde_json::Value| format!("{} {} {} {}\n", saga["name"], saga["module"], saga["version"], saga["started_by"]);
    expect![[r#"
        "order" "order" 1 ["order.wanted"]
        "trip" "trip" 1 ["trip.wanted"]
    "#]]
    .assert_eq(&listed["definitions"].as_array().unwrap().iter().map(line).collect::<String>());
    assert_eq!(json(&host, "GET /v1/definitions/trip"), listed["definitions"][1]);
    expect![[r#"
        200
        saga trip (module trip v1, definition 1)
          started by trip.wanted
          returns the output of charge
          1  reserve-flight  compensatable  undone by code
          ‖  reserve-hotel   compensatable  undone by code
          2  charge          pivot
          3  send-mail       retriable
          attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then rolled back: reserve-flight, reserve-hotel, charge
          attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%, then stuck: send-mail
          undo attempts: 30s each, at most 20, 200ms apart ×2 up to 1m ±20%, then stuck: reserve-flight, reserve-hotel
    "#]]
    .assert_eq(&answer(&host, "GET /v1/definitions/trip?format=text"));
}

/// `/readyz` said ready of a host that had stopped to do anything. What it says now is what the engine says to a question.
#[test]
fn c2_02_a_host_whose_engine_cannot_answer_is_not_ready() {
    let mut host = TestHost::new();
    host.stop();
    expect![[r#"
        503
        {
          "ready": false,
          "reason": "the host has stopped"
        }
    "#]]
    .assert_eq(&answer(&host, "GET /readyz"));
}

#[test]
fn every_described_operation_is_routed_and_every_answer_to_it_is_ours() {
    let description = document();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 61);
    let host = TestHost::new();
    for (path, operations) in paths {
        let path = path
            .replace("{id}", "T1")
            .replace("{name}", "trip")
            .replace("{aggregate}", "counter")
            .replace("{command}", "count")
            .replace("{saga}", "trip")
            .replace("{version}", "1");
        for method in operations.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            if ["/v1/watch", "/v1/events/watch"].contains(&path.as_str()) {
                continue; // It does not end.
            }
            let said = answer(&host, &format!("{method} {path}"));
            assert!(!said.contains("route_not_found") && !said.contains("method_not_allowed"), "{method} {path}: {said}");
        }
    }
}

/// Every query parameter was described as a required part of the path, so a generated client could call none of these operations:
/// the types that they are read from do not say where they stand, and the generator then says the path.
#[test]
fn a_parameter_is_of_the_path_if_the_path_names_it_and_of_query_or_headers_otherwise() {
    let description = document();
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
        get /v1/aggregates/{aggregate}/{id}: at at_least
        get /v1/definitions/{saga}: format
        post /v1/definitions/{saga}/sagas: id wait
        get /v1/events: name key after limit at_least
        get /v1/events/watch: name key after
        get /v1/jobs/{id}: wait
        post /v1/modules: activate plan
        put /v1/modules/{name}: activate plan
        get /v1/policies/{name}/letters: key limit cursor
        get /v1/sagas: saga status module version step failure limit cursor at_least
        get /v1/sagas/{id}: at_least
        get /v1/sagas/{id}/journal: from limit at_least
        get /v1/schedules: limit cursor at_least
        get /v1/schedules/{name}: at_least
        get /v1/streams/{aggregate}/{id}/events: from limit at_least
        get /v1/stuck: saga module version step failure
        get /v1/trace/{id}: as at_least
        get /v1/views/{view}/{query}: at_least
    "#]]
    .assert_eq(&said);
    let start = &description["paths"]["/v1/definitions/{saga}/sagas"]["post"];
    let headers = start["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "header");
    let headers: Vec<&str> = headers.map(|parameter| parameter["name"].as_str().unwrap()).collect();
    assert_eq!(headers, ["Amends-Namespace", "Idempotency-Key", "Amends-By"]);
    assert!(start["responses"]["200"]["headers"]["Amends-Position"].is_object(), "{start}");
}

/// The largest revision as `Last-Event-ID` overflowed, and one beyond the end would have been waited for in vain. The number is
/// the client's, and was used as if it had been ours. Now such a client follows from what there is.
#[test]
fn who_has_seen_more_than_there_is_follows_from_now_on() {
    let host = TestHost::new();
    host.guests.hold("charge");
    answer(&host, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    host.guests.wait_for("charge");
    let said = run(async {
        let (watching, _running) = send(&host, "GET /v1/sagas/T1/watch\nlast-event-id: 18446744073709551615").await;
        host.guests.end("charge", &Outcome::Done(Payload::json("{}")));
        shown(watching).await
    });
    let ids: Vec<&str> = said.lines().filter(|line| line.starts_with("id: ")).collect();
    let before = json(&host, "GET /v1/sagas/T1/journal")["records"].as_array().unwrap().len() - ids.len();
    assert_eq!(ids.first().copied(), Some(&*format!("id: {}", before + 1)), "{said}");
    assert!(!ids.is_empty() && said.contains("event: end\n"), "{said}");
}
