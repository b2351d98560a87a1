//! Configuration that the operator granted to this module: `amends grant MODULE --config KEY=VALUE`.

use crate::host;

/// The value as it was when the attempt began; none if it was not granted.
pub fn get(key: &str) -> Option<String> {
    host::config(key)
}
