//! New versions of a module with views: built aside, switched when complete, back at once; and which versions may be removed.

use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    act, activate, deploy, folded, generation, generations, host_with, note, notes, rows, rows_at, shown, until, until_stopped,
};
use crate::harness::{api::Api, viewer::Viewer};

fn remove(api: &Api, version: u32) -> crate::harness::api::Answer {
    api.write(Method::DELETE, &format!("/v1/modules/viewer/versions/{version}"), b"")
}

#[track_caller]
fn until_active(api: &Api, version: u32) -> Value {
    until(api, "notes", |shown| generation(shown, "active")["version"] == version && generation(shown, "building").is_null())
}

#[test]
fn a_new_version_is_built_aside_while_the_old_one_answers_and_the_old_one_comes_back_at_once() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "k:", "two"]);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    deploy(&api, "viewer", &Viewer::default().digit(2).component());
    // Whichever it is, it is one of them and whole.
    let now = rows(&api, "notes");
    assert!(now == folded(&api, 1) || now == folded(&api, 2), "{now:?}");
    assert_eq!(generations(&until_active(&api, 2)), "active v2, previous v1");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 2));
    let last = note(&api, "L2", "three");
    activate(&api, "viewer", 1);
    assert_eq!(generations(&until_active(&api, 1)), "active v1, previous v2");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    deploy(&api, "viewer", &Viewer::default().digit(3).component());
    assert_eq!(generations(&until_active(&api, 3)), "active v3, previous v1");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 3));
}

/// The build stops at an event that the new code cannot take: the old code answers on, and is needed.
#[test]
fn a_version_that_only_a_view_needs_is_not_removed_and_a_previous_one_is() {
    let host = host_with(&Viewer::default().tame());
    let api = host.api();
    let last = notes(&api, "L1", &["one", "T: this", "two"]);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    deploy(&api, "viewer", &Viewer::default().digit(2).component());
    until(&api, "notes", |shown| !generation(shown, "building")["stopped"].is_null());
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    let refused = remove(&api, 1);
    assert_eq!(
        refused.error(),
        "409 version_in_use: viewer v1 cannot be removed: it answers for the views notes\n  hint: wait until they are built by another version\n"
    );
    let last = note(&api, "L1", "three");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1));
    deploy(&api, "viewer", &Viewer::default().digit(3).tame().component());
    assert_eq!(generations(&until_active(&api, 3)), "active v3, previous v1");
    remove(&api, 2).expect(200);
    remove(&api, 1).expect(200);
    let shown = until(&api, "notes", |shown| generation(shown, "previous").is_null());
    assert_eq!(generations(&shown), "active v3");
    assert_eq!(act(&api, "notes", "switch", &Value::Null).code(), "409 verb_does_not_fit");
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 3));
}

/// What an operator went back to was switched away from at the next deploy of anything, and at the next start.
#[test]
fn a_view_that_was_switched_back_stays_so_over_other_deploys_and_restarts_until_another_version_is_active() {
    let mut host = host_with(&Viewer::default());
    let last = note(&host.api(), "L1", "one");
    deploy(&host.api(), "viewer", &Viewer::default().digit(2).component());
    until_active(&host.api(), 2);
    let switched = act(&host.api(), "notes", "switch", &json!({"note": "v2 shows nonsense"})).expect(200);
    assert_eq!(generations(&switched), "active v1, previous v2");
    deploy(
        &host.api(),
        "other",
        &Viewer { module: "other".into(), views: vec!["others".into()], ..Viewer::default() }.component(),
    );
    rows_at(&host.api(), "others", &last);
    assert_eq!(generations(&shown(&host.api(), "notes")), "active v1, previous v2");
    host.restart();
    assert_eq!(generations(&shown(&host.api(), "notes")), "active v1, previous v2");
    assert_eq!(rows_at(&host.api(), "notes", &last), ["1one"]);
    assert_eq!(remove(&host.api(), 1).code(), "409 version_in_use");
    let api = host.api();
    deploy(&api, "viewer", &Viewer::default().digit(3).component());
    until_active(&api, 3);
    assert_eq!(rows_at(&api, "notes", &last), ["3one"]);
}

/// Rows of one form serve both, and the new code is asked for what the old code could not take.
#[test]
fn a_version_with_the_same_form_of_rows_goes_on_where_the_one_before_stopped() {
    let host = host_with(&Viewer { rows_version: Some(7), ..Viewer::default() });
    let api = host.api();
    let last = notes(&api, "L1", &["one", "T: this", "two"]);
    until_stopped(&api, "notes");
    assert_eq!(rows(&api, "notes"), ["1one"]);
    deploy(&api, "viewer", &Viewer { rows_version: Some(7), ..Viewer::default().digit(2).tame() }.component());
    assert_eq!(rows_at(&api, "notes", &last), ["1one", "2T: this", "2two"]);
    assert_eq!(generations(&shown(&api, "notes")), "active v2");
}

#[test]
fn an_event_in_a_form_that_a_projection_does_not_read_stops_it_until_a_version_that_does() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let before = notes(&api, "L1", &["one", "two"]);
    deploy(&api, "ledger", &crate::harness::ledger::Ledger::default().second().component());
    let last = note(&api, "L1", "three");
    let stopped = until_stopped(&api, "notes");
    assert_eq!(stopped["stopped"]["code"], "unreadable_event");
    assert_eq!(
        (&stopped["stopped"]["event"], &stopped["stopped"]["message"]),
        (&json!("ledger/L1/3"), &json!("it is `ledger.noted` in form 2, and the projection reads form 1"))
    );
    assert_eq!(rows_at(&api, "notes", &before), ["1one", "1two"]);
    let reads = vec![("ledger.noted".to_owned(), vec![1, 2])];
    deploy(&api, "viewer", &Viewer { reads, ..Viewer::default().digit(2) }.component());
    until_active(&api, 2);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 2));
}

#[test]
fn a_view_goes_with_the_version_that_had_it_and_is_built_again_when_that_comes_back() {
    let host = host_with(&Viewer { views: vec!["notes".into(), "notes-too".into()], ..Viewer::default() });
    let api = host.api();
    let last = notes(&api, "L1", &["one", "two"]);
    assert_eq!(rows_at(&api, "notes-too", &last), ["1one", "1two"]);
    deploy(&api, "viewer", &Viewer::default().digit(2).component());
    until_active(&api, 2);
    let gone = api.get("/v1/views/notes-too/list");
    assert_eq!(
        gone.error(),
        "404 no_such_view: no active module of namespace `default` has a projection `notes-too`\n  hint: did you mean `notes`?\n"
    );
    activate(&api, "viewer", 1);
    assert_eq!(rows_at(&api, "notes-too", &last), ["1one", "1two"]);
}
