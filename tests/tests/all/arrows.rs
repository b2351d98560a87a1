//! The dependencies between the folders of the host: a table in ARCHITECTURE.md lists them, and the `use` lines must agree with
//! it.
//!
//! A dependency cycle begins with one unintended line: 26 files of the engine once formed a cycle, because nothing failed when a
//! folder used one above it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::harness::guests::repository;

/// A folder or a file of `runtime/src`, as `engine/saga` or `marker`; `cli` and what is in it is `runtime/cli/src`.
type Place = String;

/// What each place may name, as the page says.
fn allowed() -> BTreeMap<Place, BTreeSet<Place>> {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let table = page.split("<!-- arrows -->").nth(1).unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let codes = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut allowed = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        for place in codes(cells[1]) {
            let known = allowed.insert(place.clone(), codes(cells[2]).into_iter().collect());
            assert!(known.is_none(), "{place} stands in the table twice");
        }
    }
    allowed
}

#[test]
fn no_folder_names_another_that_the_architecture_does_not_allow() {
    let allowed = allowed();
    let mut wrong = BTreeSet::new();
    let mut used: BTreeMap<Place, BTreeSet<Place>> = BTreeMap::new();
    for (path, named) in named_by_files() {
        let from = place_of(&allowed, &path).unwrap_or_else(|| panic!("{path} stands in no row of the table"));
        let Some(to) = named.and_then(|named| place_of(&allowed, &named)).filter(|to| *to != from) else { continue };
        if !may(&allowed, &from, &to) {
            wrong.insert(format!("{path}: {from} names {to}"));
        }
        used.entry(from).or_default().insert(to);
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md does not allow these:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    // What nothing uses is no rule.
    let unused: Vec<String> = allowed
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        .filter(|(from, to)| !used.get(*from).is_some_and(|used| used.contains(*to)))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert!(unused.is_empty(), "the table allows what nothing uses:\n{}", unused.join("\n"));
}

/// A hint of the engine that holds a command is wrong for whoever asks in another way: the API turns a `Remedy` into one.
#[test]
fn the_engine_names_no_command_line_and_no_path() {
    let engine = repository().join("runtime/src/engine");
    let mut wrong = Vec::new();
    for file in files(&engine) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in code.filter(|(_, line)| ["amends ", "/v1/"].iter().any(|outside| line.contains(outside))) {
            wrong.push(format!("{}:{}: {}", file.strip_prefix(&engine).unwrap().display(), number + 1, line.trim()));
        }
    }
    assert!(wrong.is_empty(), "these are words of the outside:\n{}", wrong.join("\n"));
}

/// What the table allows comes back to itself nowhere.
#[test]
fn what_the_architecture_allows_has_no_circle() {
    let allowed = allowed();
    let reach = |from: &Place| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(place) = next.pop() {
            for to in allowed.get(&place).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let circle: Vec<&Place> = allowed.keys().filter(|place| reach(place).contains(*place)).collect();
    assert!(circle.is_empty(), "these come back to themselves: {circle:?}");
}

/// What decides is given what it needs: a read in the middle of a decision would hold up everybody where the store is across a
/// network.
#[test]
fn no_file_of_a_kind_that_decides_reads_the_store() {
    let engine = repository().join("runtime/src/engine");
    // A folder of the engine is a kind, but for the kernel, which is given the store, and the tests.
    let folders = fs::read_dir(&engine).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let kinds: Vec<PathBuf> = folders.filter(|path| !path.ends_with("kernel") && !path.ends_with("tests")).collect();
    assert!(kinds.iter().any(|kind| kind.ends_with("saga")), "{kinds:?}");
    for kind in kinds {
        for file in files(&kind) {
            let source = fs::read_to_string(&file).unwrap();
            let decides = source.contains("Commit<'_>") || source.contains("Reads<'_>");
            assert!(!(decides && source.contains("dyn Store")), "{} decides and names the store", file.display());
        }
    }
}

/// Each file by its place, with each place that it names; once without, so that a file that names nobody is seen.
fn named_by_files() -> Vec<(Place, Option<Place>)> {
    let mut all = Vec::new();
    for (crate_path, place, uses) in
        [("runtime/src", "", &[("crate::", "")][..]), ("runtime/cli/src", "cli/", &[("crate::", "cli/"), ("amends_host::", "")])]
    {
        let source = repository().join(crate_path);
        for file in files(&source) {
            let path = format!("{place}{}", file.strip_prefix(&source).unwrap().with_extension("").to_string_lossy());
            let text = fs::read_to_string(&file).unwrap();
            let named =
                uses.iter().flat_map(|(root, place)| names(&text, root).into_iter().map(move |name| format!("{place}{name}")));
            all.extend(named.map(|named| (path.clone(), Some(named))));
            all.push((path, None));
        }
    }
    all
}

fn may(allowed: &BTreeMap<Place, BTreeSet<Place>>, from: &str, to: &str) -> bool {
    allowed.get(from).is_some_and(|places| places.contains(to))
}

/// The longest place of the table that a path lies in.
fn place_of(allowed: &BTreeMap<Place, BTreeSet<Place>>, path: &str) -> Option<Place> {
    let lies_in = |place: &&Place| path == place.as_str() || path.starts_with(&format!("{place}/"));
    allowed.keys().filter(lies_in).max_by_key(|place| place.len()).cloned()
}

/// The paths under a root that a source names, as `engine/kernel/commit/Commit` under `crate::`, tests left out.
fn names(source: &str, root: &str) -> BTreeSet<String> {
    // A test module that is a file of its own stands before the `use` lines, one that is written here stands last.
    let tests = source
        .match_indices("#[cfg(test)]\nmod ")
        .find(|(at, _)| source[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{')));
    let code = &source[..tests.map_or(source.len(), |(at, _)| at)];
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let mut names = BTreeSet::new();
    for rest in code.split(root).skip(1) {
        let tree: String = tree(rest);
        expand("", &tree, &mut names);
    }
    names
}

/// The path, or the tree of paths, that a text begins with.
fn tree(text: &str) -> String {
    let mut depth = 0_usize;
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.chars()
        .take_while(|c| {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => return false,
                '}' => depth -= 1,
                _ => {}
            }
            depth > 0 || *c == '}' || is_part(*c)
        })
        .filter(|c| !c.is_whitespace())
        .collect()
}

fn expand(prefix: &str, tree: &str, names: &mut BTreeSet<String>) {
    let mut depth = 0_usize;
    let branches = tree.split(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    for branch in branches.filter(|branch| !branch.is_empty()) {
        match branch.split_once('{') {
            Some((path, inner)) => {
                let path = format!("{prefix}{}", path.replace("::", "/"));
                expand(&path, inner.strip_suffix('}').unwrap_or(inner), names);
            }
            None => drop(names.insert(format!("{prefix}{}", branch.replace("::", "/")).trim_end_matches("/self").to_owned())),
        }
    }
}

/// Every source of a folder that is not a test.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("_tests") || name == "testing" || name == "samples" || name == "template" {
            continue;
        }
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}

#[test]
fn the_names_of_a_source_are_found_in_trees_and_in_the_middle_of_code() {
    let source = "#[cfg(test)]\nmod canned;\nuse crate::{\n    engine::{kernel::{commit::Commit, row}, saga},\n    store::Store,\n};\n// use crate::cli;\nfn f() -> crate::plain::Shown { crate::host::x() }\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    let names: Vec<String> = names(source, "crate::").into_iter().collect();
    assert_eq!(
        names,
        ["engine/kernel/commit/Commit", "engine/kernel/row", "engine/saga", "host/x", "plain/Shown", "store/Store"]
    );
}
