//! Warnings about definitions that are legal and probably a mistake: `check` and `deploy` print them, and do not fail.

use expect_test::expect;
use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    guests::{Way, guest_path},
    host::{Host, Options},
    probe::{Kind, Probe, Step, Undo},
};

#[test]
fn a_check_and_a_deploy_warn_of_what_is_legal_and_hardly_meant() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let odd = Probe::steps(vec![Step::new("book", Kind::Pivot, Undo::Code)]).component();
    let folder = DataFolder::empty();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("odd.wasm");
    std::fs::write(&file, &odd).unwrap();
    let file = file.to_str().unwrap();
    let warned =
        |output: &str| output.lines().filter(|line| line.starts_with("warning: ")).map(|line| format!("{line}\n")).collect();
    let expected = expect![[r#"
        warning: saga `probe`, step `book`: its compensation can never run: a pivot that does not reach outside is never in doubt; leave it out
    "#]];
    let checked: String = warned(&host.cli(&["check", file]).stdout);
    expected.assert_eq(&checked);
    let planned: String = warned(&host.cli(&["deploy", file, "--plan"]).stdout);
    expected.assert_eq(&planned);
    let deployed = host.cli(&["deploy", file]);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let warnings: String = warned(&deployed.stdout);
    expected.assert_eq(&warnings);
    assert_eq!(host.api().run("probe", "S1", &json!({}))["status"], "completed");
}

/// All that `cargo xtask guests` builds.
pub(crate) const EXAMPLES: [&str; 11] =
    ["order", "order-v2", "trip", "trip-v2", "approval", "approval-v2", "shop", "shop-v2", "transfer", "group", "itinerary"];

/// Two of the examples were warned of, for what every effect-free saga of steps and undos does: nobody reads warnings that mean
/// nothing.
#[test]
fn nothing_is_to_be_said_of_the_examples() {
    let host = Host::start(DataFolder::empty(), Options::default());
    for example in EXAMPLES {
        let checked = host.cli(&["check", guest_path(Way::Plain, example).to_str().unwrap()]);
        assert_eq!(checked.code, 0, "{example}: {}", checked.stderr);
        assert!(!checked.stdout.contains("warning"), "{example}: {}", checked.stdout);
    }
}
