//! Compiled code between two runs of the host: a folder of authenticated files, rebuilt when anything is amiss.
//!
//! Machine code is run as it is read, so every file carries a MAC with a key that lies beside it. That guards against
//! corruption, copied folders and other users of the machine; not against the owner of the folder, who has the key.
//! Neither belongs into a backup.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::engine::guests::ModuleDigest;

/// The first bytes of a file; the last is the format's version.
const MAGIC: &[u8; 8] = b"amdsaot\x01";

const MAC_BYTES: usize = 32;

/// The folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    engine: [u8; 32],
}

impl Cache {
    /// Opens the folder, making it and its key when they are missing.
    pub(super) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // A folder that others may enter is closed: what they have put there carries no valid MAC.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder: folder.to_owned(), key: key(&folder.join("key"))?, engine: fingerprint(engine) })
    }

    /// The code that was compiled from this component by this version of the engine, if it is whole.
    pub(super) fn read(&self, digest: &ModuleDigest) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code cannot be read; it is compiled again");
                return None;
            }
        };
        let code_at = MAGIC.len() + MAC_BYTES;
        let genuine = bytes.len() > code_at
            && bytes.starts_with(MAGIC)
            && self.mac(digest, &bytes[code_at..]).is_some_and(|mac| mac.verify_slice(&bytes[MAGIC.len()..code_at]).is_ok());
        if !genuine {
            tracing::warn!(path = %path.display(), "compiled code is corrupt, or was not made by this host; it is compiled again");
            return None;
        }
        bytes.drain(..code_at);
        Some(bytes)
    }

    /// Keeps compiled code. Losing it costs a compilation, so failing to keep it is only reported.
    pub(super) fn write(&self, digest: &ModuleDigest, code: &[u8]) {
        let path = self.path(digest);
        if let Err(error) = self.try_write(&path, digest, code) {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept; it is compiled again at the next start");
        }
    }

    /// Forgets compiled code.
    pub(super) fn remove(&self, digest: &ModuleDigest) {
        // It may never have been kept.
        let _ = fs::remove_file(self.path(digest));
    }

    fn try_write(&self, path: &Path, digest: &ModuleDigest, code: &[u8]) -> io::Result<()> {
        let mac = self.mac(digest, code).ok_or_else(|| io::Error::other("no key"))?;
        // A name of its own: two threads may compile the same component. A torn file fails its MAC, so nothing is synced.
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let draft = self.folder.join(format!("{}.tmp", hex::encode(unique)));
        let written = create(&draft).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&mac.finalize().into_bytes())?;
            file.write_all(code)?;
            fs::rename(&draft, path)
        });
        if written.is_err() {
            // The draft is worth nothing; the error before it is the one to report.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// One file for each component and engine: an older host finds its own again.
    fn path(&self, digest: &ModuleDigest) -> PathBuf {
        self.folder.join(format!("{}-{}.aot", hex::encode(digest), hex::encode(&self.engine[..8])))
    }

    fn mac(&self, digest: &ModuleDigest, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(MAGIC);
        mac.update(digest);
        mac.update(&self.engine);
        mac.update(code);
        Some(mac)
    }
}

/// What must be equal for code to fit: wasmtime's version, the settings, the processor's features.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}

/// The host's key, made at random when it is missing or not fit to be secret: then every file is foreign and is rebuilt.
fn key(path: &Path) -> io::Result<[u8; 32]> {
    if let Ok(mut file) = File::open(path) {
        let mut key = [0; 32];
        let private = file.metadata()?.permissions().mode() & 0o077 == 0;
        if private && file.metadata()?.len() == 32 && file.read_exact(&mut key).is_ok() {
            return Ok(key);
        }
        tracing::warn!(path = %path.display(), "the cache's key is torn, or others may read it; a new one is made");
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let draft = path.with_extension("tmp");
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = create(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(key)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::settings;

    const DIGEST: ModuleDigest = [7; 32];

    fn open(folder: &Path) -> Cache {
        Cache::open(folder, &settings::compiler().unwrap()).unwrap()
    }

    #[test]
    fn what_was_kept_is_read_again_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let cache = open(&folder);
        assert_eq!(cache.read(&DIGEST), None);
        cache.write(&DIGEST, b"code");
        assert_eq!(open(&folder).read(&DIGEST).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.read(&[8; 32]), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("key")), mode(&cache.path(&DIGEST))), (0o700, 0o600, 0o600));
        cache.remove(&DIGEST);
        assert_eq!(cache.read(&DIGEST), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn every_changed_byte_every_cut_and_every_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path());
        cache.write(&DIGEST, b"code");
        let path = cache.path(&DIGEST);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_eq!(cache.read(&DIGEST), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.read(&DIGEST), None, "cut at {at}");
        }
        // Another component's code under this name.
        cache.write(&[8; 32], b"other");
        fs::copy(cache.path(&[8; 32]), &path).unwrap();
        assert_eq!(cache.read(&DIGEST), None);
        // Another host's.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = open(elsewhere.path());
        other.write(&DIGEST, b"code");
        fs::copy(other.path(&DIGEST), &path).unwrap();
        assert_eq!(cache.read(&DIGEST), None);
        // And the whole one again.
        fs::write(&path, &whole).unwrap();
        assert!(cache.read(&DIGEST).is_some());
    }

    #[test]
    fn a_key_that_others_may_read_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).write(&DIGEST, b"code");
        fs::set_permissions(folder.path().join("key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(open(folder.path()).read(&DIGEST), None);
    }
}
