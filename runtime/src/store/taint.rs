//! The mark that a host leaves when its storage failed, so that the next host does not trust the page cache.
//!
//! After a failed fsync the kernel may return pages that are not on the disk and never will be. A host that acted on them and
//! then lost power would have acted on records that do not exist. So the next start drops the cached pages and checks the whole
//! file.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::fs::{Advice, fadvise};

use super::folder::sync_folder;

const NAME: &str = "TAINTED";

/// The content of the mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// The machine's boot. After another boot the page cache is new, but everything is checked anyway.
    pub boot: String,
    /// The size of the journal's file.
    pub journal_bytes: u64,
    /// What failed.
    pub error: String,
}

impl Taint {
    /// The mark of the last host, if its storage failed. An unreadable file counts as a mark, because the disk was failing.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = match fs::read(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => String::new(),
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let line = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
        let journal_bytes = line("journal_bytes ").parse().unwrap_or(0);
        Some(Self { boot: line("boot ").to_owned(), journal_bytes, error: line("error ").to_owned() })
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let Self { boot, journal_bytes, error } = self;
        let text = format!("boot {boot}\njournal_bytes {journal_bytes}\nerror {}\n", error.replace('\n', " "));
        let path = folder.join(NAME);
        fs::write(&path, text)?;
        File::open(&path)?.sync_all()?;
        sync_folder(folder)
    }

    pub(super) fn remove(folder: &Path) -> io::Result<()> {
        fs::remove_file(folder.join(NAME))?;
        sync_folder(folder)
    }
}

/// Makes the kernel read a file from the disk again. Pages that still wait to be written stay: they can still arrive.
pub(super) fn forget_cached(path: &Path) -> io::Result<()> {
    Ok(fadvise(File::open(path)?, 0, None, Advice::DontNeed)?)
}
