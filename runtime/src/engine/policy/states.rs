//! Which states there are that other code cannot read: it is not activated then.

use std::collections::BTreeMap;

use amends_core::{id::Namespace, policy::Definition};

use super::{PolicyKey, recover, rows};
use crate::{
    journal::keys,
    store::{Store, StoreError},
};

/// Rows that are read at a time.
const PAGE: usize = 1_024;

/// Instances of a policy whose states have a form that a definition does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableStates {
    /// The policy.
    pub policy: String,
    /// The form of the states.
    pub version: u32,
    /// How many.
    pub count: u64,
    /// One of them, by its key.
    pub example: String,
}

/// The instances that have begun and not ended, and whose states these definitions do not read.
pub(crate) fn unreadable(
    store: &dyn Store,
    namespace: &Namespace,
    definitions: &[Definition],
) -> Result<Vec<UnreadableStates>, StoreError> {
    let mut found = Vec::new();
    for definition in definitions {
        let (_, stands) = recover::stands(store, &PolicyKey::new(namespace, &definition.name))?;
        let mut forms: BTreeMap<u32, UnreadableStates> = BTreeMap::new();
        let mut range = keys::instances_of(namespace, &definition.name, PAGE);
        loop {
            let rows = store.rows(&range)?;
            for row in &rows {
                let version = rows::state_version(&row.value, stands.incarnation)?;
                let Some(version) = version.filter(|version| !definition.reads_state(*version)) else { continue };
                let (.., key) = keys::parse_instance(&row.key)?;
                let policy = definition.name.clone();
                let form = forms.entry(version);
                form.or_insert(UnreadableStates { policy, version, count: 0, example: key }).count += 1;
            }
            match rows.last() {
                // The first key behind this one.
                Some(last) if rows.len() == PAGE => range.from = last.key.iter().copied().chain([0]).collect(),
                Some(_) | None => break,
            }
        }
        found.extend(forms.into_values());
    }
    Ok(found)
}
