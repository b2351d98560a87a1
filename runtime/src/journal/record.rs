//! How a record is written: a fixed header, what only some records have, and the body. It knows nothing of the store.
//!
//! All numbers are big-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | crc32c of everything that follows |
//! | 4 | 1 | version of this header: 1 |
//! | 5 | 1 | flags: 1 has a causation, 2 has a head, 4 has a correlation id of its own, 8 has a causal depth; 16 is reserved for tags, 32 for a data subject |
//! | 6 | 2 | type code |
//! | 8 | 1 | format version of the body |
//! | 9 | 1 | content of the payload: 0 none, 1 JSON, 2 other bytes |
//! | 10 | 1 | envelope of the payload: 0 plain; 1 is reserved for encrypted |
//! | 11 | 1 | actor: 0 host, 1 local, 2 token |
//! | 12 | 4 | owner epoch |
//! | 16 | 4 | journal generation |
//! | 20 | 8 | position |
//! | 28 | 8 | stream, by start position |
//! | 36 | 8 | version |
//! | 44 | 8 | time, milliseconds since 1970 |
//! | 52 | 16 | causation, if flagged: stream, version |
//! | | 2 | causal depth, if flagged: how many records of other streams led to it |
//! | | | correlation id, if flagged: two length bytes, text; else the stream's own |
//! | | | token id, if the actor is one: a length byte, text |
//! | | | head, if flagged: namespace, kind, id, partition key, correlation id, as postcard |
//! | | | body, to the end |

use amends_core::value::{Format, Instant, Payload};
use bytes::Bytes;

use super::{Actor, Corrupt, Fact, Record, RecordId, StreamHead, facts::BODY_VERSION};
use crate::store::{Position, Stored};

const HEADER_VERSION: u8 = 1;
const HEADER_BYTES: usize = 52;
const HAS_CAUSATION: u8 = 1;
const HAS_HEAD: u8 = 2;
const HAS_CORRELATION: u8 = 4;
const HAS_DEPTH: u8 = 8;
const FLAGS: u8 = HAS_CAUSATION | HAS_HEAD | HAS_CORRELATION | HAS_DEPTH;
const PLAIN: u8 = 0;

/// Most bodies without their payload fit in this: it saves growing the buffer.
const BODY_BYTES_USUAL: usize = 160;

/// Writes a record.
///
/// Panics if the record breaks our own rules: a head where the stream does not begin, or a token id of over 255 bytes.
pub fn encode(record: &Record) -> Bytes {
    let begins = record.id.version == 1;
    assert!(begins == record.head.is_some(), "a stream's first record, and no other, has a head");
    assert!(begins == (record.id.stream == record.position), "a stream is named after the position of its first record");
    let payload = record.fact.payload();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + BODY_BYTES_USUAL + payload.map_or(0, |payload| payload.bytes.len()));
    bytes.extend_from_slice(&[0; 4]);
    let causation_flag = record.causation.map_or(0, |_| HAS_CAUSATION);
    let head_flag = record.head.as_ref().map_or(0, |_| HAS_HEAD);
    let correlation_flag = record.correlation.as_ref().map_or(0, |_| HAS_CORRELATION);
    let depth_flag = if record.depth > 0 { HAS_DEPTH } else { 0 };
    bytes.extend_from_slice(&[HEADER_VERSION, causation_flag | head_flag | correlation_flag | depth_flag]);
    bytes.extend_from_slice(&record.fact.code().to_be_bytes());
    bytes.extend_from_slice(&[BODY_VERSION, content(payload), PLAIN, actor_kind(&record.actor)]);
    bytes.extend_from_slice(&record.epoch.to_be_bytes());
    bytes.extend_from_slice(&record.generation.to_be_bytes());
    for number in [record.position, record.id.stream, record.id.version, record.at.0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    if let Some(cause) = record.causation {
        bytes.extend_from_slice(&cause.stream.to_be_bytes());
        bytes.extend_from_slice(&cause.version.to_be_bytes());
    }
    if record.depth > 0 {
        bytes.extend_from_slice(&record.depth.to_be_bytes());
    }
    if let Some(id) = &record.correlation {
        let length = u16::try_from(id.len()).unwrap_or_else(|_| panic!("a correlation id has at most {} bytes", u16::MAX));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(id.as_bytes());
    }
    if let Actor::Token(id) = &record.actor {
        assert!(id.len() <= usize::from(u8::MAX), "a token id has at most 255 bytes");
        bytes.push(id.len() as u8);
        bytes.extend_from_slice(id.as_bytes());
    }
    let written = match &record.head {
        Some(head) => postcard::to_extend(head, bytes),
        None => Ok(bytes),
    };
    match written.and_then(|bytes| record.fact.write_body(bytes)) {
        Ok(mut bytes) => {
            let sum = crc32c::crc32c(&bytes[4..]);
            bytes[..4].copy_from_slice(&sum.to_be_bytes());
            bytes.into()
        }
        Err(error) => unreachable!("a vector takes every byte and every field has a known length: {error}"),
    }
}

/// Reads a record, and answers for every byte of it.
pub fn decode(bytes: &[u8]) -> Result<Record, Corrupt> {
    let position = bytes.get(20..28).and_then(|at| at.try_into().ok()).map(u64::from_be_bytes);
    let at = position.map_or("record".to_owned(), |position| format!("record at position {position}"));
    read(bytes).map_err(|problem| Corrupt(format!("{at}: {problem}")))
}

/// Reads a record from where it is stored; one that says another position is corrupt.
pub fn decode_stored(stored: &Stored) -> Result<Record, Corrupt> {
    let Stored { position, record } = stored;
    // The store's position is the one to name: the record's own may be what is wrong.
    let record = read(record).map_err(|problem| Corrupt(format!("record at position {position}: {problem}")))?;
    if record.position != *position {
        return Err(Corrupt(format!("record at position {position}: it says that it belongs at {}", record.position)));
    }
    Ok(record)
}

/// The stream that a record is of, unchecked: to leave others out without reading them.
pub fn stream_of(bytes: &[u8]) -> Option<Position> {
    bytes.get(28..36).and_then(|stream| stream.try_into().ok()).map(u64::from_be_bytes)
}

fn read(bytes: &[u8]) -> Result<Record, String> {
    let mut left = Left(bytes);
    let stored = u32::from_be_bytes(left.take()?);
    let computed = crc32c::crc32c(left.0);
    if stored != computed {
        return Err(format!("checksum is {stored:08x}, its bytes give {computed:08x}"));
    }
    let [header_version, flags] = left.take()?;
    if header_version != HEADER_VERSION {
        return Err(format!("header of format {header_version} is unknown to this build; run the version that wrote it"));
    }
    if flags & !FLAGS != 0 {
        return Err(format!("flags {flags:#04x} are unknown to this build; run the version that wrote it"));
    }
    let code = u16::from_be_bytes(left.take()?);
    let [body_version, content_byte, envelope, actor_kind] = left.take()?;
    if envelope != PLAIN {
        return Err(format!("envelope {envelope} of its payload is unknown to this build; run the version that wrote it"));
    }
    let epoch = u32::from_be_bytes(left.take()?);
    let generation = u32::from_be_bytes(left.take()?);
    let position = left.number()?;
    let id = RecordId { stream: left.number()?, version: left.number()? };
    let at = Instant(left.number()?);
    let causation = match flags & HAS_CAUSATION {
        0 => None,
        _ => Some(RecordId { stream: left.number()?, version: left.number()? }),
    };
    let depth = match flags & HAS_DEPTH {
        0 => 0,
        _ => u16::from_be_bytes(left.take()?),
    };
    let correlation = match flags & HAS_CORRELATION {
        0 => None,
        _ => {
            let length = u16::from_be_bytes(left.take()?);
            Some(left.text(length.into(), "correlation id")?)
        }
    };
    let actor = left.actor(actor_kind)?;
    let head = match flags & HAS_HEAD {
        0 => None,
        _ => Some(left.head()?),
    };
    if head.is_some() != (id.version == 1) || (id.version == 1) != (id.stream == position) {
        return Err(format!("it says that it is version {} of stream {}, which cannot be", id.version, id.stream));
    }
    let fact = Fact::read_body(code, body_version, left.0)?;
    if content_byte != content(fact.payload()) {
        return Err(format!("{} says content {content_byte}, and its payload is another", fact.name()));
    }
    Ok(Record { id, position, at, causation, correlation, depth, epoch, generation, actor, head, fact })
}

fn content(payload: Option<&Payload>) -> u8 {
    match payload.map(|payload| payload.format) {
        None => 0,
        Some(Format::Json) => 1,
        Some(Format::Bytes) => 2,
    }
}

fn actor_kind(actor: &Actor) -> u8 {
    match actor {
        Actor::Host => 0,
        Actor::Local => 1,
        Actor::Token(_) => 2,
    }
}

/// What is not yet read.
struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("it ends in its header")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, String> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn actor(&mut self, kind: u8) -> Result<Actor, String> {
        match kind {
            0 => Ok(Actor::Host),
            1 => Ok(Actor::Local),
            2 => {
                let [length] = self.take()?;
                self.text(length.into(), "token id").map(Actor::Token)
            }
            _ => Err(format!("actor {kind} is unknown to this build; run the version that wrote it")),
        }
    }

    fn text(&mut self, length: usize, what: &str) -> Result<String, String> {
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(|| format!("it ends in its {what}"))?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|error| format!("{what}: {error}"))
    }

    fn head(&mut self) -> Result<StreamHead, String> {
        let (head, rest) = postcard::take_from_bytes(self.0).map_err(|error| format!("its head cannot be read: {error}"))?;
        self.0 = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests;
