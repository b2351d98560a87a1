//! What a host leaves behind when its storage failed, so that the next one does not trust the page cache.
//!
//! After a failed fsync the kernel may show pages that never reached the disk and never will: a host that reads them, acts
//! on them and then loses power has acted on what never was. So the next start drops what is cached and checks all of it.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::fs::{Advice, fadvise};

use super::folder::sync_folder;

const NAME: &str = "TAINTED";

/// What the host that failed knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// The machine's boot. In another one the page cache is new anyhow; everything is checked all the same.
    pub boot: String,
    /// How large the journal's file was.
    pub journal_bytes: u64,
    /// What failed.
    pub error: String,
}

impl Taint {
    /// What the last host left, if its storage failed. A file that cannot be read counts: the disk was failing.
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
