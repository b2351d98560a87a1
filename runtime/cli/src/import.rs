//! `amends import`: histories that another system recorded.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    time::{Duration, Instant},
};

use amends_client::Write;
use amends_host::api::routes::import::{PAGE_BYTES_MAX, PAGE_LINES_MAX};
use amends_wire::import::{Imported, RefusedLines};
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{
    exit::Exit,
    patience::Patience,
    render::text::clean,
    session::{Form, Session, print, print_json, say},
};

/// Import the history of aggregates from a file of events.
///
/// A line is a JSON object, as `amends events --json` prints it: source (the aggregate's name), key (its id), type, version (1 if it is
/// left out), revision (its number from 1 on, without a gap), at, data or data_base64, tags. The lines of several aggregates may be mixed.
/// Published events, which `amends events` prints too, are left out. An active module must read the events. Lines that are recorded
/// already are passed over, so an import that was cut is run again. Behind events that were decided here nothing is imported: import
/// before commands are let in.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  amends import history.jsonl\n  amends --host http://old:8420 events --json | amends import -"
)]
pub(super) struct Import {
    /// The file; - for stdin.
    file: String,
    #[command(flatten)]
    form: Form,
}

/// How long the host may take for a page: each of its streams may be folded for half a minute.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often is said how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// Reasons that are said, and that are kept for the summary in JSON.
const SAID_MAX: usize = 20;
const KEPT_MAX: usize = 1_000;

/// All pages together.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    lines: u64,
    begun: u64,
    taken: u64,
    repeated: u64,
    left_out: u64,
    refused: u64,
    refusals: Vec<RefusedLine>,
}

/// As the host says it, but for the number of the line in the file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct RefusedLine {
    line: u64,
    lines: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    code: String,
    message: String,
}

pub(super) fn run(import: &Import, session: &Session) -> Result<Exit> {
    let input: Box<dyn Read> = match import.file.as_str() {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).with_context(|| format!("cannot read {path}"))?),
    };
    let mut pages = Pages::new(BufReader::new(input));
    let mut summary = Summary::default();
    let ended = take(&import.file, &mut pages, &mut summary, |page| send(session, page));
    // Also of what was taken before a page failed.
    let printed = match import.form.json {
        true => print_json(&summary),
        false => print(&summary.text()),
    };
    ended?;
    printed?;
    Ok(if summary.refused > 0 { Exit::Failed } else { Exit::Fine })
}

/// Sends all pages, and says how far it is. After an error the summary is that of the pages before.
fn take<R: BufRead>(
    file: &str,
    pages: &mut Pages<R>,
    summary: &mut Summary,
    send: impl Fn(&Page) -> Result<Imported>,
) -> Result<()> {
    let mut said_at = Instant::now();
    while let Some(page) = pages.next().with_context(|| format!("cannot read {file}"))? {
        let imported = send(&page).with_context(|| page.failed())?;
        for refused in summary.add(page, imported) {
            say(&refused);
        }
        if said_at.elapsed() >= PROGRESS {
            said_at = Instant::now();
            say(&summary.progress());
        }
    }
    Ok(())
}

/// Sends a page until it is taken: a page that is sent twice is taken once.
fn send(session: &Session, page: &Page) -> Result<Imported> {
    let mut patience = Patience::new(PATIENCE);
    let path = ["v1", "import"];
    let write = Write { body: &page.bytes, content_type: "application/octet-stream", patience: PATIENCE, ..Write::post(&path) };
    loop {
        match session.client.write(&write) {
            Ok((_, imported)) => return Ok(imported),
            Err(error) => patience.outlasts(error)?,
        }
    }
}

impl Summary {
    /// Adds what came of a page; gives what is to be said of it.
    fn add(&mut self, page: Page, imported: Imported) -> Vec<String> {
        let Imported { begun, taken, repeated, left_out, refused, refusals } = imported;
        self.lines = page.last();
        self.begun += u64::from(begun);
        self.taken += u64::from(taken);
        self.repeated += u64::from(repeated);
        self.left_out += u64::from(left_out);
        self.refused += u64::from(refused) + page.too_long.len() as u64;
        let of_host = |RefusedLines { line, lines, event, code, message }| {
            let line = page.first + u64::from(line) - 1;
            RefusedLine { line, lines, event, code, message }
        };
        let too_long = page.too_long.iter().map(|line| RefusedLine {
            line: *line,
            lines: 1,
            event: None,
            code: "payload_too_large".to_owned(),
            message: format!("it has more than {PAGE_BYTES_MAX} bytes"),
        });
        let mut all: Vec<RefusedLine> = refusals.into_iter().map(of_host).chain(too_long).collect();
        all.sort_by_key(|refused| refused.line);
        let mut said = Vec::new();
        for refused in all {
            match self.refusals.len() {
                kept if kept < SAID_MAX => said.push(refused.text()),
                SAID_MAX => said.push("further lines are refused; with --json the summary has a thousand of them".to_owned()),
                _ => {}
            }
            if self.refusals.len() < KEPT_MAX {
                self.refusals.push(refused);
            }
        }
        said
    }

    fn progress(&self) -> String {
        let Self { lines, taken, repeated, refused, .. } = self;
        format!("{lines} lines: {taken} taken, {repeated} repeated, {refused} refused")
    }

    fn text(&self) -> String {
        let Self { begun, taken, repeated, left_out, refused, .. } = self;
        let begun = plural(*begun, "new aggregate");
        let left_out = match left_out {
            0 => String::new(),
            _ => format!("; {} left out", plural(*left_out, "published event")),
        };
        format!("{begun}: {taken} taken, {repeated} repeated, {refused} refused{left_out}\n")
    }
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl RefusedLine {
    fn text(&self) -> String {
        let Self { line, lines, event, code, message } = self;
        let event = event.as_ref().map(|event| format!(" {}:", clean(event))).unwrap_or_default();
        let others = if *lines > 1 { format!("; {lines} lines of it are refused") } else { String::new() };
        format!("line {line}:{event} {} ({}){others}", clean(message), clean(code))
    }
}

/// Consecutive lines of the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    /// The number of the first one, from 1.
    first: u64,
    lines: usize,
    bytes: Vec<u8>,
    /// Lines that no page can take. An empty line stands for each, so that the others keep their numbers.
    too_long: Vec<u64>,
}

/// A file in pages: what is in memory is a page and a line, however large the file is.
struct Pages<R> {
    input: R,
    /// How many lines were read.
    read: u64,
    /// The line that did not fit into the page before.
    left: Option<Vec<u8>>,
}

impl<R: BufRead> Pages<R> {
    fn new(input: R) -> Self {
        Self { input, read: 0, left: None }
    }

    /// The next page; none at the end of the file.
    fn next(&mut self) -> io::Result<Option<Page>> {
        let mut page = Page { first: self.read + u64::from(self.left.is_none()), ..Page::default() };
        while page.lines < PAGE_LINES_MAX {
            let Some(line) = self.line()? else { break };
            let is_too_long = line.len() > PAGE_BYTES_MAX;
            let sent: &[u8] = if is_too_long { b"\n" } else { &line };
            if page.bytes.len() + sent.len() > PAGE_BYTES_MAX {
                self.left = Some(line);
                break;
            }
            page.push(sent);
            if is_too_long {
                page.too_long.push(self.read);
            }
        }
        Ok((page.lines > 0).then_some(page))
    }

    /// The next line with its end. Of one that is too long only so much as tells that is kept.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.left.take() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        loop {
            let some = match self.input.fill_buf() {
                Ok(some) => some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = some.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let length = end.unwrap_or(some.len());
            let room = (PAGE_BYTES_MAX + 1).saturating_sub(line.len());
            line.extend_from_slice(&some[..length.min(room)]);
            self.input.consume(length);
            if end.is_some() || length == 0 {
                break;
            }
        }
        if line.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        Ok(Some(line))
    }
}

impl Page {
    /// The number of the last one.
    fn last(&self) -> u64 {
        self.first + self.lines as u64 - 1
    }

    /// What is to be said of the lines, if nobody knows what became of them.
    fn failed(&self) -> String {
        let (first, last) = (self.first, self.last());
        format!(
            "lines {first} to {last} may be taken in part, and none behind them is; import the file again to go on behind what is taken"
        )
    }

    fn push(&mut self, line: &[u8]) {
        self.lines += 1;
        self.bytes.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn pages(text: &[u8]) -> Vec<Page> {
        let mut pages = Pages::new(BufReader::with_capacity(1_000, text));
        std::iter::from_fn(|| pages.next().unwrap()).collect()
    }

    #[test]
    fn a_file_is_read_in_pages_and_every_line_keeps_its_number() {
        assert_eq!(pages(b""), []);
        let short = pages(b"a\n\nb");
        assert_eq!(short, [Page { first: 1, lines: 3, bytes: b"a\n\nb".to_vec(), too_long: Vec::new() }]);
        let many = pages(&b"a\n".repeat(25_000));
        assert_eq!(
            many.iter().map(|page| (page.first, page.lines)).collect::<Vec<_>>(),
            [(1, 10_000), (10_001, 10_000), (20_001, 5_000)]
        );
        let large = pages(&[vec![b'x'; 1 << 20], vec![b'\n']].concat().repeat(5));
        assert_eq!(large.iter().map(|page| (page.first, page.lines)).collect::<Vec<_>>(), [(1, 3), (4, 2)]);
    }

    #[test]
    fn a_line_that_no_page_can_take_is_left_out_by_its_number() {
        let text = [b"a\n".to_vec(), vec![b'x'; 9 << 20], b"\nb\n".to_vec()].concat();
        assert_eq!(pages(&text), [Page { first: 1, lines: 3, bytes: b"a\n\nb\n".to_vec(), too_long: vec![2] }]);
    }

    /// The empty line that stands for one that is too long was put on a page that was full: a byte too much, and the host refused all of it.
    #[test]
    fn a_line_that_is_too_long_begins_a_page_where_the_one_before_is_full() {
        let full = [vec![b'x'; PAGE_BYTES_MAX - 1], b"\n".to_vec()].concat();
        let text = [full, vec![b'y'; PAGE_BYTES_MAX + 1], b"\nb\n".to_vec()].concat();
        let found = pages(&text);
        let told: Vec<_> = found.iter().map(|page| (page.first, page.lines, page.bytes.len(), page.too_long.clone())).collect();
        assert_eq!(told, [(1, 1, PAGE_BYTES_MAX, vec![]), (2, 2, 3, vec![2])]);
    }

    /// The pages before one that fails are taken, and neither that nor where it stopped was said: with `--json` stdout was empty.
    #[test]
    fn after_a_page_that_fails_the_summary_is_that_of_the_pages_before_and_its_lines_are_named() {
        let text = b"a\n".repeat(20_001);
        let (mut pages, mut summary) = (Pages::new(BufReader::new(&text[..])), Summary::default());
        let send = |page: &Page| match page.first {
            1 => Ok(Imported { taken: 10_000, ..Imported::default() }),
            _ => Err(anyhow::anyhow!("the host is away")),
        };
        let error = take("history.jsonl", &mut pages, &mut summary, send).unwrap_err();
        expect![[r#"
            lines 10001 to 20000 may be taken in part, and none behind them is; import the file again to go on behind what is taken: the host is away
            0 new aggregates: 10000 taken, 0 repeated, 0 refused
        "#]]
        .assert_eq(&format!("{error:#}\n{}", summary.text()));
        assert_eq!(summary.lines, 10_000);
    }

    #[test]
    fn pages_are_summed_and_refused_lines_are_told_by_their_number_in_the_file() {
        let refused = |line, lines, event: Option<&str>| RefusedLines {
            line,
            lines,
            event: event.map(str::to_owned),
            code: "gap".to_owned(),
            message: "event 2 is missing before event 3".to_owned(),
        };
        let mut summary = Summary::default();
        let of = |first, refusals| {
            let imported = Imported { begun: 1, taken: 7, repeated: 1, left_out: 1, refused: 2, refusals };
            (Page { first, lines: 11, ..Page::default() }, imported)
        };
        let (page, imported) = of(1, vec![refused(3, 2, Some("customer/C1/3"))]);
        let mut said = summary.add(page, imported);
        let (page, imported) = of(12, vec![refused(3, 1, None), refused(5, 1, None)]);
        said.extend(summary.add(page, imported));
        said.extend([summary.progress(), summary.text(), serde_json::to_string(&summary).unwrap()]);
        expect![[r#"
            line 3: customer/C1/3: event 2 is missing before event 3 (gap); 2 lines of it are refused
            line 14: event 2 is missing before event 3 (gap)
            line 16: event 2 is missing before event 3 (gap)
            22 lines: 14 taken, 2 repeated, 4 refused
            2 new aggregates: 14 taken, 2 repeated, 4 refused; 2 published events left out

            {"lines":22,"begun":2,"taken":14,"repeated":2,"left_out":2,"refused":4,"refusals":[{"line":3,"lines":2,"event":"customer/C1/3","code":"gap","message":"event 2 is missing before event 3"},{"line":14,"lines":1,"code":"gap","message":"event 2 is missing before event 3"},{"line":16,"lines":1,"code":"gap","message":"event 2 is missing before event 3"}]}"#]].assert_eq(&said.join("\n"));
    }
}
