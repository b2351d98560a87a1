//! A row's value as bytes: a version byte, then postcard.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    journal::{Corrupt, StreamId},
    store::{Position, StoreError, Stored},
};

const ROW_VERSION: u8 = 1;

/// The summary of a saga fits in this.
const SMALL_BYTES: usize = 384;

/// The encoding of a row's value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    // Most rows are small, and are written into place without growing a buffer.
    let mut small = [ROW_VERSION; SMALL_BYTES];
    if let Ok(body) = postcard::to_slice(value, &mut small[1..]) {
        let end = body.len() + 1;
        return Bytes::copy_from_slice(&small[..end]);
    }
    match postcard::to_extend(value, vec![ROW_VERSION]) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("rows are plain data, which postcard encodes: {error}"),
    }
}

/// Reads what `encode` wrote.
pub(crate) fn decode<'a, T: Deserialize<'a>>(value: &'a [u8], what: &str) -> Result<T, Corrupt> {
    postcard::from_bytes(body(value, what)?).map_err(|error| Corrupt(format!("{what} is unreadable: {error}")))
}

fn body<'a>(value: &'a [u8], what: &str) -> Result<&'a [u8], Corrupt> {
    match value.split_first() {
        Some((&ROW_VERSION, body)) => Ok(body),
        Some((version, _)) => Err(Corrupt(format!("{what} has version {version}; this host reads {ROW_VERSION}"))),
        None => Err(Corrupt(format!("{what} is empty"))),
    }
}

/// The row of [`Table::ById`]: where a stream is, and how far it goes. Whoever reads the stream compares: an append that cannot be found
/// any more is not taken for one that never was.
///
/// [`Table::ById`]: crate::store::Table::ById
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// The position of the stream's first record.
    pub(crate) start: Position,
    /// How many records it has.
    pub(crate) revision: u64,
    /// The position of the last one.
    pub(crate) position: Position,
}

impl End {
    pub(crate) fn decode(row: &[u8]) -> Result<Self, Corrupt> {
        decode(row, "where a stream is")
    }

    /// The stream has these records, all that the row speaks of among them. It may have grown since the row was read.
    pub(crate) fn check(&self, name: &StreamId, records: &[Stored]) -> Result<(), Corrupt> {
        self.check_positions(name, records.len(), |index| Some(records.get(index)?.position))
    }

    /// The same of records of which only the positions are known.
    pub(crate) fn check_positions(
        &self,
        name: &StreamId,
        count: usize,
        position_at: impl Fn(usize) -> Option<Position>,
    ) -> Result<(), Corrupt> {
        let last = usize::try_from(self.revision).ok().and_then(|revision| position_at(revision.checked_sub(1)?));
        if last == Some(self.position) && position_at(0) == Some(self.start) {
            return Ok(());
        }
        let Self { start, revision, position } = self;
        let found_last = count.checked_sub(1).and_then(position_at);
        let found = found_last.map_or("nothing".to_owned(), |last| format!("{count} up to {last}"));
        Err(Corrupt(format!(
            "{:?} {} in namespace {}: its row says {revision} records from {start} to {position}, and {found} can be found",
            name.kind, name.id, name.namespace
        )))
    }
}

/// What a corrupt row means to a reader of many: why it cannot be read. Any other error ends the reading.
pub(crate) fn readable<T>(read: Result<T, StoreError>) -> Result<Result<T, String>, StoreError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Corrupt(why)) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use amends_core::id::Namespace;
    use expect_test::expect;

    use super::*;
    use crate::journal::StreamKind;

    /// The stream index is rows like others. One flipped bit in a key hid the last append of a saga: it was shown as running after it
    /// had ended, took a cancel, and undid what stood. The kind is an entry that is lost, which no checksum of what is there can see.
    #[test]
    fn c2_32_an_append_that_cannot_be_found_is_no_shorter_stream() {
        let name = StreamId { namespace: Namespace::new("default").unwrap(), kind: StreamKind::Saga, id: "T1".into() };
        let end = End { start: 7, revision: 3, position: 12 };
        let check = |positions: &[Position]| {
            let records: Vec<Stored> =
                positions.iter().map(|position| Stored { position: *position, record: Bytes::new() }).collect();
            end.check(&name, &records).map_or_else(|corrupt| corrupt.0, |()| "whole".to_owned())
        };
        let whole = [check(&[7, 8, 12]), check(&[7, 8, 12, 20])];
        assert_eq!(whole, ["whole", "whole"], "it may have grown meanwhile");
        expect![[r#"
            Saga T1 in namespace default: its row says 3 records from 7 to 12, and 2 up to 8 can be found
            Saga T1 in namespace default: its row says 3 records from 7 to 12, and 3 up to 20 can be found
            Saga T1 in namespace default: its row says 3 records from 7 to 12, and 3 up to 12 can be found
            Saga T1 in namespace default: its row says 3 records from 7 to 12, and nothing can be found"#]]
        .assert_eq(&[check(&[7, 8]), check(&[7, 12, 20]), check(&[8, 9, 12]), check(&[])].join("\n"));
    }
}
