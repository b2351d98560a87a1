//! Positions and cursors as they are handed out: opaque texts that hold shard, journal generation and number.

use axum::http::StatusCode;

use super::error::ApiError;
use crate::journal::{self, SHARD};

/// Reads and writes the positions of one journal.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Which life of the journal.
    pub generation: u32,
}

impl Positions {
    /// The opaque text.
    pub fn show(self, number: u64) -> String {
        journal::position_of(self.generation, number)
    }

    /// The number in a text that this journal handed out in this generation.
    pub fn read(self, text: &str) -> Result<u64, ApiError> {
        let bad = || ApiError::bad_request(format!("`{text}` is no position")).hint("use one as the host handed it out");
        let mut parts = text.split('-').map(str::parse::<u64>);
        let (Some(Ok(shard)), Some(Ok(generation)), Some(Ok(number)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        if shard != u64::from(SHARD) {
            return Err(bad());
        }
        if generation != u64::from(self.generation) {
            let message = format!("position `{text}` is of another life of this journal, which was restored since");
            return Err(ApiError::new(StatusCode::CONFLICT, "restored", message).hint("read again from the start"));
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_another_generation_is_refused_and_never_skipped() {
        let positions = Positions { generation: 2 };
        assert_eq!(positions.read(&positions.show(7)).unwrap(), 7);
        assert_eq!(positions.read("0-1-7").unwrap_err().status, StatusCode::CONFLICT);
        for bad in ["", "7", "0-2", "1-2-7", "0-2-x", "0-2-7-1", "0--7"] {
            assert_eq!(positions.read(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
}
