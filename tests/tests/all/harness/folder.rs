//! Data folders of tests: empty ones, and copies of one in which the example modules are deployed and compiled.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::json;
use tempfile::TempDir;

use super::{
    guests::{Way, guest},
    host::{BINARY, Host, Options},
};

/// A folder that is removed at the end of the test.
pub(crate) struct DataFolder {
    path: PathBuf,
    /// None: the folder is removed with its disk.
    _dir: Option<TempDir>,
}

impl DataFolder {
    /// A path for a new data folder.
    pub(crate) fn empty() -> Self {
        let dir = in_memory();
        Self { path: dir.path().join("data"), _dir: Some(dir) }
    }

    /// A folder in which the example modules are deployed, each in version 1. In the namespace `shelf` are the second versions of
    /// those that have one, so that a test that deploys one need not wait for the compiler.
    pub(crate) fn with_modules(way: Way) -> Self {
        Self::empty().fill(way)
    }

    /// The same on a disk that the caller removes.
    pub(crate) fn with_modules_on(disk: &Path) -> Self {
        Self { path: disk.join("data"), _dir: None }.fill(Way::Plain)
    }

    /// A folder in which only the example credit is deployed, in both versions, of which the first is active.
    pub(crate) fn with_credit() -> Self {
        static CREDIT: OnceLock<PathBuf> = OnceLock::new();
        let made = CREDIT.get_or_init(|| {
            let made = find_or_make("credit", Way::Plain, &["credit", "credit-v2"], fill_with_credit);
            made.unwrap_or_else(|error| panic!("cannot make a data folder: {error}"))
        });
        Self::of(made)
    }

    /// The same, with the policies of the example `choreography`.
    pub(crate) fn with_choreography() -> Self {
        static CHOREOGRAPHY: OnceLock<PathBuf> = OnceLock::new();
        let made = CHOREOGRAPHY.get_or_init(|| {
            let modules = ["credit", "credit-v2", "choreography"];
            let made = find_or_make("choreography", Way::Plain, &modules, |host| {
                fill_with_credit(host);
                host.api().put("/v1/modules/choreography", &guest(Way::Plain, "choreography")).expect(201);
            });
            made.unwrap_or_else(|error| panic!("cannot make a data folder: {error}"))
        });
        Self::of(made)
    }

    /// A copy of this one.
    pub(crate) fn of(folder: &Path) -> Self {
        let copied = Self::empty();
        copy(folder, &copied.path).unwrap_or_else(|error| panic!("cannot copy {}: {error}", folder.display()));
        copied
    }

    fn fill(self, way: Way) -> Self {
        let template = template(way);
        copy(template, &self.path).unwrap_or_else(|error| panic!("cannot copy {}: {error}", template.display()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A temporary folder, in memory if possible: the tests kill processes, and never the machine.
pub(crate) fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::with_prefix_in("amends-", memory) } else { TempDir::with_prefix("amends-") };
    made.unwrap_or_else(|error| panic!("cannot make a folder: {error}"))
}

fn template(way: Way) -> &'static Path {
    static PLAIN: OnceLock<PathBuf> = OnceLock::new();
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    let made = match way {
        Way::Plain => &PLAIN,
        Way::Component => &COMPONENT,
    };
    let make = || find_or_make(way.name(), way, &[&TWO_VERSIONS[..], &ONE_VERSION].concat(), |host| fill_with_modules(host, way));
    made.get_or_init(|| make().unwrap_or_else(|error| panic!("cannot make a data folder: {error}")))
}

/// The folder is kept between runs while neither the binary nor the modules change, because compiling them takes most of a run.
fn find_or_make(name: &str, way: Way, modules: &[&str], fill: impl Fn(&Host)) -> io::Result<PathBuf> {
    let shelf = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let prefix = format!("template-{name}-");
    let path = shelf.join(format!("{prefix}{:016x}", fingerprint(way, modules)?));
    if path.is_dir() {
        return Ok(path);
    }
    for old in fs::read_dir(shelf)?.flatten() {
        if old.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(old.path())?;
        }
    }
    let folder = DataFolder::empty();
    let mut host = Host::start(folder, Options::default());
    fill(&host);
    assert!(host.stop().success(), "{}", host.log());
    let fresh = TempDir::with_prefix_in("making-", shelf)?;
    copy(host.folder.path(), &fresh.path().join("data"))?;
    match fs::rename(fresh.path().join("data"), &path) {
        // Another run of the tests was faster.
        Err(_) if path.is_dir() => Ok(path),
        renamed => renamed.map(|()| path),
    }
}

fn fill_with_modules(host: &Host, way: Way) {
    for name in ["order", "trip", "approval"] {
        host.api().put(&format!("/v1/modules/{name}"), &guest(way, name)).expect(201);
        let second = guest(way, &format!("{name}-v2"));
        host.api().in_namespace("shelf").put(&format!("/v1/modules/{name}"), &second).expect(201);
    }
    for name in ONE_VERSION {
        host.api().put(&format!("/v1/modules/{name}"), &guest(way, name)).expect(201);
    }
}

fn fill_with_credit(host: &Host) {
    host.api().put("/v1/modules/credit", &guest(Way::Plain, "credit")).expect(201);
    host.api().put("/v1/modules/credit", &guest(Way::Plain, "credit-v2")).expect(201);
    host.api().post("/v1/modules/credit/activate", &json!({"version": 1})).expect(200);
}

/// Modules with a second version, and those.
const TWO_VERSIONS: [&str; 6] = ["order", "order-v2", "trip", "trip-v2", "approval", "approval-v2"];

/// Modules without a second version.
const ONE_VERSION: [&str; 4] = ["credit", "group", "itinerary", "transfer"];

fn fingerprint(way: Way, modules: &[&str]) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let binary = fs::metadata(BINARY)?;
    (BINARY, binary.len(), binary.modified()?).hash(&mut hasher);
    for name in modules {
        guest(way, name).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
