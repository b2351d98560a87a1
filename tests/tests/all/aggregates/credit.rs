//! CO: customers with a credit limit, as far as single aggregates show it. The limit is 15.00.

use expect_test::expect;
use serde_json::{Value, json};

use super::{at_once, events, first_answer, host, send, send_under, show, state, story};
use crate::harness::{
    answers_text,
    api::{Answer, Api},
};

/// Opens a customer with the limit.
#[track_caller]
fn open(api: &Api, customer: &str) {
    send(api, &format!("customer/{customer}"), "open", &json!({"limit_cents": 1500})).expect(200);
}

fn reserve(api: &Api, customer: &str, order: &str, cents: u64) -> Answer {
    send(api, &format!("customer/{customer}"), "reserve-credit", &json!({"order": order, "cents": cents}))
}

fn release(api: &Api, customer: &str, order: &str) -> Answer {
    send(api, &format!("customer/{customer}"), "release-credit", &json!({"order": order}))
}

/// What a customer has reserved, and whose credit was released.
fn credit(api: &Api, customer: &str) -> Value {
    let state = state(api, &format!("customer/{customer}"));
    assert_eq!(state["limit_cents"], 1500);
    json!([state["reserved"], state["released"]])
}

#[test]
fn co_03_a_customer_that_was_never_opened_gives_no_credit_and_gets_no_stream() {
    let host = host();
    let api = host.api();
    let found = answers_text([
        ("reserve", reserve(&api, "C9", "O1", 12_340).error()),
        ("release", release(&api, "C9", "O1").error()),
        ("show", show(&api, "customer/C9").error()),
        ("events", api.get("/v1/streams/customer/C9/events").error()),
    ]);
    expect![[r#"
        reserve
          404 no_such_aggregate: there is no customer C9 for `reserve-credit`
        release
          404 no_such_aggregate: there is no customer C9 for `release-credit`
        show
          404 no_such_aggregate: there is no customer C9 in this namespace
        events
          404 no_such_aggregate: there is no customer C9 in this namespace
    "#]]
    .assert_eq(&found);
    // A refusal that nobody remembers does not stand in the way.
    let data = json!({"order": "O1", "cents": 100});
    assert_eq!(send_under(&api, "R1", "customer/C9", "reserve-credit", &data).status, 404);
    open(&api, "C9");
    send_under(&api, "R1", "customer/C9", "reserve-credit", &data).expect(200);
}

#[test]
fn co_04_the_whole_limit_can_be_reserved_and_no_cent_more() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    assert_eq!(reserve(&api, "C1", "O1", 1_500).expect(200)["data"], json!({"available_cents": 0}));
    let refused = reserve(&api, "C1", "O2", 1);
    assert_eq!(refused.code(), "409 credit_limit_exceeded");
    assert_eq!(refused.body["error"]["data"], json!({"available_cents": 0}), "{}", refused.body);
    assert_eq!(credit(&api, "C1"), json!([{"O1": 1500}, []]));
    assert_eq!(story(&api, "customer/C1"), "opened, credit-reserved");
}

#[test]
fn co_05_of_two_orders_that_exceed_the_limit_together_one_has_credit_a_hundred_times() {
    let host = host();
    let api = host.api();
    for round in 0..100 {
        let customer = format!("C{round}");
        open(&api, &customer);
        let answers = at_once(2, |number| reserve(&api, &customer, &format!("O{number}"), 1_000));
        let mut codes: Vec<String> = answers.iter().map(Answer::code).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["200", "409 credit_limit_exceeded"]);
        let winner = usize::from(answers[1].status == 200);
        assert_eq!(answers[winner].body["data"], json!({"available_cents": 500}));
        let mut reserved = serde_json::Map::new();
        reserved.insert(format!("O{winner}"), json!(1000));
        assert_eq!(credit(&api, &customer), json!([reserved, []]));
        assert_eq!(story(&api, &format!("customer/{customer}")), "opened, credit-reserved");
    }
}

#[test]
fn co_06_of_five_orders_at_once_as_many_have_credit_as_fit() {
    let host = host();
    let api = host.api();
    for round in 0..10 {
        let customer = format!("C{round}");
        open(&api, &customer);
        let answers = at_once(5, |number| reserve(&api, &customer, &format!("O{number}"), 500));
        let accepted = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.code() == "409 credit_limit_exceeded").count();
        assert_eq!((accepted, refused), (3, 2), "{answers:?}");
        let credit = credit(&api, &customer);
        assert_eq!(credit[0].as_object().map(serde_json::Map::len), Some(3), "{credit}");
        assert_eq!(events(&api, &format!("customer/{customer}")).len(), 4);
    }
}

#[test]
fn co_07_a_key_that_is_repeated_gets_the_first_answer_and_no_other_body() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    let (first, other) = (json!({"order": "O1", "cents": 1234}), json!({"order": "O1", "cents": 100}));
    let under_r1 = |data: &Value| send_under(&api, "R1", "customer/C1", "reserve-credit", data);
    let answer = under_r1(&first);
    assert_eq!((answer.status, &answer.body["duplicate"]), (200, &json!(false)), "{}", answer.body);
    // What came between does not show in the first answer.
    release(&api, "C1", "O1").expect(200);
    // The same data, written in another way.
    for body in ["{\"order\": \"O1\", \"cents\": 1234}", "{\"cents\":1234,\"order\":\"O1\"}"] {
        let path = "/v1/aggregates/customer/C1/reserve-credit";
        let again = api.try_send(ureq::http::Method::POST, path, Some("R1"), body.as_bytes()).unwrap();
        assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)));
        assert_eq!(first_answer(&again), first_answer(&answer));
    }
    let path = "/v1/aggregates/customer/C1/release-credit";
    let elsewhere = api.try_send(ureq::http::Method::POST, path, Some("R1"), br#"{"order":"O1"}"#).unwrap();
    let found = answers_text([("another amount", under_r1(&other).error()), ("another command", elsewhere.error())]);
    expect![[r#"
        another amount
          422 key_reused: this Idempotency-Key was used for another request
          hint: use a fresh key
        another command
          422 key_reused: this Idempotency-Key was used for another request
          hint: use a fresh key
    "#]]
    .assert_eq(&found);
    // A key is one of an aggregate: another one has it too.
    open(&api, "C2");
    let second = send_under(&api, "R1", "customer/C2", "reserve-credit", &other).expect(200);
    assert_eq!(second["duplicate"], false);
    assert_eq!(story(&api, "customer/C1"), "opened, credit-reserved, credit-released");
}

/// A refusal is an answer as well: it is the same one when the reason for it is gone.
#[test]
fn co_07_a_refusal_that_is_asked_for_again_under_its_key_stays_one() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    reserve(&api, "C1", "O1", 1_500).expect(200);
    let data = json!({"order": "O2", "cents": 1});
    let refused = send_under(&api, "R2", "customer/C1", "reserve-credit", &data);
    assert_eq!(refused.code(), "409 credit_limit_exceeded");
    release(&api, "C1", "O1").expect(200);
    let again = send_under(&api, "R2", "customer/C1", "reserve-credit", &data);
    assert_eq!(first_answer(&again), first_answer(&refused));
    reserve(&api, "C1", "O2", 1).expect(200);
}

#[test]
fn co_08_a_reservation_that_is_sent_twice_at_once_is_one() {
    let host = host();
    let api = host.api();
    for round in 0..20 {
        let customer = format!("customer/C{round}");
        open(&api, &format!("C{round}"));
        let data = json!({"order": "O1", "cents": 1234});
        let answers = at_once(4, |_| send_under(&api, "R1", &customer, "reserve-credit", &data));
        let firsts = answers.iter().filter(|answer| answer.body["duplicate"] == false).count();
        assert_eq!(firsts, 1, "{answers:?}");
        answers.iter().for_each(|answer| assert_eq!(first_answer(answer), first_answer(&answers[0])));
        assert_eq!(answers[0].body["data"], json!({"available_cents": 266}));
        assert_eq!(story(&api, &customer), "opened, credit-reserved");
    }
}

#[test]
fn co_09_an_orders_own_reservation_does_not_count_against_it() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    reserve(&api, "C1", "O1", 1_000).expect(200);
    let again = reserve(&api, "C1", "O1", 1_000).expect(200);
    assert_eq!((&again["data"], &again["events"]), (&json!({"available_cents": 500}), &json!([])), "{again}");
    assert_eq!((&again["duplicate"], &again["revision"]), (&json!(false), &json!("2")), "{again}");
    assert_eq!(credit(&api, "C1"), json!([{"O1": 1000}, []]));
}

#[test]
fn co_14_a_release_that_comes_first_refuses_the_reservation_that_comes_late() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    assert_eq!(release(&api, "C1", "O1").expect(200)["revision"], "2");
    assert_eq!(reserve(&api, "C1", "O1", 1_000).code(), "409 released");
    assert_eq!(credit(&api, "C1"), json!([{}, ["O1"]]));
    assert_eq!(story(&api, "customer/C1"), "opened, credit-released");
}

#[test]
fn co_15_co_16_co_17_an_order_is_cancelled_once_and_only_when_it_is_approved() {
    let host = host();
    let api = host.api();
    open(&api, "C1");
    send(&api, "order/O1", "create", &json!({"customer": "C1", "total_cents": 1234})).expect(200);
    reserve(&api, "C1", "O1", 1_234).expect(200);
    let cancel = |key: &str| send_under(&api, key, "order/O1", "cancel", &Value::Null);
    assert_eq!(cancel("early").code(), "409 pending");
    send(&api, "order/O1", "approve", &Value::Null).expect(200);
    assert_eq!(state(&api, "order/O1")["status"], "Approved");
    // The early one was refused, whatever is so now.
    assert_eq!(cancel("early").code(), "409 pending");
    let cancelled = cancel("R1");
    assert_eq!((cancelled.status, &cancelled.body["events"][0]["type"]), (200, &json!("order.cancelled")));
    assert_eq!(first_answer(&cancel("R1")), first_answer(&cancelled));
    assert_eq!(cancel("R2").code(), "409 not_approved");
    release(&api, "C1", "O1").expect(200);
    assert_eq!(release(&api, "C1", "O1").expect(200)["events"], json!([]));
    assert_eq!(story(&api, "order/O1"), "created, approved, cancelled");
    assert_eq!(credit(&api, "C1"), json!([{}, ["O1"]]));
    assert_eq!(reserve(&api, "C1", "O2", 1_500).expect(200)["data"], json!({"available_cents": 0}));
}
