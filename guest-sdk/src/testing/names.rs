//! `names.lock`: the names that a crate has released, which `#[derive(Event)]` reads when it is compiled.

use std::path::Path;
use std::{env, fs, io};

use crate::Module;

const FILE: &str = "names.lock";

/// Compares the module's names with those of the crate under test, or adds them if the environment says so.
pub(super) fn check(module: &Module, problems: &mut Vec<String>) {
    let Some(folder) = env::var_os("CARGO_MANIFEST_DIR") else { return };
    let writes = env::var_os("AMENDS_NAMES").is_some_and(|what| what == "write");
    check_in(Path::new(&folder), module, writes, problems);
}

fn check_in(folder: &Path, module: &Module, writes: bool, problems: &mut Vec<String>) {
    let path = folder.join(FILE);
    let there = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && writes => String::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return problems.push(format!("cannot read {}: {error}", path.display())),
    };
    let names = names(module);
    problems.extend(vanished(&there, &names));
    let missing = missing(&there, &names);
    if writes && !missing.is_empty() {
        if let Err(error) = fs::write(&path, with(&there, &missing)) {
            problems.push(format!("cannot write {}: {error}", path.display()));
        }
        return;
    }
    let lacks = |name: &Name| format!("{FILE} lacks `{}`; run this test with AMENDS_NAMES=write, which adds it", name.line());
    problems.extend(missing.into_iter().map(lacks));
}

/// An event type and the newest version of its data.
struct Name {
    event_type: String,
    version: u32,
}

impl Name {
    fn line(&self) -> String {
        format!("event {} {}", self.event_type, self.version)
    }
}

fn names(module: &Module) -> Vec<Name> {
    let definitions = module.aggregates_description().aggregates.into_iter();
    let events = definitions.flat_map(|definition| definition.events);
    events.map(|event| Name { event_type: event.event_type, version: event.version }).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The names that the file does not have.
fn missing<'a>(text: &str, names: &'a [Name]) -> Vec<&'a Name> {
    names.iter().filter(|name| !lines(text).any(|line| line == name.line())).collect()
}

/// What the file says and the module does not read. The derive says the same of enums; here it is said of whole aggregates too.
fn vanished(text: &str, names: &[Name]) -> Vec<String> {
    let is_read = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["event", event_type, version] => {
            let version: Option<u32> = version.parse().ok();
            names.iter().any(|name| name.event_type == event_type && version.is_some_and(|version| version <= name.version))
        }
        _ => false,
    };
    let unread = lines(text).filter(|line| !is_read(line));
    unread.map(|line| format!("{FILE} says that `{line}` was released, and no aggregate of the module reads it")).collect()
}

/// The file with these names behind those that it has.
fn with(text: &str, names: &[&Name]) -> String {
    let begin = match text {
        "" => "# What was released is read for ever. `AMENDS_NAMES=write cargo test` adds to this file.\n",
        text => text,
    };
    let added: String = names.iter().map(|name| name.line() + "\n").collect();
    let end_of_line = if begin.ends_with('\n') { "" } else { "\n" };
    format!("{begin}{end_of_line}{added}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<Name> {
        let name = |event_type: &str, version| Name { event_type: event_type.to_owned(), version };
        vec![name("customer.opened", 1), name("customer.credit-reserved", 2)]
    }

    /// What the file would be with what it lacks.
    fn completed(text: &str) -> String {
        with(text, &missing(text, &names()))
    }

    #[test]
    fn a_file_gets_the_names_that_it_lacks_and_keeps_the_others() {
        let complete = "# What was released is read for ever. `AMENDS_NAMES=write cargo test` adds to this file.\n\
                        event customer.opened 1\n\
                        event customer.credit-reserved 2\n";
        assert_eq!(completed(""), complete);
        assert!(missing(complete, &names()).is_empty());
        let before = "event customer.opened 1\n# cents\nevent customer.credit-reserved 1";
        assert_eq!(completed(before), format!("{before}\nevent customer.credit-reserved 2\n"));
    }

    #[test]
    fn what_was_released_is_still_read() {
        let vanished = |line: &str| vanished(line, &names());
        assert_eq!(vanished("event customer.opened 1\nevent customer.credit-reserved 1"), [""; 0]);
        for line in ["event customer.opened 2", "event customer.begun 1", "event order.created 1", "customer.opened"] {
            let problem = format!("names.lock says that `{line}` was released, and no aggregate of the module reads it");
            assert_eq!(vanished(line), [problem]);
        }
    }

    #[test]
    fn a_module_without_a_file_is_not_compared_until_a_test_writes_one() {
        let folder = env::temp_dir().join(format!("amends-names-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let problems = |writes| {
            let mut problems = Vec::new();
            check_in(&folder, &module(), writes, &mut problems);
            problems
        };
        assert_eq!(problems(false), [""; 0]);
        assert_eq!(problems(true), [""; 0]);
        assert_eq!(problems(false), [""; 0]);
        fs::write(folder.join(FILE), "").unwrap();
        let lacks = "names.lock lacks `event club.joined 1`; run this test with AMENDS_NAMES=write, which adds it";
        assert_eq!(problems(false), [lacks]);
        fs::write(folder.join(FILE), "event club.joined 1\nevent club.left 1\n").unwrap();
        let gone = "names.lock says that `event club.left 1` was released, and no aggregate of the module reads it";
        assert_eq!((problems(false), problems(true)), (vec![gone.to_owned()], vec![gone.to_owned()]));
        fs::remove_dir_all(&folder).unwrap();
    }

    fn module() -> Module {
        Module::new("m").aggregate(crate::aggregate::tests::club())
    }
}
