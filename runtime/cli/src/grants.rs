//! Changing what a module may reach: read it, change it, put it back, and again if somebody else was faster.

use amends_wire::module::{Grants, ModuleGrants, SetGrants};
use anyhow::Result;

use super::session::Session;

/// Each time around somebody else has changed the module, so this many others at once are borne.
const TRIES_MAX: usize = 64;

/// Puts what `edit` makes of the grants as they are now, and says what they are then. `edit` is called again with fresh ones
/// when they changed in between.
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
