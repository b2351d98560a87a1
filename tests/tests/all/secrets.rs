//! Secrets of the operator: guests with a grant read them, and the host writes them nowhere.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    api::Api,
    folder::{DataFolder, in_memory},
    host::{Host, Options},
    probe::Probe,
};

const SECRET: &str = "correct-horse-battery-staple";

/// A module whose one step gives `true` if it may read `bank-key` and gets what is in the file, and `null` if it gets nothing.
fn reader() -> Probe {
    let length = SECRET.len();
    Probe {
        imports: r#"(import "amends:module/secrets@0.1.0" "get" (func $secret (param i32 i32 i32)))"#.to_owned(),
        items: r#"(data (i32.const 700) "bank-key") (data (i32.const 720) "true")"#.to_owned(),
        ..Probe::execute(format!(
            "(call $secret (i32.const 700) (i32.const 8) (i32.const 512))
            (if (result i32) (i32.load8_u (i32.const 512))
                (then
                    (if (i32.ne (i32.load (i32.const 520)) (i32.const {length})) (then (unreachable)))
                    (call $done (i32.const 720) (i32.const 4)))
                (else (call $done (i32.const 32) (i32.const 4))))"
        ))
    }
}

fn read(api: &Api, id: &str) -> Value {
    let saga = api.run("probe", id, &json!({}));
    assert_eq!(saga["status"], "completed", "{saga}");
    saga["output"].clone()
}

fn grant(api: &Api, names: &[&str]) {
    let body = json!({"grants": {"secrets": names}, "force": true});
    api.put("/v1/modules/probe/grants", body.to_string().as_bytes()).expect(200);
}

/// Files below a folder that hold these bytes.
fn holding(folder: &Path, needle: &[u8]) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => holding(&path, needle),
        false => {
            let bytes = fs::read(&path).unwrap();
            let holds = bytes.windows(needle.len()).any(|window| window == needle);
            holds.then(|| path.display().to_string()).into_iter().collect()
        }
    });
    found.collect()
}

#[test]
fn a_secret_reaches_the_guest_that_may_have_it_and_nothing_that_the_host_writes() {
    let secrets = in_memory();
    let place = secrets.path().display().to_string();
    let mut host = Host::start(DataFolder::empty(), Options::default().with("AMENDS_SECRETS", &place));
    let api = host.api();
    let deployed = api.put("/v1/modules/probe", &reader().component()).expect(201);
    assert_eq!(deployed["missing_grants"][0]["command"], "amends grant probe --secret NAME", "{deployed}");
    assert_eq!(read(&api, "P1"), Value::Null, "nothing was granted");

    grant(&api, &["bank-key"]);
    assert_eq!(read(&api, "P2"), Value::Null, "the operator has put no such file there");
    host.until_logged(|log| log.contains("secret `bank-key` is granted, and cannot be read from") && log.contains(&place));

    fs::write(secrets.path().join("bank-key"), format!("{SECRET}\n")).unwrap();
    assert_eq!(read(&api, "P3"), true);
    grant(&api, &["mail-key"]);
    assert_eq!(read(&api, "P4"), Value::Null, "it was taken back");

    assert!(host.stop().success());
    assert_eq!(holding(host.folder.path(), SECRET.as_bytes()), Vec::<String>::new());
    assert_eq!(holding(host.folder.path(), b"mail-key").len(), 1, "what is recorded is the name");
    assert!(!host.log().contains(SECRET), "{}", host.log());
}
