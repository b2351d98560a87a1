//! Components on disk, named by their digest. It does not know names, versions or activation.
//!
//! A component is durable before any journal record names it, and is hashed again whenever it is read.

use std::{
    fmt, fs,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use super::folder::sync_folder;

const SUFFIX: &str = ".wasm";
const SUFFIX_NEW: &str = ".new";

/// Why a component was not stored or not read.
#[derive(Debug)]
pub enum ModuleError {
    /// The disk failed. Nothing was acknowledged: refuse the deploy, or retry the attempt later.
    Failed(String),
    /// These are not the bytes that were deployed: quarantine the version, and restore it from a backup or deploy it again.
    Corrupt(String),
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(what) | Self::Corrupt(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ModuleError {}

/// The folder of components.
#[derive(Clone, Debug)]
pub struct Modules {
    folder: PathBuf,
}

impl Modules {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Stores a component durably. A component that is stored already and undamaged is not written again.
    pub fn put(&self, component: &[u8]) -> Result<[u8; 32], ModuleError> {
        let digest = Sha256::digest(component).into();
        let whole = matches!(self.get(&digest), Ok(Some(_)));
        let stored = if whole { sync_folder(&self.folder) } else { self.write(&digest, component) };
        stored.map_err(|error| Self::failed(&digest, &error))?;
        Ok(digest)
    }

    /// The component of this digest, if it is stored.
    pub fn get(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, ModuleError> {
        let component = match fs::read(self.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failed(digest, &error)),
            Ok(component) => component,
        };
        if <[u8; 32]>::from(Sha256::digest(&component)) != *digest {
            return Err(ModuleError::Corrupt(format!(
                "{} does not contain what its name says; restore it from a backup, or deploy the component again",
                name(digest)
            )));
        }
        Ok(Some(component))
    }

    /// Deletes a component. Only for one that no live saga and no version needs (law 9).
    pub fn remove(&self, digest: &[u8; 32]) -> Result<(), ModuleError> {
        match fs::remove_file(self.path(digest)).and_then(|()| sync_folder(&self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Self::failed(digest, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The digests of the stored components, sorted; no component is read.
    pub fn digests(&self) -> io::Result<Vec<[u8; 32]>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let mut digest = [0; 32];
            let hexadecimal = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if hexadecimal.is_some_and(|text| hex::decode_to_slice(text, &mut digest).is_ok()) {
                digests.push(digest);
            }
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// Deletes unfinished files of a host that died.
    pub(super) fn forget_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.to_str().is_some_and(|path| path.ends_with(SUFFIX_NEW)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn write(&self, digest: &[u8; 32], component: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        let new = path.with_extension(&SUFFIX_NEW[1..]);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(component)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(&self.folder)
    }

    fn path(&self, digest: &[u8; 32]) -> PathBuf {
        self.folder.join(hex::encode(digest) + SUFFIX)
    }

    fn failed(digest: &[u8; 32], error: &io::Error) -> ModuleError {
        ModuleError::Failed(format!("{}: {error}", name(digest)))
    }
}

/// Where a component is in the data folder. The folder's own place is left out: what is said of a component is journaled, and
/// shown to whoever looks at its sagas.
fn name(digest: &[u8; 32]) -> String {
    format!("modules/{}{SUFFIX}", hex::encode(digest))
}
