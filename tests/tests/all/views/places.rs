//! Where views are: names, namespaces, positions.

use serde_json::json;

use super::{deploy, generations, host_with, list_at, note, rows_at, shown};
use crate::harness::{answers_text, ledger::Ledger, viewer::Viewer};

#[test]
fn views_of_two_namespaces_with_equal_names_and_ids_never_meet() {
    let mut host = host_with(&Viewer::default());
    let (here, there) = (host.api(), host.api().in_namespace("north"));
    deploy(&there, "ledger", &Ledger::default().component());
    deploy(&there, "viewer", &Viewer::default().component());
    for number in 0..20 {
        note(&here, "L1", &format!("here {number}"));
        note(&there, "L1", &format!("there {number}"));
    }
    let (last, last_there) = (note(&here, "L1", "last"), note(&there, "L1", "last there"));
    let is_here = |row: &String| row.starts_with("1here") || row == "1last";
    assert!(rows_at(&here, "notes", &last).iter().all(is_here));
    assert_eq!(rows_at(&here, "notes", &last).len(), 21);
    assert!(rows_at(&there, "notes", &last_there).iter().all(|row| !is_here(row)));
    assert_eq!(rows_at(&there, "notes", &last_there).len(), 21);
    deploy(&there, "viewer", &Viewer::default().digit(2).component());
    super::until(&there, "notes", |shown| super::generation(shown, "active")["version"] == 2);
    host.restart();
    let (here, there) = (host.api(), host.api().in_namespace("north"));
    assert!(generations(&shown(&here, "notes")).ends_with("active v1"));
    assert!(rows_at(&here, "notes", &last).iter().all(is_here));
    assert!(rows_at(&there, "notes", &last_there).iter().all(|row| row.starts_with("2there") || row == "2last there"));
    assert_eq!(host.api().in_namespace("south").get("/v1/projections").expect(200), json!({"projections": []}));
}

/// The same component in two namespaces was one: what the views of one needed could not be removed in the other.
#[test]
fn what_a_view_of_one_namespace_needs_can_be_removed_in_another() {
    let host = host_with(&Viewer::default());
    let (here, there) = (host.api(), host.api().in_namespace("north"));
    deploy(&there, "ledger", &Ledger::default().component());
    deploy(&there, "viewer", &Viewer::default().component());
    deploy(&there, "viewer", &Viewer::default().digit(2).component());
    super::until(&there, "notes", |shown| super::generation(shown, "active")["version"] == 2);
    there.write(ureq::http::Method::DELETE, "/v1/modules/viewer/versions/1", b"").expect(200);
    let last = note(&here, "L1", "one");
    assert_eq!(rows_at(&here, "notes", &last), ["1one"]);
}

#[test]
fn what_there_is_not_is_refused_with_what_was_meant() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let last = note(&api, "L1", "one");
    let number: u64 = last.rsplit('-').next().unwrap().parse().unwrap();
    let found = answers_text([
        ("no view", api.get("/v1/views/note/list").error()),
        ("no view at all", api.in_namespace("north").get("/v1/views/notes/list").error()),
        ("no query", api.get("/v1/views/notes/lost").error()),
        ("no projection", api.get("/v1/projections/note").error()),
        ("a bad name", api.get("/v1/views/Notes/list").error()),
        ("another life", list_at(&api, "notes", &format!("0-9-{number}")).error()),
        ("no position", list_at(&api, "notes", "7").error()),
        ("twice", api.get("/v1/views/notes/list?a=1&a=2").error()),
        ("a switch to nothing", api.post("/v1/projections/notes/switch", &json!({})).error()),
        ("a rebuild of nothing", api.post("/v1/projections/nodes/rebuild", &json!({})).error()),
    ]);
    expect_test::expect![[r#"
        no view
          404 no_such_view: no active module of namespace `default` has a projection `note`
          hint: did you mean `notes`?
        no view at all
          404 no_such_view: no active module of namespace `north` has a projection `notes`
          hint: deploy a module that has one
        no query
          404 no_such_query: the view `notes` has no query `lost`
          hint: did you mean `list`?
        no projection
          404 no_such_view: no active module of namespace `default` has a projection `note`
          hint: did you mean `notes`?
        a bad name
          400 bad_name: bad name "Notes": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        another life
          409 restored: position `0-9-32` is of another life of this journal, which was restored since
          hint: read again from the start
        no position
          400 bad_request: `7` is no position
          hint: use one as the host handed it out
        twice
          400 bad_request: `a` is given twice
        a switch to nothing
          409 verb_does_not_fit: the view `notes` has no previous generation
          hint: build it again instead
        a rebuild of nothing
          404 no_such_view: no active module of namespace `default` has a projection `nodes`
          hint: did you mean `notes`?
    "#]]
    .assert_eq(&found);
}

/// A name belongs to one module, also where the other had it before.
#[test]
fn two_modules_do_not_have_one_view() {
    let host = host_with(&Viewer::default());
    let api = host.api();
    let other = |views: &[&str]| Viewer {
        module: "other".into(),
        views: views.iter().map(|view| (*view).to_owned()).collect(),
        ..Viewer::default().digit(2)
    };
    let refused = api.put("/v1/modules/other", &other(&["notes"]).component());
    assert_eq!(refused.code(), "409 name_taken", "{}", refused.body);
    // The first version has one that no other has; the second gives it up, and another module takes it.
    deploy(&api, "other", &other(&["others"]).component());
    deploy(&api, "other", &other(&["more"]).component());
    deploy(&api, "viewer", &Viewer { views: vec!["notes".into(), "others".into()], ..Viewer::default() }.component());
    let back = api.post("/v1/modules/other/activate", &json!({"version": 1}));
    assert_eq!(back.code(), "409 name_taken", "{}", back.body);
    let last = note(&api, "L1", "one");
    assert_eq!(rows_at(&api, "others", &last), ["1one"]);
    assert_eq!(rows_at(&api, "more", &last), ["2one"]);
}

#[test]
fn sixty_four_views_are_built_at_once_and_each_is_whole() {
    let names: Vec<String> = (0..64).map(|number| format!("view-{number}")).collect();
    let mut host = host_with(&Viewer { views: names.clone(), ..Viewer::default() });
    let api = host.api();
    let last = super::notes(&api, "L1", &["one", "two", "k:"]);
    let folded = super::folded(&api, 1);
    names.iter().for_each(|view| assert_eq!(rows_at(&api, view, &last), folded, "{view}"));
    deploy(&api, "viewer", &Viewer { views: names.clone(), ..Viewer::default().digit(2) }.component());
    host.kill();
    host.restart();
    let api = host.api();
    let folded = super::folded(&api, 2);
    for view in &names {
        super::until(&api, view, |shown| super::generation(shown, "active")["version"] == 2);
        assert_eq!(rows_at(&api, view, &last), folded, "{view}");
    }
}
