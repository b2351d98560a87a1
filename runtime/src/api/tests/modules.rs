//! Deploying, activating, granting.

use axum::{body::Body, http::Request};
use bytes::Bytes;
use expect_test::expect;
use futures_util::{FutureExt, stream};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{answer, check_refusals, run};
use crate::{
    api::{
        Options,
        fake::{Fake, refusal},
        router,
    },
    engine::port::RefusalCode,
};

#[test]
fn a_component_is_verified_before_it_is_a_version() {
    let fake = Fake::new();
    expect![[r#"
        201 at 0-1-9
        {
          "active": 1,
          "digest": "0101010101010101010101010101010101010101010101010101010101010101",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "missing_grants": [
            {
              "command": "amends grant trip --http ORIGIN",
              "import": "wasi:http/outgoing-handler@0.2.3"
            }
          ],
          "name": "trip",
          "sagas": [
            "trip"
          ],
          "version": 1,
          "warnings": []
        }
    "#]]
    .assert_eq(&answer(&fake, "PUT /v1/modules/trip?activate=false\n\n\0asm"));
    expect![[r#"
        200
        {
          "active": 1,
          "deployed": true,
          "digest": "0101010101010101010101010101010101010101010101010101010101010101",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "in_flight": [
            {
              "sagas": 3,
              "version": 1
            }
          ],
          "missing_grants": [
            {
              "command": "amends grant trip --http ORIGIN",
              "import": "wasi:http/outgoing-handler@0.2.3"
            }
          ],
          "moves": [],
          "name": "trip",
          "sagas": [
            "trip"
          ],
          "triggers": [
            {
              "event_type": "trip.wanted",
              "saga": "trip"
            }
          ],
          "version": 1,
          "warnings": []
        }
    "#]]
    .assert_eq(&answer(&fake, "POST /v1/modules?plan=true\n\n\0asm"));
    assert_eq!(fake.take_asked(), ["keep 4 bytes", "deploy trip activate=false", "discard 0101"]);
    let large = format!("PUT /v1/modules/trip\n\n{}", "a".repeat(101));
    check_refusals(
        &[
            "PUT /v1/modules/order\n\n\0asm",
            "PUT /v1/modules/trip\n\nelf",
            "PUT /v1/modules/..%2Fx\n\n\0asm",
            "POST /v1/modules",
            &large,
        ],
        expect![[r#"
            422 name_mismatch: the component names itself `trip`, not `order`
            422 not_a_component: these bytes are no WebAssembly
            400 bad_name: bad name "../x": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            400 bad_request: the body is empty
            413 payload_too_large: the component is larger than 100 bytes
        "#]],
    );
    answer(&fake, "PUT /v1/modules/order\n\n\0asm");
    assert_eq!(fake.take_asked(), ["discard 0101"]);
}

/// Verifying stored and loaded a component before anything was decided about it, so that what was only planned, or refused as
/// another module's name, stayed on the disk until a restart. Now a plan stores nothing, and a refused deploy takes it back.
#[test]
fn a_refused_deploy_leaves_nothing_and_one_that_may_have_happened_leaves_its_component() {
    let fake = Fake::new();
    for (code, left) in [(RefusalCode::NameTaken, "discard 0101"), (RefusalCode::StorageFailed, "")] {
        *fake.refuse.lock().unwrap() = Some(refusal(code, "no"));
        answer(&fake, "PUT /v1/modules/trip\n\n\0asm");
        assert_eq!(fake.take_asked().join(" "), format!("keep 4 bytes {left}").trim_end(), "{code:?}");
    }
}

/// Deploys were not counted: a burst of them held a component and a thread each, and as they described themselves they took the
/// places of attempts. Now there are four places, taken before the body is read.
#[test]
fn a_burst_of_deploys_is_refused_before_its_bodies_are_read() {
    let fake = Fake::new();
    let (_running, stop) = watch::channel(false);
    let service = TowerToHyperService::new(router(fake.clone(), Options::default(), stop));
    let deploy = |body: Body| {
        let request = Request::builder().method("PUT").uri("/v1/modules/trip").header("host", "localhost");
        service.call(request.body(body).unwrap())
    };
    run(async {
        let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::convert::Infallible>>());
        let mut held: Vec<_> = (0..4).map(|_| Box::pin(deploy(endless()))).collect();
        for held in &mut held {
            assert!(held.as_mut().now_or_never().is_none());
        }
        assert_eq!(deploy(endless()).await.unwrap().status(), 503);
        held.pop();
        assert_eq!(deploy(Body::from("\0asm")).await.unwrap().status(), 201);
    });
}

#[test]
fn activation_and_grants_are_checked_and_passed_on() {
    let fake = Fake::new();
    answer(&fake, "POST /v1/modules/trip/activate\n\n{\"version\":2}");
    answer(&fake, "POST /v1/modules/trip/activate\n\n{\"previous\":true}");
    let grants = "{\"grants\":{\"http\":[{\"origin\":\"https://Hotel.example\",\"private\":true}],\"config\":{\"region\":\"eu\"},\"secrets\":[\"key\"]},\"force\":true,\"expect_revision\":\"2\"}";
    expect![[r#"
        200 at 0-1-9
        {
          "grants": {
            "config": {
              "region": "eu"
            },
            "http": [
              {
                "origin": "https://hotel.example:443",
                "private": true
              }
            ],
            "secrets": [
              "key"
            ]
          },
          "module": "trip",
          "revision": "2"
        }
    "#]]
    .assert_eq(&answer(&fake, &format!("PUT /v1/modules/trip/grants\n\n{grants}")));
    expect![[r#"
        200
        {
          "modules": [
            {
              "active": 1,
              "grants": {
                "config": {
                  "region": "eu"
                },
                "http": [
                  {
                    "origin": "https://hotel.example:443",
                    "private": true
                  }
                ],
                "secrets": [
                  "key"
                ]
              },
              "name": "trip",
              "revision": "2",
              "versions": [
                {
                  "bytes": 8,
                  "deployed_at": "2026-01-01T12:00:00.000Z",
                  "digest": "0101010101010101010101010101010101010101010101010101010101010101",
                  "imports": [
                    "wasi:http/outgoing-handler@0.2.3"
                  ],
                  "in_flight": 3,
                  "sagas": [
                    "trip"
                  ],
                  "version": 1
                }
              ]
            }
          ]
        }
    "#]]
    .assert_eq(&answer(&fake, "GET /v1/modules"));
    assert_eq!(fake.take_asked(), ["activate trip Version(2)", "activate trip Previous", "grants trip Yes at Some(2)"]);
    check_refusals(
        &[
            "POST /v1/modules/trip/activate\n\n{}",
            "POST /v1/modules/trip/activate\n\n{\"version\":1,\"previous\":true}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{\"http\":[{\"origin\":\"hotel.example\"}]}}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{\"files\":[]}}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{\"secrets\":[\"../key\"]}}",
            "PUT /v1/modules/trip/grants\n\n{\"grants\":{},\"expect_revision\":\"new\"}",
        ],
        expect![[r#"
            400 bad_request: give `version`, or `previous`: true
            400 bad_request: give `version`, or `previous`: true
            400 bad_request: `hotel.example` is no origin: it does not parse as a URL; write it as https://api.example.com or http://127.0.0.1:9000
            400 bad_request: the body does not fit: unknown field `files`, expected one of `http`, `config`, `secrets` at line 1 column 18
            400 bad_request: "../key" is no name of a secret
            400 bad_request: expect_revision `new` is no revision
        "#]],
    );
}
