//! Which lines of a page are recorded together. Pure.
//!
//! Between two commits of a page others have their turn, and a command that is decided then makes the rest of its aggregate's history
//! unimportable: nothing is imported behind what was decided here. So the lines of a stream are in one commit, as far as one takes them,
//! though those of others lie between them.

use std::ops::Range;

use crate::engine::port::{IMPORT_EVENTS_MAX, IMPORT_GROWN_MAX};

/// Lines of a stream that are to be recorded.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    /// How many events the stream has before them.
    pub(super) after: u64,
    /// Their numbers in the page, ascending.
    pub(super) numbers: Vec<u64>,
}

/// Lines of a stream that are recorded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The index of the stream.
    pub(super) stream: usize,
    /// Which of its fresh lines.
    pub(super) lines: Range<usize>,
}

/// The pieces of each commit. What is mixed in the page is mixed in a commit; the commits follow each other as the first lines of their
/// streams do.
pub(super) fn commits(streams: &[Fresh]) -> Vec<Vec<Piece>> {
    let mut pieces: Vec<Piece> = streams.iter().enumerate().flat_map(|(index, fresh)| cut(index, fresh.numbers.len())).collect();
    pieces.sort_by_key(|piece| streams[piece.stream].numbers[piece.lines.start]);
    let mut commits: Vec<Vec<Piece>> = Vec::new();
    let (mut events, mut grown) = (0, 0);
    for piece in pieces {
        let grows = usize::from(streams[piece.stream].after > 0);
        (events, grown) = (events + piece.lines.len(), grown + grows);
        match commits.last_mut().filter(|_| events <= IMPORT_EVENTS_MAX && grown <= IMPORT_GROWN_MAX) {
            Some(commit) => commit.push(piece),
            None => {
                (events, grown) = (piece.lines.len(), grows);
                commits.push(vec![piece]);
            }
        }
    }
    commits
}

/// What came of the fresh lines of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many were taken.
    pub(super) taken: usize,
    /// The first one that was not.
    pub(super) fell: Option<usize>,
}

/// What came of so many streams, whose pieces were taken or not.
pub(super) fn outcomes(streams: usize, answered: &[(Vec<Piece>, Vec<bool>)]) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default(); streams];
    for (Piece { stream, lines }, is_taken) in answered.iter().flat_map(|(pieces, taken)| pieces.iter().zip(taken)) {
        let outcome = &mut outcomes[*stream];
        match is_taken {
            true => outcome.taken += lines.len(),
            false => outcome.fell = outcome.fell.or(Some(lines.start)),
        }
    }
    outcomes
}

/// A stream that is longer than a commit fills commits of its own, and its last lines come behind them.
fn cut(stream: usize, lines: usize) -> impl Iterator<Item = Piece> {
    let piece = move |start| Piece { stream, lines: start..lines.min(start + IMPORT_EVENTS_MAX) };
    (0..lines).step_by(IMPORT_EVENTS_MAX).map(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many streams of so many lines, mixed line by line.
    fn mixed(streams: u64, lines: u64, after: u64) -> Vec<Fresh> {
        let of = |stream| Fresh { after, numbers: (0..lines).map(|line| line * streams + stream + 1).collect() };
        (0..streams).map(of).collect()
    }

    /// How many streams and how many lines each commit has.
    fn sizes(commits: &[Vec<Piece>]) -> Vec<(usize, usize)> {
        commits.iter().map(|commit| (commit.len(), commit.iter().map(|piece| piece.lines.len()).sum())).collect()
    }

    /// A page was cut every thousand lines, whatever streams they were of: a command that came between two commits had its aggregate's
    /// history end where the cut was, and all further lines of it were refused for ever.
    #[test]
    fn lines_of_a_stream_are_in_one_commit_unless_they_are_more_than_a_commit_takes() {
        let commits = commits(&mixed(50, 21, 0));
        assert_eq!(sizes(&commits), [(47, 47 * 21), (3, 3 * 21)]);
        assert!(commits.iter().flatten().all(|piece| piece.lines == (0..21)), "{commits:?}");
    }

    #[test]
    fn a_long_stream_fills_commits_of_its_own_and_its_pieces_keep_their_order() {
        let mut streams = mixed(1, 2_500, 7);
        streams.push(Fresh { after: 0, numbers: vec![2_501, 2_502] });
        let commits = commits(&streams);
        assert_eq!(sizes(&commits), [(1, 1_000), (1, 1_000), (2, 502)]);
        let starts: Vec<usize> = commits.iter().map(|commit| commit[0].lines.start).collect();
        assert_eq!(starts, [0, 1_000, 2_000]);
        assert_eq!(super::commits(&[]), Vec::<Vec<Piece>>::new());
    }

    /// Of a stream of which the first lines were taken and the others were not, the first line was said to be refused.
    #[test]
    fn the_line_that_is_refused_is_the_first_that_is_not_taken() {
        let streams = [Fresh { after: 0, numbers: (1..=2_500).collect() }, Fresh { after: 0, numbers: vec![2_501, 2_502] }];
        let answers = [vec![true], vec![false], vec![false, true]];
        let answered: Vec<_> = commits(&streams).into_iter().zip(answers).collect();
        let told = outcomes(2, &answered);
        assert_eq!(told, [Outcome { taken: 1_000, fell: Some(1_000) }, Outcome { taken: 2, fell: None }]);
    }

    /// A line for each of a thousand aggregates had the shard read all of them before it answered anybody else.
    #[test]
    fn few_streams_of_a_commit_are_there_already() {
        assert_eq!(sizes(&commits(&mixed(100, 1, 3))), [(32, 32), (32, 32), (32, 32), (4, 4)]);
        assert_eq!(sizes(&commits(&mixed(1_500, 1, 0))), [(1_000, 1_000), (500, 500)]);
    }
}
