//! Changes the grants of a module: reads them, edits them and writes them, and repeats this if somebody else changed them
//! meanwhile.

use amends_wire::module::{Grants, ModuleGrants, SetGrants};
use anyhow::Result;

use super::session::Session;

/// Each repetition means that somebody else changed the module, so this many concurrent changes succeed.
const TRIES_MAX: usize = 64;

/// Writes the grants that `edit` makes of the current ones, and returns the result. `edit` is called again with the new grants if
/// they changed in between.
pub(super) fn change(
    session: &Session,
    module: &str,
    force: bool,
    note: Option<&str>,
    mut edit: impl FnMut(&mut Grants) -> Result<()>,
) -> Result<ModuleGrants> {
    let path = ["v1", "modules", module, "grants"];
    let mut tries = 0;
    loop {
        tries += 1;
        let ModuleGrants { mut grants, revision, .. } = session.client.get(&path, &[])?;
        edit(&mut grants)?;
        let body = SetGrants { grants, force, expect_revision: Some(revision), note: note.map(str::to_owned) };
        match session.client.put(&path, &body) {
            Err(error) if error.code() == Some("revision_changed") && tries < TRIES_MAX => {}
            answer => return Ok(answer?),
        }
    }
}
