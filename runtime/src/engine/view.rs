//! The rows of a view, for the guest that builds it or answers from it.

use std::fmt;

/// A key and its value.
pub type RowPair = (Vec<u8>, Vec<u8>);

/// The longest key of a row.
pub const KEY_BYTES_MAX: usize = 1_024;

/// The largest value of a row.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// The most rows of one scan.
pub const SCAN_MAX: u32 = 1_000;

/// What one call of a guest may see and change: of one generation of one view, as of one moment.
pub trait ViewRows: fmt::Debug + Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsFault>;

    /// Writes a row, or deletes it if there is no value.
    fn change(&self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), RowsFault>;

    /// Some rows.
    fn scan(&self, scan: &RowScan) -> Result<Vec<RowPair>, RowsFault>;
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowScan {
    /// Their keys begin with this.
    pub prefix: Vec<u8>,
    /// They are behind this key, in the order in which they are read.
    pub after: Option<Vec<u8>>,
    /// At most so many.
    pub limit: u32,
    /// Largest key first.
    pub reverse: bool,
}

/// Why a guest gets no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsFault {
    /// It asked for what it may not have: the call ends, and it is the guest's fault.
    Guest(String),
    /// The rows cannot be read now.
    Host(String),
}
