//! What is legal and hardly meant is said where a module is checked and where it is deployed, and stops nobody.

use expect_test::expect;
use serde_json::json;

use crate::harness::{
    folder::DataFolder,
    host::{Host, Options},
    probe::{Kind, Probe, Step, Undo},
};

#[test]
fn a_check_and_a_deploy_warn_of_what_is_legal_and_hardly_meant() {
    let host = Host::start(DataFolder::empty(), Options::default());
    let odd = Probe::steps(vec![Step::new("book", Kind::Compensatable, Undo::Code)]).component();
    let folder = DataFolder::empty();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("odd.wasm");
    std::fs::write(&file, &odd).unwrap();
    let file = file.to_str().unwrap();
    let warned = |said: &str| said.lines().filter(|line| line.starts_with("warning: ")).map(|line| format!("{line}\n")).collect();
    let expected = expect![[r#"
        warning: saga `probe`, step `book`: it does not reach outside and has a compensation; say that it leaves nothing to undo
    "#]];
    let checked: String = warned(&host.cli(&["check", file]).stdout);
    expected.assert_eq(&checked);
    let planned: String = warned(&host.cli(&["deploy", file, "--plan"]).stdout);
    expected.assert_eq(&planned);
    let deployed = host.cli(&["deploy", file]);
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let said: String = warned(&deployed.stdout);
    expected.assert_eq(&said);
    assert_eq!(host.api().run("probe", "S1", &json!({}))["status"], "completed");
}
