//! Deploying, activating, granting.

use axum::{body::Body, http::Request};
use bytes::Bytes;
use expect_test::expect;
use futures_util::{FutureExt, stream};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use super::{answer, check_refusals, json, status};
use crate::{
    api::{Options, router},
    service::testing::{TRIP, TestHost, run},
};

#[test]
fn a_component_is_verified_before_it_is_a_version() {
    let host = TestHost::empty();
    let first = answer(&host, "PUT /v1/modules/trip?activate=false\n\n\0asm trip");
    expect![[r#"
        201 at 0-1-3
        {
          "active": null,
          "digest": "67ec2fd85f0470dd0cca128c643acbfae7975e3586b7ac0a8ef1b8fdd63ae7f4",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "kind": "deployed",
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
    .assert_eq(&first);
    assert_eq!(answer(&host, "POST /v1/modules\n\n\0asm trip").lines().next(), Some("201 at 0-1-4"), "activated");
    assert_eq!(answer(&host, "POST /v1/modules\n\n\0asm trip").lines().next(), Some("200 at 0-1-4"), "the same again");
    let large = format!("PUT /v1/modules/trip\n\n{}", "a".repeat(101));
    check_refusals(
        &[
            "PUT /v1/modules/order\n\n\0asm trip",
            "PUT /v1/modules/trip\n\nelf",
            "PUT /v1/modules/trip\n\n\0asm trip empty",
            "POST /v1/modules\n\n\0asm Trip",
            "PUT /v1/modules/..%2Fx\n\n\0asm trip",
            "POST /v1/modules",
            &large,
        ],
        expect![[r#"
            422 name_mismatch: the component names itself `trip`, not `order`
            422 not_wasm: these bytes are no WebAssembly
            422 bad_definition: module `trip` has no saga, no aggregate, no projection and no policy; add one to its description
            422 bad_definition: module name `Trip`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            400 bad_name: bad name "../x": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            400 bad_request: the body is empty
            413 payload_too_large: the component is larger than 100 bytes
        "#]],
    );
}

#[test]
fn a_plan_says_what_a_deploy_would_do_and_does_nothing() {
    let host = TestHost::new();
    host.guests.hold("charge");
    answer(&host, "POST /v1/definitions/trip/sagas?id=T1\n\n{}");
    host.guests.wait_for("charge");
    let modules = answer(&host, "GET /v1/modules");
    expect![[r#"
        200
        {
          "active": 1,
          "deployed": false,
          "digest": "5c3808faaaeb66435abca542982fdac28df3f8be07212a8983941013be325c95",
          "imports": [
            "wasi:http/outgoing-handler@0.2.3"
          ],
          "in_flight": [
            {
              "sagas": 1,
              "version": 1
            }
          ],
          "kind": "plan",
          "missing_grants": [
            {
              "command": "amends grant trip --http ORIGIN",
              "import": "wasi:http/outgoing-handler@0.2.3"
            }
          ],
          "moves": [
            {
              "id": "T1",
              "obstacles": [
                "step `reserve-flight`: attempt 1 is open; move when it has ended",
                "step `reserve-hotel`: attempt 1 is open; move when it has ended"
              ],
              "status": "running",
              "version": 1
            }
          ],
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
          "version": 2,
          "warnings": []
        }
    "#]]
    .assert_eq(&answer(&host, "POST /v1/modules?plan=true\n\n\0asm trip again"));
    assert_eq!(answer(&host, "GET /v1/modules"), modules);
    let known = json(&host, "POST /v1/modules?plan=true\n\n\0asm trip");
    assert_eq!((&known["deployed"], &known["version"]), (&true.into(), &1.into()));
}

/// Deploys were not counted: a burst of them held a component and a thread each, and as they described themselves they took the
/// places of attempts. Now there are four places, taken before the body is read.
#[test]
fn a_burst_of_deploys_is_refused_before_its_bodies_are_read() {
    let host = TestHost::empty();
    let (_running, stop) = watch::channel(false);
    let service = TowerToHyperService::new(router(host.services.clone(), Options::default(), stop));
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
fn activation_and_grants_change_the_module() {
    let host = TestHost::new();
    host.deploy(b"\0asm trip again");
    let active = |request: &str| {
        let deployed = json(&host, request);
        format!("{} of {} is active\n", deployed["active"], deployed["name"])
    };
    let said = [
        active("POST /v1/modules/trip/activate\n\n{\"version\":1}"),
        active("POST /v1/modules/trip/activate\n\n{\"previous\":true}"),
    ];
    expect![[r#"
        1 of "trip" is active
        2 of "trip" is active
    "#]]
    .assert_eq(&said.concat());
    let revision = json(&host, "GET /v1/modules/trip")["revision"].as_str().unwrap().to_owned();
    let grants = r#"{"http":[{"origin":"https://Hotel.example","private":true}],"config":{"region":"eu"},"secrets":["key"]}"#;
    let set = format!("PUT /v1/modules/trip/grants\n\n{{\"grants\":{grants},\"force\":true,\"expect_revision\":\"{revision}\"}}");
    expect![[r#"
        200 at 0-1-12
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
          "revision": "11"
        }
    "#]]
    .assert_eq(&answer(&host, &set));
    assert_eq!(status(&host, &set.replace("Hotel", "Other")), "409", "somebody was faster");
    expect![[r#"
        200
        {
          "modules": [
            {
              "active": 2,
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
              "revision": "11",
              "versions": [
                {
                  "bytes": 9,
                  "deployed_at": "2026-01-01T12:00:00.000Z",
                  "digest": "67ec2fd85f0470dd0cca128c643acbfae7975e3586b7ac0a8ef1b8fdd63ae7f4",
                  "imports": [
                    "wasi:http/outgoing-handler@0.2.3"
                  ],
                  "in_flight": 0,
                  "sagas": [
                    "trip"
                  ],
                  "triggers": [
                    {
                      "event_type": "trip.wanted",
                      "saga": "trip"
                    }
                  ],
                  "version": 1
                },
                {
                  "bytes": 15,
                  "deployed_at": "2026-01-01T12:00:00.000Z",
                  "digest": "5c3808faaaeb66435abca542982fdac28df3f8be07212a8983941013be325c95",
                  "imports": [
                    "wasi:http/outgoing-handler@0.2.3"
                  ],
                  "in_flight": 0,
                  "sagas": [
                    "trip"
                  ],
                  "triggers": [
                    {
                      "event_type": "trip.wanted",
                      "saga": "trip"
                    }
                  ],
                  "version": 2
                }
              ]
            }
          ]
        }
    "#]]
    .assert_eq(&answer(&host, "GET /v1/modules"));
    expect![[r#"
        409
        {
          "error": {
            "code": "version_active",
            "hint": "activate another one first: amends activate trip VERSION",
            "message": "trip v2 cannot be removed: new sagas start on it"
          }
        }
    "#]]
    .assert_eq(&answer(&host, "DELETE /v1/modules/trip/versions/2"));
    let removed = json(&host, "DELETE /v1/modules/trip/versions/1");
    assert_eq!(removed["versions"].as_array().unwrap().len(), 1, "{removed}");
    assert_eq!((host.shelf.has(TRIP), host.shelf.has(b"\0asm trip again")), ("nothing", "all"));
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
