//! Rows: what a projection keeps, in its lowest form.

use super::View;
use crate::host;
use crate::stop::Failure;

/// In bytes.
pub(super) const KEY_MAX: usize = 1024;
/// The most that the host returns at once.
const SCAN_ROWS_MAX: usize = 1000;

/// The rows of a projection: bytes under keys of bytes, in the order of the keys. [`Projection::rows`](crate::Projection::rows)
/// makes a projection that writes them itself.
///
/// A key has 1 to 1,024 bytes, a value at most 65,536. One call of the host, which is a question or at most 1,000 events, may write
/// 10,000 times and 16 MiB, and read 100,000 times, each row of a scan counted. What is beyond that ends the call.
#[non_exhaustive]
pub struct Rows;

impl Rows {
    /// The value under this key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        host::row(key.as_ref())
    }

    /// Puts a value under a key, in place of the one that is there.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        host::put_row(key.as_ref(), value.as_ref());
    }

    /// Removes the value under this key, if there is one.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        host::delete_row(key.as_ref());
    }

    /// The first `limit` rows whose keys begin with `prefix` and come behind `after`, smallest key first.
    pub fn scan(&self, prefix: impl AsRef<[u8]>, after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        scan(prefix.as_ref(), after, limit, false)
    }

    /// The same from the other end, largest key first: those that come before `before`.
    pub fn scan_back(&self, prefix: impl AsRef<[u8]>, before: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        scan(prefix.as_ref(), before, limit, true)
    }
}

/// Whether there can be a row with this key. The host ends a call that asks for another one, which a reader's text may be.
pub(super) fn fits(key: &[u8]) -> bool {
    (1..=KEY_MAX).contains(&key.len())
}

/// Asks the host as often as it takes.
pub(super) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: usize, reverse: bool) -> Vec<host::Row> {
    let mut rows: Vec<host::Row> = Vec::new();
    while rows.len() < limit {
        let asked = (limit - rows.len()).min(SCAN_ROWS_MAX);
        let after = rows.last().map(|(key, _)| key.as_slice()).or(after);
        let more = host::scan_rows(prefix, after, asked as u32, reverse);
        let is_last = more.len() < asked;
        rows.extend(more);
        if is_last {
            break;
        }
    }
    rows
}

impl View for Rows {
    type Batch = Rows;

    fn of(_: &str) -> Rows {
        Rows
    }

    fn begin(_: &str) -> Rows {
        Rows
    }

    fn end(_: Rows) -> Result<(), Failure> {
        Ok(())
    }
}
