//! Hosts that are killed while views are built or ask for nothing: afterwards each equals the fold of the log. Their file is no treasure.

use std::{fs, thread};

use serde_json::Value;

use super::{act, deploy, folded, generation, host_with, note, rows_at, until, until_stopped};
use crate::harness::{each, viewer::Viewer};

fn two_views() -> Viewer {
    Viewer { views: vec!["notes".into(), "notes-too".into()], ..Viewer::default() }
}

#[test]
fn a_host_that_is_killed_while_views_are_live_and_built_has_lost_nothing() {
    let mut host = host_with(&two_views());
    for round in 0..5_u8 {
        let api = host.api();
        each(&api, 40, move |api, number| drop(note(api, &format!("L{}", number % 5), &format!("{round} {number}"))));
        if round % 2 == 1 {
            deploy(&api, "viewer", &two_views().digit(round).component());
        } else {
            act(&api, "notes", "rebuild", &Value::Null).expect(200);
        }
        let writer = {
            let api = api.clone();
            // It is not answered any more at some point.
            thread::spawn(move || {
                for number in 0.. {
                    let path = "/v1/aggregates/ledger/L9/note";
                    let body = format!("\"{round} beside {number}\"");
                    if api.try_send(ureq::http::Method::POST, path, None, body.as_bytes()).is_err() {
                        break;
                    }
                }
            })
        };
        note(&api, "L8", "before the kill");
        host.kill();
        writer.join().unwrap();
        host.restart();
        let api = host.api();
        let last = note(&api, "L8", "after the kill");
        for view in ["notes", "notes-too"] {
            let rows = rows_at(&api, view, &last);
            let after = until(&api, view, |shown| generation(shown, "building").is_null());
            let digits = [1, 3].map(|digit| folded(&api, digit));
            assert!(digits.contains(&rows), "{round} {view}: {} rows of {}", rows.len(), digits[0].len());
            let digit = if round >= 3 { 3 } else { 1 };
            assert_eq!(rows_at(&api, view, &last), folded(&api, digit), "{round} {view} {after}");
        }
    }
}

#[test]
fn views_whose_file_is_gone_or_garbage_are_built_anew() {
    let mut host = host_with(&two_views());
    let last = note(&host.api(), "L1", "one");
    for round in 0..4 {
        rows_at(&host.api(), "notes", &last);
        host.kill();
        let file = host.folder.path().join("views.redb");
        match round {
            0 => fs::remove_file(&file).unwrap(),
            1 => fs::write(&file, vec![7; 100_000]).unwrap(),
            2 => fs::write(&file, b"").unwrap(),
            _ => {
                let mut bytes = fs::read(&file).unwrap();
                let half = bytes.len() / 2;
                bytes.truncate(half);
                fs::write(&file, bytes).unwrap();
            }
        }
        host.restart();
        let api = host.api();
        let last = note(&api, "L1", "more");
        assert_eq!(rows_at(&api, "notes", &last), folded(&api, 1), "{round}");
        assert_eq!(rows_at(&api, "notes-too", &last), folded(&api, 1), "{round}");
    }
}

#[test]
fn a_view_that_stopped_stays_so_over_a_kill_and_a_build_goes_on() {
    let mut host = host_with(&Viewer::default());
    note(&host.api(), "L1", "one");
    let last = note(&host.api(), "L1", "T: this");
    until_stopped(&host.api(), "notes");
    host.restart();
    assert_eq!(until_stopped(&host.api(), "notes")["stopped"]["event"], "ledger/L1/2");
    deploy(&host.api(), "viewer", &Viewer::default().digit(2).tame().component());
    host.kill();
    host.restart();
    let api = host.api();
    until(&api, "notes", |shown| generation(shown, "active")["version"] == 2);
    assert_eq!(rows_at(&api, "notes", &last), folded(&api, 2));
}
