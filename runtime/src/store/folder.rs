//! The data folder: its lock, its files and its creation. It does not read the records of the journal.
//!
//! | name | what |
//! |---|---|
//! | `LOCK` | held while a host runs; has its process |
//! | `journal.redb` | the journal and its rows |
//! | `journal.redb.new` | a journal that is being created; ignored at start |
//! | `modules/` | components by digest |
//! | `cache/` | compiled code; made by the host, rebuilt when missing |
//! | `executing` | the crash marker |
//! | `TAINTED` | left by a host whose storage failed |

use std::{
    fmt, fs,
    fs::{DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    Batch, RowChange, Store, StoreError, Table,
    lock::{self, Lock},
    modules::Modules,
    redb::{Options, RedbStore},
    taint::{self, Taint},
};

const JOURNAL: &str = "journal.redb";
const JOURNAL_NEW: &str = "journal.redb.new";

/// The row of [`Table::Meta`] with the version of the format.
const FORMAT_KEY: &[u8] = b"format";

/// The format that this build reads and writes. 1 had no checksums, and was never released.
const FORMAT: &[u8] = &[2];

/// Why a data folder cannot be used. Each is an exit code of the host.
#[derive(Debug)]
pub enum FolderError {
    /// Another host uses the folder: exit 75.
    InUse(String),
    /// It is no folder, or it has other files, which are not changed: exit 2.
    NotOurs(String),
    /// It cannot be read or written, or its journal is damaged: exit 74.
    Failed(String),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(what) | Self::NotOurs(what) | Self::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for FolderError {}

/// A data folder that this process owns until drop.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: Lock,
}

/// The journal of a data folder, and its state at opening.
#[derive(Debug)]
pub struct Opened {
    /// Repaired if need be, and checked to be of a format that this build knows.
    pub store: RedbStore,
    /// It did not exist before.
    pub created: bool,
    /// The error of the last host, if its storage failed. Every page was read again and checked.
    pub taint: Option<Taint>,
}

impl Folder {
    /// Makes the folder if it is missing, with mode 0700, and locks it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        prepare(path)?;
        let lock = Lock::take(path)?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        let modules = folder.path.join("modules");
        match DirBuilder::new().mode(0o700).create(&modules) {
            Ok(()) => sync_folder(path).map_err(|error| trouble(path, &error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(trouble(path, &error)),
        }
        folder.modules().forget_unfinished().map_err(|error| trouble(&modules, &error))?;
        Ok(folder)
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Components by digest.
    pub fn modules(&self) -> Modules {
        Modules::new(self.path.join("modules"))
    }

    /// Opens the journal, or creates one in a folder that never had one.
    pub fn open_store(&self, options: &Options) -> Result<Opened, FolderError> {
        let journal = self.path.join(JOURNAL);
        let created = !journal.try_exists().map_err(|error| trouble(&self.path, &error))?;
        if created {
            self.create_journal(options)?;
        }
        let taint = Taint::read(&self.path);
        if taint.is_some() {
            taint::forget_cached(&journal).map_err(|error| trouble(&journal, &error))?;
        }
        let check_integrity = options.check_integrity || taint.is_some();
        let of_journal = |error| failed(&journal, &error);
        let store = RedbStore::open(&journal, &Options { check_integrity, ..options.clone() }).map_err(of_journal)?;
        match store.row(Table::Meta, FORMAT_KEY).map_err(of_journal)?.as_deref() {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(FolderError::Failed(format!(
                    "{} has format {other:?}, and this build knows {FORMAT:?}; run the version that wrote it",
                    journal.display()
                )));
            }
            None => {
                return Err(FolderError::Failed(format!(
                    "{} is no journal of amends, or lost its content; restore it from a backup, or choose another folder with --data",
                    journal.display()
                )));
            }
        }
        if taint.is_some() {
            Taint::remove(&self.path).map_err(|error| trouble(&self.path, &error))?;
        }
        Ok(Opened { store, created, taint })
    }

    /// Marks the folder for the next start as tainted. This is best effort: the disk may refuse the write.
    pub fn mark_tainted(&self, why: &StoreError) {
        let journal_bytes = fs::metadata(self.path.join(JOURNAL)).map_or(0, |journal| journal.len());
        let taint = Taint { boot: lock::boot_id(), journal_bytes, error: why.to_string() };
        // Whoever calls this is about to exit 74 because of `why`: a second failure adds nothing.
        let _ = taint.write(&self.path);
    }

    /// The free space of the disk.
    pub fn space(&self) -> io::Result<Space> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(Space {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }

    /// The bytes that the journal's file takes.
    pub fn journal_bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(JOURNAL))?.len())
    }

    /// A journal appears under its name only when it is whole and durable: a host that dies here leaves a file of which
    /// nothing is kept.
    fn create_journal(&self, options: &Options) -> Result<(), FolderError> {
        let digests = self.modules().digests().map_err(|error| trouble(&self.path, &error))?;
        if !digests.is_empty() {
            return Err(FolderError::Failed(format!(
                "data folder {} has modules but no {JOURNAL}; restore it from a backup, or choose another folder with --data",
                self.path.display()
            )));
        }
        let (new, journal) = (self.path.join(JOURNAL_NEW), self.path.join(JOURNAL));
        let created = write_new(&new, options).map_err(|error| failed(&new, &error));
        created?;
        let settle = || {
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &journal)?;
            sync_folder(&self.path)
        };
        settle().map_err(|error| trouble(&self.path, &error))
    }
}

/// The space of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The space that this process may use.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}

impl Space {
    /// Less is free than so many bytes, or so many percent: a full disk costs the whole store, so new starts are refused
    /// long before.
    pub fn is_low(&self, bytes_min: u64, percent_min: u8) -> bool {
        self.free_bytes < (self.total_bytes / 100 * u64::from(percent_min)).max(bytes_min)
    }
}

/// Makes what was renamed or created in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The message for the user when the disk refuses an operation.
pub(super) fn trouble(path: &Path, error: &io::Error) -> FolderError {
    let path = path.display();
    FolderError::Failed(match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{path} is on a read-only disk; make it writable, or choose another folder with --data")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{path} is on a full disk; free some space, or choose another folder with --data")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{path} may not be used by this user; change its owner, or choose another folder with --data")
        }
        _ => format!("{path} cannot be used: {error}"),
    })
}

fn failed(path: &Path, error: &StoreError) -> FolderError {
    let remedy = "mend the disk or restore it from a backup, or choose another folder with --data";
    FolderError::Failed(format!("{}: {error}; {remedy}", path.display()))
}

/// Makes the folder, or sees that it is ours to use and that nobody else can read it.
fn prepare(path: &Path) -> Result<(), FolderError> {
    let of_path = |error: io::Error| trouble(path, &error);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(of_path)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_folder(parent.unwrap_or(Path::new("."))).map_err(of_path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(FolderError::NotOurs(format!("{} is below a file; choose another folder with --data", path.display())))
        }
        Err(error) => Err(of_path(error)),
        Ok(found) if !found.is_dir() => {
            Err(FolderError::NotOurs(format!("{} is not a folder; choose another with --data", path.display())))
        }
        Ok(found) => {
            if let Some(stranger) = stranger(path).map_err(of_path)? {
                return Err(FolderError::NotOurs(format!(
                    "folder {} holds something else than amends data ({}); choose an empty or a new one with --data",
                    path.display(),
                    stranger.escape_debug()
                )));
            }
            match found.permissions().mode() & 0o077 {
                0 => Ok(()),
                _ => fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|_| {
                    FolderError::Failed(format!(
                        "folder {} can be read by others and is not ours to change; choose a folder inside it with --data",
                        path.display()
                    ))
                }),
            }
        }
    }
}

/// An entry of a folder that is neither empty nor a data folder. The root of a volume has `lost+found`.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    let mut stranger = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        match name.to_str() {
            Some(lock::NAME | JOURNAL) => return Ok(None),
            Some("lost+found") => {}
            _ => stranger = Some(name.to_string_lossy().into_owned()),
        }
    }
    Ok(stranger)
}

fn write_new(path: &Path, options: &Options) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::Failed(error.to_string())),
        Ok(()) | Err(_) => {}
    }
    let store = RedbStore::open(path, options)?;
    store.commit(&[Batch { appends: Vec::new(), rows: vec![RowChange::put(Table::Meta, FORMAT_KEY, FORMAT)] }])?;
    store.close()
}

#[cfg(test)]
mod tests;
