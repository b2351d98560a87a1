//! Tells when a file was saved that the component is built from. It asks nobody: the system tells it.
//!
//! Folders are watched one by one, those of the source and those that the last build read from. Cargo's target folder and the
//! data of a host that runs in the same folder are none of them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// An editor saves in several steps, and people save several files: a round begins when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(100);

/// It begins at the latest so long after the first save.
const PATIENCE: Duration = Duration::from_secs(2);

/// Saves of a module's files.
pub(super) struct Saves {
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<Event>>,
    /// The module's folder.
    folder: PathBuf,
    /// What builds read, the Rust source of other crates included.
    read: BTreeSet<PathBuf>,
}

impl Saves {
    /// From now on.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let (sender, events) = mpsc::channel();
        let watcher = notify::recommended_watcher(sender).context("cannot watch files")?;
        let mut saves = Self { watcher, events, folder: folder.to_path_buf(), read: BTreeSet::new() };
        saves.watch(folder)?;
        saves.source()?;
        Ok(saves)
    }

    /// Watches the folders of the source, the new ones, too. To be called before a build: what is saved after it was read is told.
    pub(super) fn source(&mut self) -> Result<()> {
        let mut folders = vec![self.folder.join("src")];
        while let Some(folder) = folders.pop() {
            self.watch(&folder)?;
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            // Not through links, which may lead in circles.
            folders.extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
        }
        Ok(())
    }

    /// Watches what a component was built from, as cargo wrote it down beside it.
    pub(super) fn built(&mut self, component: &Path) -> Result<()> {
        // Without this file only the module's own source is watched.
        let list = fs::read_to_string(component.with_extension("d")).unwrap_or_default();
        // What a build script wrote is no source; it lies near the component.
        let made = component.parent().unwrap_or(component);
        let read = sources(&list).into_iter().map(|file| self.folder.join(file)).filter(|file| !file.starts_with(made));
        let read: BTreeSet<PathBuf> = read.collect();
        let crates =
            |file: &PathBuf| file.ancestors().skip(1).find(|above| above.join("Cargo.toml").is_file()).map(Path::to_path_buf);
        let folders = read.iter().filter_map(|file| Some(file.parent()?.to_path_buf())).chain(read.iter().filter_map(crates));
        for folder in folders.collect::<BTreeSet<_>>() {
            self.watch(&folder)?;
        }
        self.read.extend(read);
        Ok(())
    }

    /// Sleeps until something was saved.
    pub(super) fn wait(&self) -> Result<()> {
        loop {
            let event = self.events.recv().context("cannot watch files any more")?.context("cannot watch files any more")?;
            if self.matters(&event) {
                break;
            }
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.events.recv_timeout(QUIET).is_ok() {}
        Ok(())
    }

    /// Watching a folder again does nothing, and is right if it was removed and made again.
    fn watch(&mut self, folder: &Path) -> Result<()> {
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(()),
            // What is not there is told by the folder above once it is.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot watch {}", folder.display())),
        }
    }

    fn matters(&self, event: &Event) -> bool {
        // Builds read files, which is not a change.
        let changes = !matches!(event.kind, EventKind::Access(_));
        changes && (event.need_rescan() || event.paths.iter().any(|path| self.is_source(path)))
    }

    fn is_source(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Editors keep hidden files beside what they edit. Cargo.lock is written by builds; who edits it saves another file, too.
        let is_rust = !name.starts_with('.') && (name.ends_with(".rs") || name == "Cargo.toml");
        let is_new_folder = path.starts_with(self.folder.join("src")) && path.is_dir();
        is_rust || is_new_folder || self.read.contains(path)
    }
}

/// The files in a dependency list: `TARGET: FILE FILE`, with blanks in names escaped.
fn sources(list: &str) -> Vec<PathBuf> {
    let files = list.lines().filter_map(|line| line.split_once(": ")).map(|(_, files)| files.replace("\\ ", "\0"));
    files
        .flat_map(|files| files.split_whitespace().map(|file| file.replace('\0', " ").into()).collect::<Vec<PathBuf>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system tells within milliseconds; a build machine may be busy for seconds.
    const SOON: Duration = Duration::from_secs(20);

    impl Saves {
        /// What is told until this path is.
        fn told_until(&self, path: &Path) -> BTreeSet<PathBuf> {
            let mut told = BTreeSet::new();
            while !told.contains(path) {
                let event = self.events.recv_timeout(SOON).unwrap().unwrap();
                if self.matters(&event) {
                    told.extend(event.paths);
                }
            }
            told
        }
    }

    #[test]
    fn a_dependency_list_is_read() {
        let list = "/a b/shop.wasm: /a/src/lib.rs /a\\ b/mod.rs\n\nsrc/lib.rs:\n";
        assert_eq!(sources(list), [PathBuf::from("/a/src/lib.rs"), PathBuf::from("/a b/mod.rs")]);
    }

    #[test]
    fn saves_of_the_source_are_told_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let write = |path: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.to_str().unwrap()).unwrap();
            path
        };
        let library = write("src/lib.rs");
        let shared = write("vendor/shared/src/lib.rs");
        let manifest = write("vendor/shared/Cargo.toml");
        let schema = write("schema.json");
        let component = write("target/debug/shop.wasm");
        let list = [&library, &shared, &schema].map(|file| file.display().to_string()).join(" ");
        fs::write(component.with_extension("d"), format!("{}: {list}\n", component.display())).unwrap();

        let mut saves = Saves::of(&folder).unwrap();
        saves.built(&component).unwrap();
        for unimportant in
            ["target/debug/shop.wasm", "amends-data/journal.redb", "Cargo.lock", "src/.lib.rs.swp", "src/.#lib.rs", "notes.txt"]
        {
            write(unimportant);
        }
        fs::read(&library).unwrap();
        let mut told = BTreeSet::new();
        for source in [&schema, &shared, &manifest] {
            fs::write(source, "changed").unwrap();
            told.append(&mut saves.told_until(source));
        }
        // As editors do: written beside, then put in its place.
        let beside = write("src/.lib.rs.new");
        fs::rename(&beside, &library).unwrap();
        told.append(&mut saves.told_until(&library));
        told.remove(&beside);
        assert_eq!(told, BTreeSet::from([library, schema, shared, manifest]));
    }

    #[test]
    fn a_new_folder_of_the_source_is_watched_from_the_next_build_on() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        fs::create_dir(folder.join("src")).unwrap();
        let mut saves = Saves::of(&folder).unwrap();
        let steps = folder.join("src/steps");
        fs::create_dir(&steps).unwrap();
        saves.told_until(&steps);
        saves.source().unwrap();
        let hotel = steps.join("hotel.rs");
        fs::write(&hotel, "").unwrap();
        saves.told_until(&hotel);
    }
}
