//! The lists of tests in TESTING.md and ARCHITECTURE.md.

use std::{fs, path::Path};

use crate::harness::guests::repository;

/// The list named files that had been renamed: whoever looked for what guards a promise found nothing.
#[test]
fn every_test_that_the_list_names_exists() {
    let list = fs::read_to_string(repository().join("TESTING.md")).unwrap();
    let named: Vec<(&str, &str)> = list.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (file, test) in named {
        let path = repository().join(format!("tests/tests/all/{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(source.contains(&format!("fn {test}()")), "{file}::{test}");
    }
}

/// Two of them had been renamed, and the page named what there was no more.
#[test]
fn every_scenario_that_the_architecture_names_exists() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let codes = page.split('`').skip(1).step_by(2);
    let named: Vec<&str> = codes.filter(|code| code.starts_with("tb_") || code.starts_with("xr_")).collect();
    assert!(named.len() > 5, "{named:?}");
    let sources = sources(&repository().join("tests/tests/all"));
    let gone: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// All of a folder's sources, one after the other.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap() }).collect()
}

/// Rows that are missing here have no test, whatever the list says.
#[test]
fn every_row_has_a_test() {
    let sources: String =
        ["travel", "kills", "correspondence", "promptness", "crowds", "hostile", "bad_json", "operators", "floods"]
            .map(|file| fs::read_to_string(repository().join(format!("tests/tests/all/{file}.rs"))).unwrap())
            .concat();
    let trips = [1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 14, 15, 16, 17, 18].map(|row| format!("tb_{row:02}_"));
    let others = [20, 21, 22, 24, 25, 27, 28, 29, 30, 31, 32, 35].map(|row| format!("xr_{row}_"));
    let missing: Vec<&String> = trips.iter().chain(&others).filter(|id| !sources.contains(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
