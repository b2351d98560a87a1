//! `amends publish --batch`: the events of a file, many in a request.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    time::Duration,
};

use amends_client::Write;
use amends_host::api::routes::batch::{BATCH_BYTES_MAX, EVENTS_MAX};
use amends_wire::event::{BatchAnswer, EventAnswer};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    exit::Exit,
    patience::Patience,
    render::text::{clean, count},
    session::{Form, Session, print, print_json, say},
};

/// How long the host may take for a batch: its events may wake many sagas.
const PATIENCE: Duration = Duration::from_secs(600);

/// Reasons that are said, and that are kept for the summary in JSON.
const SAID_MAX: usize = 20;
const KEPT_MAX: usize = 1_000;

/// All batches together.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    recorded: u64,
    duplicates: u64,
    refused: u64,
    /// The host could not take them now, nor what is behind them in the file.
    not_taken: u64,
    refusals: Vec<Refused>,
}

/// An event that was refused, or that does not start what it should.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Refused {
    /// Its number in the file, from 1: of a line, or in the array.
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    code: String,
    message: String,
}

pub(super) fn run(file: &str, session: &Session, form: Form) -> Result<Exit> {
    let input: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).with_context(|| format!("cannot read {path}"))?),
    };
    let mut summary = Summary::default();
    let ended = Events::of(BufReader::new(input))
        .and_then(|mut events| publish(&mut events, &mut summary, |batch| send(session, batch)))
        .with_context(|| format!("cannot publish all of {file}"));
    // Also of what was taken before a batch failed.
    let printed = match form.json {
        true => print_json(&summary),
        false => print(&summary.text()),
    };
    ended?;
    printed?;
    Ok(summary.exit())
}

/// Sends all events, in their order. After one that the host cannot take now nothing more is sent.
fn publish<R: BufRead>(
    events: &mut Events<R>,
    summary: &mut Summary,
    send: impl Fn(&Batch) -> Result<BatchAnswer>,
) -> Result<()> {
    let mut next = None;
    while summary.not_taken == 0
        && let Some(batch) = Batch::of(events, &mut next, summary)?
    {
        let answer = send(&batch).with_context(|| batch.failed())?;
        summary.add(&batch, answer);
    }
    Ok(())
}

/// Sends a batch until it is answered: what is sent twice is taken once.
fn send(session: &Session, batch: &Batch) -> Result<BatchAnswer> {
    let mut patience = Patience::new(PATIENCE);
    let (path, content_type) = (["v1", "events"], "application/cloudevents-batch+json");
    let write = Write { body: &batch.body, content_type, patience: PATIENCE, ..Write::post(&path) };
    loop {
        match session.client.write(&write) {
            Ok((_, answer)) => return Ok(answer),
            Err(error) => patience.outlasts(error)?,
        }
    }
}

impl Summary {
    fn add(&mut self, batch: &Batch, answer: BatchAnswer) {
        self.recorded += u64::from(answer.recorded);
        self.duplicates += u64::from(answer.duplicates);
        for EventAnswer { index, id, http_status, accepted, error } in answer.events {
            let number = batch.numbers.get(index as usize).copied().unwrap_or_default();
            for not_started in accepted.into_iter().flat_map(|accepted| accepted.not_started) {
                let message = format!("saga {} is not started: {}", not_started.saga, not_started.message);
                self.refuse(Refused { number, id: id.clone(), code: not_started.code, message });
            }
            let Some(error) = error else { continue };
            let is_first = self.not_taken == 0;
            let is_not_taken = http_status == 503 || http_status == 507;
            *(if is_not_taken { &mut self.not_taken } else { &mut self.refused }) += 1;
            if is_first || !is_not_taken {
                let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                self.refuse(Refused { number, id, code: error.code, message: error.message + &hint });
            }
        }
    }

    fn refuse(&mut self, refused: Refused) {
        match self.refusals.len() {
            kept if kept < SAID_MAX => say(&refused.text()),
            SAID_MAX => say("further events are refused; with --json the summary has a thousand of them"),
            _ => {}
        }
        if self.refusals.len() < KEPT_MAX {
            self.refusals.push(refused);
        }
    }

    fn text(&self) -> String {
        let Self { recorded, duplicates, refused, not_taken, .. } = self;
        let rest = match not_taken {
            0 => String::new(),
            _ => format!(
                "; {} not taken, nor what is behind them: publish the file again, what was taken is not recorded twice",
                count(*not_taken, "event")
            ),
        };
        format!("{} recorded, {duplicates} there already, {refused} refused{rest}\n", count(*recorded, "event"))
    }

    fn exit(&self) -> Exit {
        match (self.not_taken, self.refusals.is_empty()) {
            (1.., _) => Exit::TryAgain,
            (0, false) => Exit::Failed,
            (0, true) => Exit::Fine,
        }
    }
}

impl Refused {
    fn text(&self) -> String {
        let id = self.id.as_ref().map(|id| format!(" ({})", clean(id))).unwrap_or_default();
        format!("event {}{id}: {} ({})", self.number, clean(&self.message), clean(&self.code))
    }
}

/// The events of a file: a JSON array, or one a line.
enum Events<R> {
    Lines { input: R, first: Option<String>, read: u64 },
    Array { rest: std::vec::IntoIter<Box<RawValue>>, read: u64 },
}

/// An event with its number, or what is wrong with its text.
type Numbered = (u64, Result<Box<RawValue>, String>);

impl<R: BufRead> Events<R> {
    fn of(mut input: R) -> Result<Self> {
        let (mut line, mut read) = (String::new(), 0);
        while line.trim().is_empty() {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                break;
            }
            read += 1;
        }
        if !line.trim_start().starts_with('[') {
            return Ok(Self::Lines { input, first: Some(line), read: read.max(1) - 1 });
        }
        input.read_to_string(&mut line)?;
        let events: Vec<Box<RawValue>> = serde_json::from_str(&line).context("it is no JSON array")?;
        Ok(Self::Array { rest: events.into_iter(), read: 0 })
    }

    fn next(&mut self) -> Result<Option<Numbered>> {
        match self {
            Self::Array { rest, read } => {
                *read += 1;
                Ok(rest.next().map(|event| (*read, Ok(event))))
            }
            Self::Lines { input, first, read } => loop {
                let mut line = first.take().unwrap_or_default();
                if line.is_empty() && input.read_line(&mut line)? == 0 {
                    return Ok(None);
                }
                *read += 1;
                if !line.trim().is_empty() {
                    let event = serde_json::from_str(line.trim());
                    let event = event.map_err(|error| error.to_string().replace(" at line 1 column", " at column"));
                    return Ok(Some((*read, event)));
                }
            },
        }
    }
}

/// Consecutive events of the file.
#[derive(Debug, Default)]
struct Batch {
    numbers: Vec<u64>,
    body: Vec<u8>,
}

impl Batch {
    /// The next one; none at the end of the file. `next` is the event that did not fit into the batch before.
    fn of<R: BufRead>(events: &mut Events<R>, next: &mut Option<Numbered>, summary: &mut Summary) -> Result<Option<Self>> {
        let mut batch = Self { numbers: Vec::new(), body: b"[".to_vec() };
        while let Some((number, event)) = next.take().map_or_else(|| events.next(), |event| Ok(Some(event)))? {
            match event {
                Err(why) => {
                    summary.refused += 1;
                    let message = format!("it is no JSON: {why}");
                    summary.refuse(Refused { number, id: None, code: "bad_json".to_owned(), message });
                }
                Ok(event) if batch.has_room(&event) => batch.push(number, &event),
                Ok(event) => {
                    *next = Some((number, Ok(event)));
                    break;
                }
            }
        }
        batch.body.push(b']');
        Ok((!batch.numbers.is_empty()).then_some(batch))
    }

    /// An event that is larger than a batch is one by itself: the host may take larger ones.
    fn has_room(&self, event: &RawValue) -> bool {
        let bytes = self.body.len() + event.get().len() + 2;
        self.numbers.is_empty() || (self.numbers.len() < EVENTS_MAX && bytes <= BATCH_BYTES_MAX)
    }

    fn push(&mut self, number: u64, event: &RawValue) {
        if !self.numbers.is_empty() {
            self.body.push(b',');
        }
        self.numbers.push(number);
        self.body.extend_from_slice(event.get().as_bytes());
    }

    /// What is to be said of the events, if nobody knows what became of them.
    fn failed(&self) -> String {
        let (first, last) = (self.numbers.first().unwrap_or(&0), self.numbers.last().unwrap_or(&0));
        format!("events {first} to {last} may be taken in part, and none behind them is")
    }
}

#[cfg(test)]
mod tests {
    use amends_wire::{error::ErrorDetail, event::Accepted};
    use expect_test::expect;

    use super::*;

    /// The batches of a text, and what is said of it before anything is sent.
    fn batches(text: &str) -> String {
        let mut summary = Summary::default();
        let mut events = match Events::of(text.as_bytes()) {
            Ok(events) => events,
            Err(error) => return format!("{error:#}\n"),
        };
        let (mut next, mut told) = (None, String::new());
        while let Some(batch) = Batch::of(&mut events, &mut next, &mut summary).unwrap() {
            told += &format!("{:?} {}\n", batch.numbers, String::from_utf8(batch.body).unwrap());
        }
        told + &summary.refusals.iter().map(|refused| refused.text() + "\n").collect::<String>()
    }

    #[test]
    fn a_file_is_an_array_or_lines_and_every_event_keeps_its_number() {
        let texts =
            ["", "\n", "{\"id\":\"1\"}", "\n\n{\"id\":\"1\"}\r\n\n{\"id\":\n{} \n", " [ {\"id\":\"1\"},\n 7]", "[]", "[{},", "x"];
        let told: Vec<String> = texts.iter().map(|text| format!("{text:?}\n{}", batches(text))).collect();
        expect![[r#"
            ""
            "\n"
            "{\"id\":\"1\"}"
            [1] [{"id":"1"}]
            "\n\n{\"id\":\"1\"}\r\n\n{\"id\":\n{} \n"
            [3, 6] [{"id":"1"},{}]
            event 5: it is no JSON: EOF while parsing a value at column 6 (bad_json)
            " [ {\"id\":\"1\"},\n 7]"
            [1, 2] [{"id":"1"},7]
            "[]"
            "[{},"
            it is no JSON array: EOF while parsing a value at line 1 column 4
            "x"
            event 1: it is no JSON: expected value at column 1 (bad_json)
        "#]]
        .assert_eq(&told.concat());
    }

    #[test]
    fn a_batch_has_at_most_as_many_events_and_bytes_as_the_host_takes() {
        let sizes = |text: &str| {
            let (mut events, mut next, mut found) = (Events::of(text.as_bytes()).unwrap(), None, Vec::new());
            while let Some(batch) = Batch::of(&mut events, &mut next, &mut Summary::default()).unwrap() {
                assert!(batch.body.len() <= BATCH_BYTES_MAX || batch.numbers.len() == 1);
                found.push((batch.numbers[0], batch.numbers.len()));
            }
            found
        };
        assert_eq!(sizes(&"{}\n".repeat(25_000)), [(1, 10_000), (10_001, 10_000), (20_001, 5_000)]);
        let large = format!("\"{}\"\n", "x".repeat(1 << 20));
        assert_eq!(sizes(&large.repeat(5)), [(1, 3), (4, 2)]);
        assert_eq!(sizes(&format!("1\n\"{}\"\n2\n", "x".repeat(BATCH_BYTES_MAX))), [(1, 1), (2, 1), (3, 1)]);
    }

    #[test]
    fn what_was_refused_is_told_by_its_number_and_nothing_is_sent_behind_what_was_not_taken() {
        let text = "x\n".to_owned() + &"{}\n".repeat(25_000);
        let (mut events, mut summary) = (Events::of(text.as_bytes()).unwrap(), Summary::default());
        let answer = |index, http_status, code: &str| {
            let error = ErrorDetail { code: code.to_owned(), message: "it is so".to_owned(), ..ErrorDetail::default() };
            EventAnswer { index, id: Some(format!("e{index}")), http_status, accepted: None, error: Some(error) }
        };
        let taken = EventAnswer {
            index: 0,
            id: Some("e0".to_owned()),
            http_status: 202,
            accepted: Some(Accepted {
                id: "e0".to_owned(),
                duplicate: false,
                woke: 0,
                started: Vec::new(),
                not_started: vec![amends_wire::event::NotStarted {
                    saga: "invoice".to_owned(),
                    code: "input_does_not_fit".to_owned(),
                    message: "at /sku: must be a string".to_owned(),
                }],
                kept_until: None,
            }),
            error: None,
        };
        let asked = std::cell::Cell::new(0);
        let send = |_: &Batch| {
            asked.set(asked.get() + 1);
            let events = match asked.get() {
                1 => vec![taken.clone(), answer(2, 400, "bad_request")],
                _ => vec![answer(7, 503, "overloaded"), answer(8, 400, "bad_request"), answer(9, 503, "overloaded")],
            };
            Ok(BatchAnswer { recorded: 3, duplicates: 1, refused: events.len() as u32, events })
        };
        publish(&mut events, &mut summary, send).unwrap();
        let told: Vec<String> = summary.refusals.iter().map(Refused::text).collect();
        expect![[r#"
            event 1: it is no JSON: expected value at column 1 (bad_json)
            event 2 (e0): saga invoice is not started: at /sku: must be a string (input_does_not_fit)
            event 4 (e2): it is so (bad_request)
            event 10009 (e7): it is so (overloaded)
            event 10010 (e8): it is so (bad_request)
            6 events recorded, 2 there already, 3 refused; 2 events not taken, nor what is behind them: publish the file again, what was taken is not recorded twice
        "#]].assert_eq(&(told.join("\n") + "\n" + &summary.text()));
        assert_eq!((asked.get(), summary.exit()), (2, Exit::TryAgain));
    }
}
