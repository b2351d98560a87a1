//! Bad input at the command line: exit code 1 or 2, nothing on stdout, and a message with the remedy.

use expect_test::expect;
use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    without_time,
};

/// The exit code of each command and what it says, without the address of the host.
fn said_by(host: &Host, commands: &[&[&str]]) -> String {
    let mut found = String::new();
    for arguments in commands {
        let output = host.cli(arguments);
        assert_eq!(output.stdout, "", "{arguments:?}");
        assert!(!output.stderr.contains('\u{202e}'), "{arguments:?}");
        let shown: Vec<String> = arguments.iter().map(|word| word.escape_debug().take(20).collect()).collect();
        found.push_str(&format!("{}: exit {}\n", shown.join(" "), output.code));
        output.stderr.lines().for_each(|line| found.push_str(&format!("  {}\n", without_time(line.to_owned()))));
    }
    found.replace(&host.ready.url, "URL")
}

fn host() -> Host {
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    host.api().run("order", "ended", &json!({}));
    host.api().start("approval", "waits", &json!({})).expect(201);
    host.api().until_type("waits", "wait");
    host
}

#[test]
fn bad_names_at_the_command_line_are_refused() {
    let long = "a".repeat(300);
    let found = said_by(
        &host(),
        &[
            &["start", "../order", "--id", "X1"],
            &["start", "", "--id", "X1"],
            &["start", &long, "--id", "X1"],
            &["start", "or\u{202e}der", "--id", "X1"],
            &["start", "order", "--id", "../X1"],
            &["start", "order", "--id", ""],
            &["start", "order", "--id", "X\u{202e}1"],
            &["show", "../ended"],
            &["activate", "or\u{202e}der", "1"],
            &["--namespace", "../default", "list"],
            &["--namespace", "de\u{202e}fault", "list"],
            &["skip", "waits", "de\u{202e}cide", "--yes"],
        ],
    );
    expect![[r#"
        start ../order --id X1: exit 1
          amends: bad name "../order": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        start  --id X1: exit 1
          amends: bad name "": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        start aaaaaaaaaaaaaaaaaaaa --id X1: exit 1
          amends: bad name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        start or\u{202e}der --id X1: exit 1
          amends: bad name "or\u{202e}der": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        start order --id ../X1: exit 1
          amends: bad saga id "../X1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        start order --id : exit 1
          amends: bad saga id "": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        start order --id X\u{202e}1: exit 1
          amends: bad saga id "X\u{202e}1": use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
        show ../ended: exit 1
          amends: bad name "..": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        activate or\u{202e}der 1: exit 1
          amends: bad name "or\u{202e}der": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        --namespace ../default list: exit 2
          amends: bad namespace: use 1 to 63 of a-z, 0-9 and -
        --namespace de\u{202e}fault list: exit 2
          amends: bad namespace: use 1 to 63 of a-z, 0-9 and -
        skip waits de\u{202e}cide --yes: exit 1
          approval waits is waiting at revision 5
          would skip the compensation of de cide in waits: its effect remains
          amends: `step` is a step's path, as `reserve-hotel`
    "#]].assert_eq(&found);
}

#[test]
fn bad_input_at_the_command_line_is_refused() {
    let found = said_by(
        &host(),
        &[
            &["start", "order", "--id", "X1", "--input", "order_id=o-1"],
            &["start", "order", "--id", "X1", "--input", "{\"qty\": 1, \"qty\": 2}"],
            &["start", "order", "--id", "X1", "--input", "@/no/such/input.json"],
            &["start", "order", "--id", "ended", "--input", "{\"qty\": 7}"],
            &["signal", "waits", "approval", "--data", "{"],
            &["start", "ordr", "--id", "X1"],
            &["show", "X1"],
            &["journal", "X1"],
            &["modules", "ordr"],
            &["activate", "order", "7"],
            &["activate", "ordr", "1"],
            &["grant", "ordr", "--http", "https://example.org"],
            &["grant", "order", "--http", "example.org"],
            &["cancel", "ended", "--yes"],
            &["retry", "waits"],
            &["skip", "waits", "decide", "--yes"],
            &["resolve", "waits", "decline", "--not-done", "--yes"],
        ],
    );
    expect![[r#"
        start order --id X1 --input order_id=o-1: exit 2
          amends: the input is bad JSON: expected value at line 1 column 1
        start order --id X1 --input {\"qty\": 1, \"qty\": exit 2
          amends: the input is bad JSON: key `qty` twice in the outermost object at line 1 column 20
        start order --id X1 --input @/no/such/input.json: exit 1
          amends: cannot read the input from /no/such/input.json: No such file or directory (os error 2)
        start order --id ended --input {\"qty\": 7}: exit 1
          amends: saga id ended is taken by another definition or input; an id is never used twice: choose another, or send the same input again
        signal waits approval --data {: exit 2
          amends: the data is bad JSON: EOF while parsing an object at line 1 column 1
        start ordr --id X1: exit 1
          amends: no saga `ordr` is deployed in namespace `default`; did you mean `order`?
        show X1: exit 1
          amends: no saga `X1` in this namespace; `amends list` shows the sagas that there are
        journal X1: exit 1
          amends: no saga `X1` in this namespace; `amends list` shows the sagas that there are
        modules ordr: exit 1
          amends: no module `ordr` in this namespace; `amends modules` shows the ones that there are
        activate order 7: exit 1
          amends: module `order` has no version 7; its versions are in: amends modules order
        activate ordr 1: exit 1
          amends: there is no module `ordr` in this namespace; deploy it first: amends deploy FILE.wasm
        grant ordr --http https://example.org: exit 1
          amends: no module `ordr` in this namespace; `amends modules` shows the ones that there are
        grant order --http example.org: exit 2
          amends: `example.org` is no origin: it does not parse as a URL; write it as https://api.example.com or http://127.0.0.1:9000
        cancel ended --yes: exit 1
          amends: saga ended completed at … and takes no more verbs or signals; what it did is undone by another saga, as a refund
        retry waits: exit 1
          approval waits is waiting at revision 5
          amends: saga waits: no step is stuck or backing off; these fit: resolve, cancel, abandon
        skip waits decide --yes: exit 1
          approval waits is waiting at revision 5
          would skip the compensation of decide in waits: its effect remains
          amends: saga waits: only a stuck compensation can be skipped, and `decide` has none; these fit: resolve, cancel, abandon
        resolve waits decline --not-done --yes: exit 1
          approval waits is waiting at revision 5
          amends: saga waits: it has no step `decline`; its steps are in: amends show waits
    "#]].assert_eq(&found);
}
