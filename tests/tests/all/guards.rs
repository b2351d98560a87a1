//! The list in `TESTING.md` of which test guards what.

use std::fs;

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
