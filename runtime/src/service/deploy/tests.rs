//! What is left of a component, whatever becomes of its deploy.

use std::pin::pin;

use futures_util::FutureExt;

use super::*;
use crate::service::testing::{TRIP, TestHost, name, namespace, origin, run};

const AGAIN: &[u8] = b"\0asm trip again";

fn code(error: &DeployError) -> String {
    match error {
        DeployError::Unverified(unverified) => unverified.code.to_owned(),
        DeployError::OtherName { inside, sent } => format!("{inside} is not {sent}"),
        DeployError::Refused(refusal) => refusal.code.as_str().to_owned(),
        DeployError::Panicked(what) => what.clone(),
    }
}

fn versions(host: &TestHost) -> Vec<u32> {
    let module = host.services.reader.module(&namespace(), "trip").unwrap();
    module.into_iter().flat_map(|module| module.versions).map(|version| version.version).collect()
}

#[test]
fn a_deployed_component_stays_and_a_planned_one_leaves_nothing() {
    let host = TestHost::empty();
    let deploys = &host.services.deploys;
    let plan = run(deploys.plan(host.upload(TRIP))).unwrap();
    assert!(plan.module.is_none());
    assert_eq!(host.shelf.has(TRIP), "nothing");
    let recorded = run(deploys.deploy(host.upload(TRIP), true)).unwrap();
    assert_eq!((recorded.answer.version, recorded.answer.created), (1, true));
    assert_eq!(host.shelf.has(TRIP), "all");
    let plan = run(deploys.plan(host.upload(TRIP))).unwrap();
    assert_eq!(plan.module.unwrap().versions.len(), 1);
    assert_eq!(host.shelf.has(TRIP), "all", "some version is these bytes");
}

/// Only a deploy that the engine answered with a conflict took its component back. One that was refused for a full disk left it
/// there, on the disk that was full; one whose bytes could not be made durable left what had been written; and one against the
/// rules or under another name freed its compiled code beside the turn, perhaps that of a deploy of the same bytes. Now each way to
/// fail takes back what there is, and only in the turn.
#[test]
fn a_deploy_that_came_to_nothing_leaves_nothing() {
    let host = TestHost::new();
    let deploys = &host.services.deploys;
    let refused = |upload: Upload| code(&run(deploys.deploy(upload, true)).unwrap_err());
    assert_eq!(refused(host.upload(b"elf")), "not_wasm");
    assert_eq!(refused(host.upload(b"\0asm trip empty")), "bad_definition");
    assert_eq!(refused(Upload { name: Some(name("order")), ..host.upload(AGAIN) }), "trip is not order");
    assert_eq!(host.shelf.has(AGAIN), "nothing");
    host.set_disk_is_low(true);
    assert_eq!(refused(host.upload(AGAIN)), "low_space");
    assert_eq!(host.shelf.has(AGAIN), "nothing");
    host.set_disk_is_low(false);
    host.shelf.fill();
    assert_eq!(refused(host.upload(AGAIN)), "not_stored");
    assert_eq!(host.shelf.has(AGAIN), "nothing");
    for bytes in [b"elf", b"\0asm trip empty" as &[u8]] {
        assert_eq!(host.shelf.has(bytes), "nothing");
    }
    assert_eq!((host.shelf.has(TRIP), versions(&host)), ("all", vec![1]));
}

/// A host whose storage fails may have recorded the deploy or not: its component stays for the record that may name it.
#[test]
fn a_deploy_that_may_be_recorded_keeps_its_component() {
    let host = TestHost::new();
    host.store.fail_after(0);
    let error = run(host.services.deploys.deploy(host.upload(AGAIN), true)).unwrap_err();
    assert_eq!(code(&error), "storage_failed");
    assert_eq!(host.shelf.has(AGAIN), "all");
}

/// The invariant of this file. While a deploy waits for the engine, no record names its component. A plan of the same bytes, or the
/// same bytes under a wrong name, would discard it then, and the version that is recorded next would have no component.
#[test]
fn nobody_discards_a_component_between_keeping_it_and_its_record() {
    let host = TestHost::empty();
    let deploys = &host.services.deploys;
    let digest = deploys.parts.components.verify(TRIP).unwrap().digest;
    run(async {
        let upload = host.upload(TRIP);
        let verified = deploys.verify(&upload).await.unwrap();
        host.hold_engine();
        let mut record = pin!(deploys.record(&upload, verified, true));
        assert!(record.as_mut().now_or_never().is_none(), "the engine has not answered");
        assert_eq!(host.shelf.has(TRIP), "all");
        let mut discard = pin!(async { deploys.turn().await.discard(&digest) });
        assert!(discard.as_mut().now_or_never().is_none(), "it has no turn");
        assert_eq!(host.shelf.has(TRIP), "all");
        host.let_engine_go();
        assert!(record.await.unwrap().answer.created);
        discard.await;
    });
    assert_eq!((host.shelf.has(TRIP), versions(&host)), ("all", vec![1]));
}

/// A client that goes away ended the handler, and with it the turn, while the engine still decided about its deploy.
#[test]
fn a_client_that_goes_away_ends_neither_its_deploy_nor_its_turn() {
    let host = TestHost::empty();
    let deploys = &host.services.deploys;
    run(async {
        host.hold_engine();
        {
            let mut deploy = pin!(deploys.deploy(host.upload(TRIP), true));
            while host.shelf.has(TRIP) != "all" {
                assert!(deploy.as_mut().now_or_never().is_none());
                tokio::task::yield_now().await;
            }
        }
        let mut turn = pin!(deploys.turn());
        assert!(turn.as_mut().now_or_never().is_none(), "the deploy still has it");
        host.let_engine_go();
        // The deploy has ended when it gives its turn back.
        turn.await;
    });
    assert_eq!((host.shelf.has(TRIP), versions(&host)), ("all", vec![1]));
}

#[test]
fn a_removed_version_takes_its_component_with_it_unless_another_version_is_the_same_bytes() {
    let host = TestHost::new();
    let deploys = &host.services.deploys;
    host.deploy(AGAIN);
    let elsewhere = Origin { namespace: Namespace::new("other").unwrap(), ..origin() };
    run(deploys.deploy(Upload { origin: elsewhere.clone(), ..host.upload(TRIP) }, true)).unwrap();
    let active = run(deploys.remove(origin(), "trip".to_owned(), 2)).unwrap_err();
    assert_eq!((code(&active).as_str(), host.shelf.has(AGAIN)), ("version_active", "all"));
    run(deploys.remove(origin(), "trip".to_owned(), 1)).unwrap();
    assert_eq!((host.shelf.has(TRIP), versions(&host)), ("all", vec![2]));
    run(deploys.deploy(Upload { origin: elsewhere.clone(), ..host.upload(b"\0asm trip new") }, true)).unwrap();
    run(deploys.remove(elsewhere, "trip".to_owned(), 1)).unwrap();
    assert_eq!(host.shelf.has(TRIP), "nothing");
    let gone = run(deploys.remove(origin(), "trip".to_owned(), 1)).unwrap_err();
    assert_eq!(code(&gone), "version_not_found");
}

#[test]
fn a_place_is_free_again_when_its_deploy_has_ended() {
    let host = TestHost::empty();
    let deploys = &host.services.deploys;
    let mut places: Vec<Place> = (0..UPLOADS_MAX).map(|_| deploys.place().unwrap()).collect();
    assert_eq!(deploys.place().unwrap_err().code, RefusalCode::Overloaded);
    places.pop();
    host.deploy(TRIP);
    assert!(deploys.place().is_ok());
}
