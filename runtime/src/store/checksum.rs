//! The checksum of a stored entry: over the table's number, the key and the value, so that a value which is read under another
//! key, or from another table, does not fit either. It knows nothing of what an entry says.
//!
//! Why the entries carry checksums, when redb has checksums of its own: redb verifies its pages when it repairs a file or is told
//! to check all of it, and trusts them at every other read. After a clean stop one flipped bit in a key of the stream index hid
//! the last append of a saga, and the saga's compensation ran a second time.
//!
//! Why inside a store, and not as a wrapper over any store: the stream index is the store's own, a wrapper never sees its
//! entries; and a wrapper that asks for a key learns nothing from "not there", while the store can look at what lies beside the
//! place. A store that verifies its pages at every read, as PostgreSQL does with data checksums, needs none of this.
//!
//! Journal records have no second checksum: a record brings its own, over its position, stream and version
//! (`journal/record.rs`), and its reader compares all three with what it asked for.

/// The bytes that a checksum adds to an entry.
const BYTES: usize = 4;

/// What is stored of a value.
pub(super) fn seal(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(BYTES + value.len());
    sealed.extend(sum(table, key, value).to_be_bytes());
    sealed.extend(value);
    sealed
}

/// The value in what is stored; none if it is not what was sealed under this key in this table.
pub(super) fn unseal<'a>(table: u8, key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (stored, value) = sealed.split_first_chunk::<BYTES>()?;
    (u32::from_be_bytes(*stored) == sum(table, key, value)).then_some(value)
}

/// The length of the key keeps a byte from moving between key and value.
fn sum(table: u8, key: &[u8], value: &[u8]) -> u32 {
    let length = (key.len() as u64).to_be_bytes();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[table]), &length);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, key), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_under_its_own_key_in_its_own_table_only() {
        let sealed = seal(3, b"key", b"value");
        assert_eq!(unseal(3, b"key", &sealed), Some(&b"value"[..]));
        assert_eq!(unseal(4, b"key", &sealed), None);
        assert_eq!(unseal(3, b"keyv", &[&sealed[..4], b"alue"].concat()), None);
        for length in 0..sealed.len() {
            assert_eq!(unseal(3, b"key", &sealed[..length]), None);
        }
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(3, b"key", &flipped), None, "bit {bit}");
        }
        assert_eq!(unseal(3, b"", &seal(3, b"", b"")), Some(&b""[..]));
    }

    /// It is written on disks.
    #[test]
    fn the_bytes_of_an_entry_never_change() {
        expect_test::expect!["4747f0ef76616c7565"].assert_eq(&hex::encode(seal(3, b"key", b"value")));
    }
}
