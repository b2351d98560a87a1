//! Secrets that the operator keeps beside the host: a folder with a file for each, read when a guest asks for one.
//!
//! What is in a file goes to the guest that asked and nowhere else: no record, no line of the log and no error holds it.
//! It is read again in each attempt, so that a secret that was replaced is used from the next attempt on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::journal::Grant;

/// Larger than any key, token or chain of certificates.
const BYTES_MAX: u64 = 64 << 10;

/// Where secrets are.
#[derive(Debug)]
pub(super) struct Secrets(Option<PathBuf>);

impl Secrets {
    /// Secrets of a folder, which must be there; without one there are none.
    pub(super) fn of(folder: Option<PathBuf>) -> io::Result<Self> {
        if let Some(folder) = &folder {
            let found = fs::read_dir(folder);
            found.map_err(|error| io::Error::other(format!("the folder of secrets {}: {error}", folder.display())))?;
        }
        Ok(Self(folder))
    }

    /// The value, without the line break at its end; or why there is none, which never says what is in the file.
    pub(super) fn read(&self, name: &str) -> Result<String, String> {
        let Some(folder) = &self.0 else {
            return Err(format!(
                "secret `{name}` is granted, and this host has no folder of secrets; name it with --secrets DIR"
            ));
        };
        let none = |why: String| format!("secret `{name}` is granted, and cannot be read from {}: {why}", folder.display());
        if !Grant::is_secret_name(name) {
            return Err(none("its name is no name of a file in a folder".to_owned()));
        }
        let bytes = read(&folder.join(name)).map_err(|error| none(error.to_string()))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(none(format!("it is larger than {BYTES_MAX} bytes")));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| none("it is no text in UTF-8".to_owned()))?;
        if text.ends_with('\n') {
            text.pop();
            text.truncate(text.strip_suffix('\r').map_or(text.len(), str::len));
        }
        Ok(text)
    }
}

/// At most one byte more than a secret may have, of a file: a pipe or a device would hold the thread of the guest.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file: File = OpenOptions::new().read(true).custom_flags(without_waiting).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_secret_is_a_files_text_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(Some(folder.path().to_owned())).unwrap();
        for (text, value) in [("s3cr3t\n", "s3cr3t"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), (" a b ", " a b ")] {
            fs::write(folder.path().join("key"), text).unwrap();
            assert_eq!(secrets.read("key").unwrap(), value);
        }
        // As secrets are mounted: the name is a link to the file of the day.
        symlink("key", folder.path().join("link.v1")).unwrap();
        assert_eq!(secrets.read("link.v1").unwrap(), " a b ");
    }

    #[test]
    fn why_there_is_no_value_names_the_secret_and_the_folder_and_never_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("secrets");
        fs::create_dir(&at).unwrap();
        fs::write(folder.path().join("outside"), "hidden").unwrap();
        fs::write(at.join("large"), "hidden".repeat(11_000)).unwrap();
        fs::write(at.join("bytes"), b"hidden\xff").unwrap();
        fs::create_dir(at.join("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let secrets = Secrets::of(Some(at.clone())).unwrap();
        let names = ["missing", "../outside", "..", "/etc/passwd", "folder/x", "", ".hidden", "a\0b"];
        for name in names.into_iter().chain(["large", "bytes", "folder", "pipe"]) {
            let why = secrets.read(name).unwrap_err();
            assert!(why.contains(&format!("`{name}`")) && why.contains(&at.display().to_string()), "{why}");
            assert!(!why.contains("hidden ") && !why.contains("hiddenhidden"), "{why}");
        }
        let nowhere = Secrets::of(None).unwrap().read("key").unwrap_err();
        assert_eq!(nowhere, "secret `key` is granted, and this host has no folder of secrets; name it with --secrets DIR");
        let missing = Secrets::of(Some(at.join("nothing"))).unwrap_err().to_string();
        assert!(missing.starts_with("the folder of secrets ") && missing.contains("No such file"), "{missing}");
    }
}
