//! The `LOCK` file: one host for each folder. The kernel releases the lock when the host dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process,
};

use super::folder::{FolderError, trouble};

/// The file's name.
pub(super) const NAME: &str = "LOCK";

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder and writes this process into it, or returns the process that holds it.
    pub(super) fn take(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(NAME);
        let of_folder = |error| trouble(folder, &error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(of_folder)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(of_folder(error)),
            Err(TryLockError::WouldBlock) => {
                // The holder may be writing it at this moment: then it is nameless.
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Err(FolderError::InUse(format!(
                    "data folder {} is in use by {}; stop it, or choose another folder with --data",
                    folder.display(),
                    named(&holder)
                )));
            }
        }
        let holder = format!("pid {}\nhost {}\nboot {}\n", process::id(), host_name(), boot_id());
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(of_folder)?;
        Ok(Self { _file: file })
    }
}

/// The id of the machine's boot. The page cache does not survive a boot.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn named(holder: &str) -> String {
    let line = |word: &str| holder.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
    match (line("pid "), line("host ")) {
        (Some(pid), Some(host)) => format!("process {pid} on {host}"),
        _ => "another process".to_owned(),
    }
}
