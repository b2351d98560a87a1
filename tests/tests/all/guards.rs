//! The lists of tests in TESTING.md and ARCHITECTURE.md.

use std::{fs, path::Path};

use crate::harness::guests::repository;

/// The list named files that had been renamed: whoever looked for what guards a promise found nothing.
#[test]
fn every_test_that_the_list_names_exists() {
    let list = fs::read_to_string(repository().join("TESTING.md")).unwrap();
    let named: Vec<(&str, &str)> = list.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (file, test) in named {
        let path = repository().join(format!("tests/tests/all/{}.rs", file.replace("::", "/")));
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

/// Pages named figures that a later change had made wrong. The figures of this list are held by the code that they are from; others
/// are not written down.
#[test]
fn every_figure_of_a_page_is_that_of_the_code() {
    let folders = ["runtime", "tests/tests/all/kills.rs", "tests/tests/all/transcripts.rs", "xtask/src"];
    let code: String = folders.map(|folder| rust(&repository().join(folder))).concat();
    for (page, figure, line) in [
        ("TESTING.md", "the host is killed at each of 46 points", "KILLED.len() * 5 + 1 == 46"),
        ("TESTING.md", "100,000 sequences; a minute", "number(\"AMENDS_SEQUENCES\", 100_000)"),
        ("TESTING.md", "random sagas of the laws test (100,000)", "number(\"AMENDS_SEQUENCES\", 100_000)"),
        ("TESTING.md", "power losses of the store's test (40;", "runs.parse().ok()).unwrap_or(40)"),
        ("TESTING.md", "random lives of a view (20)", "lives.parse().ok()).unwrap_or(20)"),
        ("TESTING.md", "for at most 20 seconds", "const PATIENCE: Duration = Duration::from_secs(20);"),
        ("README.md", "At most 400 requests wait and 300 follow", "WAITS_MAX: usize = 400"),
        ("README.md", "At most 400 requests wait and 300 follow", "WATCHES_MAX: usize = 300"),
        ("README.md", "up to 100,000 elements", "ELEMENTS_MAX: usize = 100_000"),
        ("README.md", "10,000 sagas wait", "default_value_t = 10_000"),
        ("ARCHITECTURE.md", "the newest 4,096 batches", "BATCHES_KEPT: u64 = 4_096"),
        ("ARCHITECTURE.md", "the earliest 4,096 timers", "WINDOW: usize = 4_096"),
    ] {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        assert!(text.contains(figure), "{page} does not say `{figure}` any more");
        assert!(code.contains(line), "{page} says `{figure}`, and no source has `{line}`");
    }
}

/// The Rust of a file or a folder.
fn rust(path: &Path) -> String {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| rust(&entry.unwrap().path())).collect(),
        Err(_) if path.extension().is_some_and(|extension| extension == "rs") => fs::read_to_string(path).unwrap(),
        Err(_) => String::new(),
    }
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
