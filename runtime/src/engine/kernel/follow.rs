//! A follower goes over something in the journal's order, so much in a turn, and remembers how far it is.
//!
//! What it does in a turn and how far it is then are one commit: a kill neither loses nor repeats a step. The turn after waits for
//! that commit, so a follower is never ahead of the disk, and other inputs are decided in between.

use crate::store::Position;

/// How far a follower is, as the row or the record says that has what the follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything up to this position was looked at.
    pub(crate) through: Position,
}

/// The places of one turn, and how much of it is done.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Where the next steps are, in order.
    places: std::vec::IntoIter<Position>,
    /// Up to here these are all; `None`: there are none behind them.
    end: Option<Position>,
    cursor: Cursor,
}

impl Cursor {
    /// Begins a turn over these places, which lie behind the cursor.
    pub(crate) fn turn(self, places: Vec<Position>, end: Option<Position>) -> Turn {
        debug_assert!(
            places.is_sorted() && places.first().is_none_or(|first| *first > self.through),
            "a turn goes on behind its cursor"
        );
        Turn { places: places.into_iter(), end, cursor: self }
    }
}

impl Turn {
    /// The next place was dealt with: the cursor goes past it, if there is one in this turn.
    pub(crate) fn pass(&mut self) -> Option<Position> {
        let place = self.places.next()?;
        self.cursor.through = place;
        Some(place)
    }

    /// How far it is.
    pub(crate) fn cursor(&self) -> Cursor {
        match self.end {
            Some(end) if self.places.as_slice().is_empty() => Cursor { through: end },
            Some(_) | None => self.cursor,
        }
    }

    /// Nothing is left: the follower has come to its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end.is_none() && self.places.as_slice().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn that ends early leaves its last places to the next one, which begins behind the cursor: none is met twice or never.
    #[test]
    fn turns_that_end_early_meet_each_place_once() {
        let all = [3, 7, 8, 20, 21];
        let (mut cursor, mut met) = (Cursor::default(), Vec::new());
        for steps in [1, 2, 0, 9] {
            let places: Vec<Position> = all.iter().copied().filter(|place| *place > cursor.through).collect();
            let mut turn = cursor.turn(places, None);
            for _ in 0..steps {
                met.extend(turn.pass());
            }
            cursor = turn.cursor();
            assert_eq!(turn.is_at_end(), met.len() == all.len());
        }
        assert_eq!(met, all);
    }

    /// A page may be full of places that are gone when the turn comes: the next turn begins behind them all the same.
    #[test]
    fn a_turn_without_places_goes_on_to_the_end_of_its_page() {
        let turn = Cursor { through: 3 }.turn(Vec::new(), Some(40));
        assert_eq!((turn.cursor(), turn.is_at_end()), (Cursor { through: 40 }, false));
    }
}
