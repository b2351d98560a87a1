//! The description's structure: what generators of clients and validators of answers need, held for all of it.
//!
//! Fault C2-36: a generated client lacked operations and had types that no answer fitted. Two schemas were called `Step`, and one
//! of them won; a property of any JSON value was `oneOf` null or that, which no null fits; statuses were strings without their
//! values; operations shared ids and did not say how they fail. Nothing held the description against anything. The tests here hold
//! its structure, and every answer of the API's tests is validated against it (`described.rs`).

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use serde_json::{Value, json};

use super::described::document;

/// Every value in the document with the pointer to it.
fn walk<'a>(value: &'a Value, at: String, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(&at, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| walk(member, format!("{at}/{name}"), visit)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| walk(item, format!("{at}/{index}"), visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn resolved<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

/// `get /v1/sagas` with its operation.
fn operations(document: &Value) -> BTreeMap<String, &Value> {
    let items = document["paths"].as_object().unwrap().iter();
    items
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, of)| (format!("{method} {path}"), of)))
        .collect()
}

/// A route was added and not described: nothing but its author's memory put it into the list of handlers. There is no such list now:
/// a handler is served where its description says, and nothing else makes a route.
#[test]
fn c2_36_every_route_is_described() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/routes");
    let sources = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let made: Vec<String> = sources
        .flat_map(|source| {
            source.lines().filter(|line| line.contains(".route(")).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let only = "let router = served.fold(self.router, |router, (path, method)| router.route(path, on(method, handler.clone())));";
    assert_eq!(made, [only]);
}

#[test]
fn c2_36_every_operation_has_an_id_of_its_own() {
    let document = document();
    let ids: Vec<String> = operations(&document)
        .iter()
        .map(|(name, operation)| format!("{}: {name}\n", operation["operationId"].as_str().unwrap()))
        .collect();
    let unique: BTreeSet<&str> = ids.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(unique.len(), ids.len());
    expect![[r#"
        remove_version: delete /v1/modules/{name}/versions/{version}
        remove_schedule: delete /v1/schedules/{name}
        get_health: get /healthz
        get_metrics: get /metrics
        get_description: get /openapi.json
        get_readiness: get /readyz
        get_aggregate: get /v1/aggregates/{aggregate}/{id}
        list_definitions: get /v1/definitions
        get_definition: get /v1/definitions/{saga}
        list_events: get /v1/events
        follow_events: get /v1/events/watch
        list_jobs: get /v1/jobs
        get_job: get /v1/jobs/{id}
        list_letter_groups: get /v1/letters
        list_modules: get /v1/modules
        get_module: get /v1/modules/{name}
        get_grants: get /v1/modules/{name}/grants
        get_breaks: get /v1/modules/{name}/versions/{version}/breaks
        list_policies: get /v1/policies
        get_policy: get /v1/policies/{name}
        list_letters: get /v1/policies/{name}/letters
        list_projections: get /v1/projections
        get_projection: get /v1/projections/{name}
        list_sagas: get /v1/sagas
        get_saga: get /v1/sagas/{id}
        get_journal: get /v1/sagas/{id}/journal
        watch_saga: get /v1/sagas/{id}/watch
        list_schedules: get /v1/schedules
        get_schedule: get /v1/schedules/{name}
        get_aggregate_events: get /v1/streams/{aggregate}/{id}/events
        list_stuck: get /v1/stuck
        get_trace: get /v1/trace/{id}
        query_view: get /v1/views/{view}/{query}
        watch_sagas: get /v1/watch
        activate_versions: post /v1/activate
        send_command: post /v1/aggregates/{aggregate}/{id}/{command}
        start_saga: post /v1/definitions/{saga}/sagas
        publish_event: post /v1/events
        import_events: post /v1/import
        create_job: post /v1/jobs
        stop_job: post /v1/jobs/{id}/stop
        deploy_module: post /v1/modules
        activate_version: post /v1/modules/{name}/activate
        compare_version: post /v1/modules/{name}/versions/{version}/compare
        drop_letter: post /v1/policies/{name}/drop
        pause_policy: post /v1/policies/{name}/pause
        redrive_letters: post /v1/policies/{name}/redrive
        reset_policy: post /v1/policies/{name}/reset
        resume_policy: post /v1/policies/{name}/resume
        rebuild_projection: post /v1/projections/{name}/rebuild
        resume_projection: post /v1/projections/{name}/resume
        skip_event: post /v1/projections/{name}/skip
        stop_projection: post /v1/projections/{name}/stop
        switch_projection: post /v1/projections/{name}/switch
        abandon_saga: post /v1/sagas/{id}/abandon
        cancel_saga: post /v1/sagas/{id}/cancel
        move_saga: post /v1/sagas/{id}/move
        resolve_step: post /v1/sagas/{id}/resolve
        retry_saga: post /v1/sagas/{id}/retry
        send_signal: post /v1/sagas/{id}/signals/{name}
        skip_compensation: post /v1/sagas/{id}/skip
        unlock_key: post /v1/sagas/{id}/unlock
        pause_schedule: post /v1/schedules/{name}/pause
        resume_schedule: post /v1/schedules/{name}/resume
        trigger_schedule: post /v1/schedules/{name}/trigger
        deploy_module_as: put /v1/modules/{name}
        set_grants: put /v1/modules/{name}/grants
        put_schedule: put /v1/schedules/{name}
    "#]]
    .assert_eq(&ids.concat());
}

#[test]
fn c2_36_every_reference_resolves_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, String::new(), &mut |at, value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return };
        assert!(resolved(&document, reference).is_some(), "{at}: {reference} is nowhere");
        used.insert(reference.to_owned());
    });
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let unused: Vec<&String> = schemas.keys().filter(|name| !used.contains(&format!("#/components/schemas/{name}"))).collect();
    assert_eq!(unused, Vec::<&String>::new());
}

#[test]
fn c2_36_every_operation_says_how_it_answers_and_how_it_fails() {
    let document = document();
    for (name, operation) in operations(&document) {
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name} says nothing of success");
        let mut least = vec!["421", "500"];
        if name.contains(" /v1/") {
            least.extend(["400", "503"]);
            if name.contains('{') {
                least.push("404");
            }
            if !name.starts_with("get ") {
                least.extend(["408", "409", "413", "422", "507"]);
            }
        }
        for status in least {
            assert!(answers.contains_key(status), "{name} does not describe {status}");
        }
        for (status, answer) in answers {
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{name}: {status} says nothing");
            let is_error = !status.starts_with('2');
            if is_error && (name.as_str(), status.as_str()) != ("get /readyz", "503") {
                let body = &answer["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/ErrorBody", "{name}: {status}");
            }
            // A generator that does not know the media type of metrics drops the answer with it.
            let has_no_body = status == "204" || (name.as_str(), status.as_str()) == ("get /metrics", "200");
            assert_eq!(answer.get("content").is_none(), has_no_body, "{name}: {status} and its body");
        }
    }
}

/// Of every write it was said that a key with another request is refused; a publish, a deploy or a grant does not read the header.
#[test]
fn the_key_of_a_request_is_described_where_it_is_read_and_its_reuse_where_it_is_refused() {
    let document = document();
    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for operation in operations(&document).values() {
        let id = operation["operationId"].as_str().unwrap();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        if parameters.clone().any(|parameter| parameter["name"] == "Idempotency-Key") {
            read.push(id);
        }
        if operation["responses"]["422"]["description"].as_str().is_some_and(|meaning| meaning.contains("key_reused")) {
            refused.push(id);
        }
    }
    let refuses = |id: &&str| !["trigger_schedule", "put_schedule"].contains(id);
    assert_eq!(refused, read.iter().copied().filter(refuses).collect::<Vec<_>>());
    read.sort_unstable();
    expect![[r#"
        abandon_saga cancel_saga create_job drop_letter move_saga pause_policy put_schedule redrive_letters reset_policy resolve_step resume_policy retry_saga send_command send_signal skip_compensation start_saga trigger_schedule unlock_key"#]]
    .assert_eq(&read.join(" "));
}

/// A generator that does not know a media type drops the operation.
#[test]
fn c2_36_every_body_is_of_a_kind_that_generators_keep() {
    let document = document();
    let mut kinds = BTreeSet::new();
    for operation in operations(&document).values() {
        let content = operation["requestBody"]["content"].as_object();
        kinds.extend(content.into_iter().flatten().map(|(kind, _)| kind.clone()));
    }
    let known =
        ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json", "application/octet-stream"];
    assert_eq!(Vec::from_iter(kinds), known);
}

/// Values of these names are one of a few, also where the name is used again.
#[test]
fn c2_36_every_enum_names_its_values() {
    const CLOSED: [&str; 12] = [
        "status",
        "kind",
        "direction",
        "verb",
        "mode",
        "overlap",
        "certainty",
        "resolution",
        "on_unknown",
        "on_exhausted",
        "on_locked",
        "fits",
    ];
    let document = document();
    let mut seen = BTreeSet::new();
    walk(&document["components"]["schemas"], String::new(), &mut |at, value| {
        let properties = value.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, property) in properties.filter(|(name, _)| CLOSED.contains(&name.as_str())) {
            let property = property.get("items").unwrap_or(property);
            let schema =
                property.get("$ref").and_then(Value::as_str).map_or(Some(property), |to| resolved(&document, to)).unwrap();
            let values = schema.get("enum").and_then(Value::as_array);
            assert!(values.is_some_and(|values| values.iter().all(Value::is_string)), "{at}: {name} names no values");
            seen.insert(name.clone());
        }
    });
    assert_eq!(seen.len(), CLOSED.len(), "{seen:?}");
    let status = &document["components"]["schemas"]["Status"]["enum"];
    assert_eq!(*status, json!(["completed", "compensated", "abandoned", "stuck", "compensating", "waiting", "running"]));
}

#[test]
fn c2_36_every_union_says_which_case_it_is() {
    let document = document();
    let mut unions = String::new();
    walk(&document, String::new(), &mut |at, value| {
        let Some(cases) = value.get("oneOf").and_then(Value::as_array) else { return };
        let tag = value["discriminator"]["propertyName"].as_str().unwrap_or_else(|| panic!("{at}: no discriminator"));
        let mapping = value["discriminator"]["mapping"].as_object().unwrap();
        let references: BTreeSet<&str> = cases.iter().filter_map(|case| case["$ref"].as_str()).collect();
        assert_eq!(references, mapping.values().filter_map(Value::as_str).collect(), "{at}");
        for (value, reference) in mapping {
            let case = resolved(&document, reference.as_str().unwrap()).unwrap();
            let parts: Vec<&Value> =
                case.get("allOf").and_then(Value::as_array).map_or(vec![case], |parts| parts.iter().collect());
            let is_tagged = |part: &&Value| {
                part["properties"][tag]["enum"] == json!([value])
                    && part["required"].as_array().is_some_and(|required| required.contains(&json!(tag)))
            };
            assert!(parts.iter().any(is_tagged), "{at}: {reference} is not told by {tag}");
        }
        unions += &format!("{at}: {}\n", mapping.keys().cloned().collect::<Vec<_>>().join(", "));
    });
    expect![[r#"
        /components/schemas/Break: saga, schedule, trigger
        /components/schemas/CommandData: at, object
        /components/schemas/DeployAnswer: deployed, plan
        /components/schemas/Starter: event, schedule
        /components/schemas/StepBody: child, elements
        /components/schemas/Undo: code, none, nothing
        /components/schemas/Undoing: in_order, side_by_side, step
    "#]]
    .assert_eq(&unions);
}

/// A property that may be left out is never null, and one that is always there may be. Neither validators nor generators then have
/// to tell null from nothing.
#[test]
fn c2_36_no_property_may_be_both_left_out_and_null() {
    let document = document();
    let allows_null = |schema: &Value| {
        let is_null = |schema: &Value| schema["type"] == "null";
        let in_union = |word: &str| schema.get(word).and_then(Value::as_array).is_some_and(|cases| cases.iter().any(is_null));
        let in_types = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        assert!(!in_union("oneOf"), "null in a oneOf: {schema}");
        in_types || in_union("anyOf")
    };
    let mut nullable = 0;
    walk(&document, String::new(), &mut |at, value| {
        let Some(properties) = value.get("properties").and_then(Value::as_object) else { return };
        let required = value.get("required").and_then(Value::as_array);
        for (name, _) in properties.iter().filter(|(_, property)| allows_null(property)) {
            assert!(required.is_some_and(|required| required.contains(&json!(name))), "{at}: {name} may be left out and null");
            nullable += 1;
        }
    });
    assert!(nullable > 10);
}

#[test]
fn c2_36_what_is_not_as_described_is_found() {
    let wrong = [
        ("Status", json!("odd")),
        ("Undoing", json!({"kind": "step", "step": "charge"})),
        ("StepBody", json!({"kind": "elements", "settled": 0, "refused": 0, "moving": 0})),
        ("LockKey", json!({"key": "seat/1", "queue": []})),
        ("Time", json!("yesterday")),
    ];
    for (schema, value) in wrong {
        assert!(super::described::value(schema, &value).is_err(), "{schema}: {value}");
    }
    super::described::value("LockKey", &json!({"key": "seat/1", "holder": null, "queue": []})).unwrap();
    super::described::value(
        "Undoing",
        &json!({"kind": "in_order", "parts": [{"kind": "step", "step": "a", "certainty": "open"}]}),
    )
    .unwrap();
}
