//! The lines of one stream in a page: whether they follow each other, and how they fit behind what is recorded. Pure.

use std::collections::HashMap;

use amends_core::value::{Format, Instant, Payload};

use crate::{
    engine::port::{RecordedEvent, Refusal},
    plain::escape_json,
};

/// A line that says which event of which aggregate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The event's number among the aggregate's events, from 1.
    pub revision: u64,
    /// The event, or why it cannot be taken.
    pub event: Result<Event, Why>,
}

/// An event as a line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// What it says.
    pub data: Payload,
    /// What else it is about.
    pub tags: Vec<String>,
    /// When it was decided; none: when it is imported.
    pub at: Option<Instant>,
    /// The root of its chain of causes, if it is known.
    pub correlation: Option<String>,
}

/// Why a line is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// For machines.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Why {
    /// A reason.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the engine would say, with its first hint.
    pub(super) fn of(code: &'static str, refusal: &Refusal) -> Self {
        let hint = refusal.hints.first().map(|hint| format!("; {}", hint.words)).unwrap_or_default();
        Self { code, message: format!("{}{hint}", refusal.message) }
    }
}

/// A line of a part that cannot be taken, by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misplaced {
    pub(super) index: usize,
    pub(super) why: Why,
}

/// The lines of one stream, in their order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) aggregate: String,
    pub(super) id: String,
    pub(super) lines: Vec<Line>,
}

/// The parts of a page, in the order in which their streams come.
pub(super) fn parts(lines: Vec<Line>) -> Vec<Part> {
    let (mut parts, mut places) = (Vec::<Part>::new(), HashMap::<(String, String), usize>::new());
    for line in lines {
        let place = *places.entry((line.aggregate.clone(), line.id.clone())).or_insert_with(|| {
            parts.push(Part { aggregate: line.aggregate.clone(), id: line.id.clone(), lines: Vec::new() });
            parts.len() - 1
        });
        parts[place].lines.push(line);
    }
    parts
}

impl Part {
    pub(super) fn first_revision(&self) -> u64 {
        self.lines.first().map_or(1, |line| line.revision)
    }

    /// The lines follow each other: the last one has the greatest number, but where a line is repeated.
    pub(super) fn last_revision(&self) -> u64 {
        self.lines.iter().map(|line| line.revision).max().unwrap_or(1)
    }

    /// Each line is an event, and each is the one behind that before it, or one of those before it once more.
    pub(super) fn check(&self) -> Result<(), Misplaced> {
        let first = self.first_revision();
        let mut next = first;
        for (index, line) in self.lines.iter().enumerate() {
            let misplaced = |code, message: String| Err(Misplaced { index, why: Why::new(code, message) });
            match &line.event {
                Err(why) => return Err(Misplaced { index, why: why.clone() }),
                Ok(_) if line.revision == next => next += 1,
                Ok(_) if line.revision > next => {
                    return misplaced("gap", format!("event {next} is missing before event {}", line.revision));
                }
                Ok(_) if line.revision < first => {
                    return misplaced("gap", format!("event {} comes behind event {first}", line.revision));
                }
                Ok(event) => {
                    let before = &self.lines[..index];
                    let same = before.iter().find(|known| known.revision == line.revision);
                    if same.is_some_and(|known| known.event.as_ref() != Ok(event)) {
                        return misplaced("exists", format!("event {} is in the file twice, and differs", line.revision));
                    }
                }
            }
        }
        Ok(())
    }

    /// An event that is recorded, of a stream that has so many: the line of its number must be that event, and behind events that were
    /// decided here nothing is imported.
    pub(super) fn compare(&self, event: &RecordedEvent, revision: u64) -> Result<(), Misplaced> {
        let exists = |index, said| Err(Misplaced { index, why: Why::new("exists", said) });
        if let Some(index) = self.index_of(event.revision)
            && !self.lines[index].is(event)
        {
            return exists(index, format!("event {} is recorded here, and is another one", event.revision));
        }
        if event.revision == revision
            && event.imported.is_none()
            && let Some(index) = self.lines.iter().position(|line| line.revision > revision)
        {
            return exists(index, format!("event {revision} was decided here, and no history is imported behind it"));
        }
        Ok(())
    }

    /// The first line of an event. Where no line is repeated, its place follows from the number.
    fn index_of(&self, revision: u64) -> Option<usize> {
        let place = usize::try_from(revision.checked_sub(self.first_revision())?).ok()?;
        match self.lines.get(place) {
            Some(line) if line.revision == revision => Some(place),
            Some(_) | None => self.lines.iter().position(|line| line.revision == revision),
        }
    }

    /// The lines behind so many recorded events, each once, by their indices.
    pub(super) fn behind(&self, revision: u64) -> Result<Vec<usize>, Misplaced> {
        let first = self.first_revision();
        if first > revision + 1 {
            let missing = if revision + 2 == first {
                format!("event {}", revision + 1)
            } else {
                format!("events {} to {}", revision + 1, first - 1)
            };
            let said = format!("{missing} of it must be imported before event {first}");
            return Err(Misplaced { index: 0, why: Why::new("gap", said) });
        }
        let (mut fresh, mut next) = (Vec::new(), revision + 1);
        for (index, line) in self.lines.iter().enumerate() {
            if line.revision == next {
                fresh.push(index);
                next += 1;
            }
        }
        Ok(fresh)
    }
}

impl Line {
    /// Whether it says what is recorded; of what it leaves out, nothing is said. JSON is compared as it is spelled, and as the command
    /// line spells it, which escapes what would turn the reading direction.
    fn is(&self, recorded: &RecordedEvent) -> bool {
        let Ok(Event { event_type, version, data, tags, at, correlation }) = &self.event else { return false };
        *event_type == recorded.event_type
            && *version == recorded.version
            && is_same(data, &recorded.data.clone().unwrap_or_else(Payload::null))
            && *tags == recorded.tags
            && at.is_none_or(|at| at == recorded.at)
            && correlation.as_ref().is_none_or(|correlation| *correlation == recorded.correlation)
    }
}

fn is_same(one: &Payload, other: &Payload) -> bool {
    let is_json = one.format == Format::Json && other.format == Format::Json;
    one == other || (is_json && escaped(&one.bytes) == escaped(&other.bytes))
}

fn escaped(json: &[u8]) -> String {
    escape_json(String::from_utf8_lossy(json).trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::engine::recorded::Provenance;

    fn line(number: u64, id: &str, revision: u64, data: &str) -> Line {
        let event = Event {
            event_type: "customer.opened".to_owned(),
            version: 1,
            data: Payload::json(data.to_owned()),
            tags: Vec::new(),
            at: None,
            correlation: None,
        };
        Line { number, aggregate: "customer".to_owned(), id: id.to_owned(), revision, event: Ok(event) }
    }

    fn part(revisions: &[u64]) -> Part {
        let lines = revisions.iter().zip(1..).map(|(revision, number)| line(number, "C1", *revision, "7")).collect();
        parts(lines).pop().unwrap()
    }

    fn recorded(revision: u64, data: &str, imported: bool) -> RecordedEvent {
        let import = Provenance { at: Instant(2), by: String::new() };
        RecordedEvent {
            source: "customer".to_owned(),
            key: "C1".to_owned(),
            id: format!("customer/C1/{revision}"),
            event_type: "customer.opened".to_owned(),
            version: 1,
            revision,
            position: revision,
            at: Instant(1),
            imported: imported.then_some(import),
            correlation: "R1".to_owned(),
            data: Some(Payload::json(data.to_owned())),
            tags: Vec::new(),
            module_version: 1,
        }
    }

    fn told<T: std::fmt::Debug>(said: Result<T, Misplaced>) -> String {
        said.map_or_else(
            |bad| format!("line {}: {}: {}", bad.index + 1, bad.why.code, bad.why.message),
            |fine| format!("{fine:?}"),
        )
    }

    #[test]
    fn lines_of_a_page_are_sorted_by_their_streams_and_keep_their_order() {
        let found = parts(vec![line(1, "C1", 1, "1"), line(2, "C2", 1, "2"), line(3, "C1", 2, "3")]);
        let numbers: Vec<Vec<u64>> = found.iter().map(|part| part.lines.iter().map(|line| line.number).collect()).collect();
        assert_eq!(numbers, [vec![1, 3], vec![2]]);
    }

    #[test]
    fn lines_of_a_stream_follow_each_other() {
        let mut differs = part(&[1, 2]);
        differs.lines.push(line(3, "C1", 2, "8"));
        let mut bad = part(&[1, 2]);
        bad.lines[1].event = Err(Why::new("payload_too_large", "it is large"));
        let cases = [part(&[1, 2, 3]), part(&[5, 6]), part(&[1, 2, 2, 1, 3]), part(&[1, 3]), part(&[2, 1]), differs, bad]
            .map(|part| told(part.check()));
        expect![[r#"
            ()
            ()
            ()
            line 2: gap: event 2 is missing before event 3
            line 2: gap: event 1 comes behind event 2
            line 3: exists: event 2 is in the file twice, and differs
            line 2: payload_too_large: it is large"#]]
        .assert_eq(&cases.join("\n"));
    }

    #[test]
    fn lines_behind_what_is_recorded_are_taken_once() {
        let cases = [part(&[1, 2, 3]).behind(0), part(&[1, 2, 3]).behind(2), part(&[1, 2]).behind(5), part(&[1, 1, 2]).behind(0)];
        let gaps = [part(&[3, 4]).behind(0), part(&[3]).behind(1)];
        expect![[r#"
            [0, 1, 2]
            [2]
            []
            [0, 2]
            line 1: gap: events 1 to 2 of it must be imported before event 3
            line 1: gap: event 2 of it must be imported before event 3"#]]
        .assert_eq(&cases.into_iter().chain(gaps).map(told).collect::<Vec<_>>().join("\n"));
    }

    /// The bytes `7` were taken for the number 7.
    #[test]
    fn a_line_is_what_is_recorded_or_refused_and_nothing_comes_behind_what_was_decided_here() {
        let both = part(&[1, 2]);
        let bytes = RecordedEvent { data: Some(Payload::opaque("7")), ..recorded(1, "7", true) };
        let cases = [
            both.compare(&recorded(1, " 7 ", true), 1),
            both.compare(&recorded(1, "8", true), 1),
            both.compare(&bytes, 1),
            both.compare(&recorded(1, "7", false), 1),
            both.compare(&recorded(2, "7", false), 2),
        ];
        expect![[r#"
            ()
            line 1: exists: event 1 is recorded here, and is another one
            line 1: exists: event 1 is recorded here, and is another one
            line 2: exists: event 1 was decided here, and no history is imported behind it
            ()"#]]
        .assert_eq(&cases.map(told).join("\n"));
    }
}
