//! Modules with aggregates that no host takes: each reason is named, and nothing is stored.

use expect_test::expect;
use serde_json::json;

use super::{assert_unharmed, host_with, send};
use crate::harness::{
    answers_text,
    host::Host,
    ledger::{Ledger, Reaching},
};

fn deploy(host: &Host, ledger: &Ledger) -> String {
    host.api().put("/v1/modules/ledger", &ledger.component()).error()
}

fn event(name: &str) -> (String, u32, Vec<u32>) {
    (name.to_owned(), 1, Vec::new())
}

#[test]
fn a_module_whose_aggregates_break_the_rules_is_refused_with_every_reason() {
    let host = host_with(&Ledger::default());
    let modules = host.api().get("/v1/modules").expect(200);
    let commands = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0)).collect::<Vec<_>>();
    let broken = Ledger {
        commands: commands(&["note", "note", "Note", "", "no\u{202e}te"]),
        events: vec![
            event("ledger.noted"),
            event("ledger.noted"),
            event("noted"),
            event("other.noted"),
            event("ledger.No!ted"),
            event("ledger.no\u{1b}[2Jted"),
            ("ledger.written".to_owned(), 0, Vec::new()),
            ("ledger.read".to_owned(), 2, vec![2, 3, 0]),
        ],
        ..Ledger::default()
    };
    let many = Ledger { commands: commands(&(0..257).map(|_| "note").collect::<Vec<_>>()), ..Ledger::default() };
    let many = deploy(&host, &many);
    let found = answers_text([
        ("many rules", deploy(&host, &broken)),
        ("no command and no event", deploy(&host, &Ledger { commands: Vec::new(), events: Vec::new(), ..Ledger::default() })),
        ("a name", deploy(&host, &Ledger { aggregate: "../ledger".to_owned(), ..Ledger::default() })),
        ("a longer name", deploy(&host, &Ledger { aggregate: "l".repeat(64), ..Ledger::default() })),
    ]);
    expect![[r#"
        many rules
          422 bad_definition: aggregate `ledger`: command `note` is defined twice; aggregate `ledger`: command `Note`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: command ``: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: command `no\u{202e}te`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: event `ledger.noted` is defined twice; aggregate `ledger`: event `noted`: its type is `ledger.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: event `other.noted`: its type is `ledger.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: event `ledger.No!ted`: its type is `ledger.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: event `ledger.no\u{1b}[2Jted`: its type is `ledger.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `ledger`: event `ledger.written`: versions count from 1, and what is read beside 0 is older; aggregate `ledger`: event `ledger.read`: versions count from 1, and what is read beside 2 is older
          hint: mend the definition and deploy again; nothing was stored
        no command and no event
          422 bad_definition: aggregate `ledger`: it has 0 commands; an aggregate has 1 to 256; aggregate `ledger`: it has 0 events; an aggregate has 1 to 256
          hint: mend the definition and deploy again; nothing was stored
        a name
          422 bad_definition: aggregate `../ledger`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `../ledger`: event `ledger.noted`: its type is `../ledger.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a longer name
          422 bad_definition: aggregate `llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter; aggregate `llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll`: event `ledger.noted`: its type is `llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll.` and a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
    "#]]
    .assert_eq(&found);
    assert!(many.contains("it has 257 commands; an aggregate has 1 to 256"), "{many}");
    assert_eq!(host.api().get("/v1/modules").expect(200), modules);
    assert_unharmed(&host);
}

#[test]
fn an_aggregates_name_belongs_to_one_module_of_a_namespace() {
    let host = host_with(&Ledger::default());
    let api = host.api();
    let other = Ledger { module: "other".to_owned(), ..Ledger::default() };
    let refused = api.put("/v1/modules/other", &other.component());
    expect![[r#"
        409 name_taken: aggregate `ledger` belongs to module `ledger` in namespace `default`
          hint: give the aggregate another name, or use another namespace
    "#]]
    .assert_eq(&refused.error());
    api.in_namespace("theirs").put("/v1/modules/other", &other.component()).expect(201);
    assert_eq!(send(&api, "ledger/L1", "note", &json!("ours")).expect(200)["version"], 1);
    assert_unharmed(&host);
}

/// Nothing in it may call out, so that it could only fail when it does.
#[test]
fn a_module_of_aggregates_alone_that_imports_outgoing_http_is_refused() {
    let host = host_with(&Ledger::default());
    let refused = deploy(&host, &Ledger { reaching: Reaching::Alone, ..Ledger::default() });
    expect![[r#"
        422 bad_definition: the module imports wasi:http/outgoing-handler@0.2.0, and has no saga: aggregates, projections and policies reach nothing outside; let a step of a saga call
          hint: mend the definition and deploy again; nothing was stored
    "#]]
    .assert_eq(&refused);
    // A saga of the module may use it.
    host.api()
        .put("/v1/modules/ledger", &Ledger { reaching: Reaching::BesideASaga, ..Ledger::default() }.component())
        .expect(201);
}
