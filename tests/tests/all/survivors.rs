//! Effect-free sagas survive a kill at each of their points, and so does every answer to a client.

use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    laws,
};

/// Starts an order on a host that dies at this point, and again on the next one. The order's end.
fn ordered(failpoint: &str, input: &serde_json::Value) -> serde_json::Value {
    let options = Options::default().dies_at(failpoint);
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let path = "/v1/definitions/order/sagas?id=O1&wait=100s";
    let unanswered = host.api().try_send(ureq::http::Method::POST, path, None, input.to_string().as_bytes());
    assert!(unanswered.is_err(), "{unanswered:?}");
    host.died();
    host.restart();
    let saga = host.api().run("order", "O1", input);
    laws::hold(&host.api(), "O1");
    saga
}

#[test]
fn an_effect_free_saga_survives_a_kill_at_each_of_its_points() {
    let input = json!({"order_id": "o-17"});
    let points = ["accepted:1", "guest-running:1", "outcome-seen:1", "guest-running:3", "outcome-seen:3"];
    let durable = ["outcome-durable:1", "outcome-durable:3", "last-step-durable:1", "end-durable:1"];
    for point in points.into_iter().chain(durable) {
        let saga = ordered(point, &input);
        assert_eq!((&saga["status"], &saga["output"]["hold"]), (&json!("completed"), &json!("credit-o-17")), "{point}: {saga}");
    }
}

#[test]
fn an_effect_free_rollback_survives_a_kill_at_each_of_its_points() {
    let input = json!({"order_id": "o-17", "fail_at": "charge"});
    let points = ["undo-guest-running:1", "undo-outcome-seen:1", "undo-guest-running:2", "undo-outcome-seen:2"];
    let durable = ["rollback-durable:1", "undo-outcome-durable:1", "undo-outcome-durable:2", "end-durable:1"];
    for point in points.into_iter().chain(durable) {
        let saga = ordered(point, &input);
        assert_eq!((&saga["status"], &saga["failure"]["code"]), (&json!("compensated"), &json!("declined")), "{point}: {saga}");
        assert_eq!(saga["outstanding"], json!([]), "{point}");
    }
}

/// Law 2: what a client was told is so, whenever the host dies.
#[test]
fn what_was_answered_before_a_kill_is_so_after_it() {
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let api = host.api();
            std::thread::spawn(move || {
                let mut answered = Vec::new();
                for number in 0.. {
                    let id = format!("O{thread}-{number}");
                    let path = format!("/v1/definitions/order/sagas?id={id}&wait=100s");
                    match api.try_send(ureq::http::Method::POST, &path, None, b"{}") {
                        Ok(answer) if answer.status == 201 => answered.push(answer.body),
                        _ => return (answered, id),
                    }
                }
                unreachable!()
            })
        })
        .collect();
    // In the middle: enough have ended, and all four go on.
    host.api().start("order", "middle", &json!({})).expect(201);
    host.api().until_type("middle", "completed");
    let warm = host.api();
    (0..100).for_each(|number| drop(warm.run("order", &format!("warm-{number}"), &json!({}))));
    host.kill();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    host.restart();
    for (answered, unanswered) in ends {
        assert!(!answered.is_empty());
        for answer in answered {
            let saga = host.api().saga(answer["id"].as_str().unwrap());
            assert_eq!(
                (&saga["status"], &saga["revision"], &saga["output"]),
                (&answer["status"], &answer["revision"], &answer["output"])
            );
        }
        // Whether this one began is not known; asked for again, it is done.
        assert_eq!(host.api().run("order", &unanswered, &json!({}))["status"], "completed");
        laws::hold(&host.api(), &unanswered);
    }
}
