//! Histories that another system recorded, a page of lines at a time.

use std::sync::Arc;

use amends_core::{
    Instant,
    aggregate::{EVENT_BYTES_MAX, TAGS_MAX, TEXT_BYTES_MAX, is_id, is_text},
    id::Name,
    plain::is_printable,
    value::{Format, Payload},
};
use amends_wire::{
    error::ErrorBody,
    import::{ImportLine, Imported, RefusedLines},
    value::{Binary, from_base64},
};
use axum::{Json, body::Body, extract::State, http::StatusCode, response::Response};
use bytes::Bytes;

use super::{Routes, written};
use crate::{
    api::{
        Api,
        caller::{self, Caller},
        error::{ApiError, Part},
    },
    plain::whole,
    service::import::{self, Event, Line, RefusedStream, Why},
};

pub(super) fn routes() -> Routes {
    routes![import]
}

/// A page: enough to share a read, calls and commits, and little enough that two of them in memory are nothing.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// Lines of a page.
pub const PAGE_LINES_MAX: usize = 10_000;

/// Reasons of one answer.
const REFUSALS_MAX: usize = 1_000;

/// A root of a chain of causes may be made of two ids.
const CORRELATION_BYTES_MAX: usize = 1_024;

/// Imports events that another system recorded: each line of the body is one, a JSON object as `RecordedEvent`, of which `source`, `key`,
/// `type` and `revision` must be there, and `version` (else 1), `at` (else now), `data` or `data_base64`, `tags` and `correlation` may.
/// Published events, which have a `position` and no `revision`, are left out.
///
/// The events of an aggregate are numbered from 1 without a gap, and an active module must read them and fold them. In a page, the lines
/// of an aggregate are taken together, or refused together, if they are at most 1000; of more, the first thousands may be taken and the
/// rest refused. The lines of other aggregates are taken all the same. A line that is recorded already, exactly as it is, is counted as
/// repeated: what was cut is sent again.
///
/// A page has at most 10000 lines and 4 MiB; further events of an aggregate may be in the next page. Behind events that were decided here
/// nothing is imported: a command to an aggregate between two pages, or between two thousands of its lines, makes the rest of its history
/// unimportable, so histories are imported before commands are let in.
///
/// The events keep their time. Those of an aggregate get positions in the order of the lines, and so do those of all aggregates of a page
/// that has at most 1000 lines and grows at most 32 aggregates that have events already. A larger page is recorded in such parts, each
/// with all lines of its aggregates. Views take the events as others. They start no saga, end no wait and hold no claim.
#[utoipa::path(
    post, operation_id = "import_events", path = "/v1/import", tag = "aggregates",
    request_body(content = Binary, content_type = "application/octet-stream", description = "JSON lines; the host does not look at the content type"),
    responses(
        (status = 200, description = "all that was taken is durable; some lines may be refused", body = Imported),
        (status = 413, description = "`payload_too_large`: the page has too many bytes or lines; nothing was taken", body = ErrorBody),
        (status = 503, description = "overloaded, stopping or storage failed; send the same page again", body = ErrorBody),
    )
)]
async fn import(State(api): State<Arc<Api>>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    // Whoever sends slowly has no place meanwhile: two of them would hold up every import.
    let body = caller::read_body(Part::Body, body, PAGE_BYTES_MAX, &api.held.bodies).await?;
    let place = api.imports.place().await?;
    // Some ten milliseconds for a full page: other requests do not wait for it.
    let Page { lines, unread, left_out } =
        tokio::task::spawn_blocking(move || read(&body)).await.map_err(|_| ApiError::internal("a page of lines"))??;
    let imported = api.imports.take(&caller.origin, &caller.by, lines, &place).await?;
    let position = imported.position;
    let answer = Json(Imported { left_out, ..answer(imported, unread) });
    Ok(if position == 0 { axum::response::IntoResponse::into_response(answer) } else { written(&api, position, answer) })
}

fn answer(imported: import::Imported, unread: Vec<RefusedLines>) -> Imported {
    let import::Imported { begun, taken, repeated, refused, .. } = imported;
    let mut refusals: Vec<RefusedLines> = refused.into_iter().map(of_stream).chain(unread).collect();
    refusals.sort_by_key(|refused| refused.line);
    let refused = refusals.iter().map(|refused| refused.lines).sum();
    refusals.truncate(REFUSALS_MAX);
    // A page has far fewer lines.
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Imported { begun: count(begun), taken: count(taken), repeated: count(repeated), left_out: 0, refused, refusals }
}

fn of_stream(refused: RefusedStream) -> RefusedLines {
    let RefusedStream { line, lines, aggregate, id, revision, why } = refused;
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    RefusedLines {
        line: count(line),
        lines: count(lines),
        event: Some(format!("{aggregate}/{id}/{revision}")),
        code: why.code.to_owned(),
        message: why.message,
    }
}

/// The lines of a page. Empty ones are nothing.
#[derive(Default)]
struct Page {
    /// Those that say which event they are.
    lines: Vec<Line>,
    /// Those that do not.
    unread: Vec<RefusedLines>,
    /// How many are events that were published.
    left_out: u32,
}

fn read(body: &Bytes) -> Result<Page, ApiError> {
    let mut page = Page::default();
    let texts = body.split(|byte| *byte == b'\n').zip(1_u32..).map(|(text, number)| (text.trim_ascii(), number));
    for ((text, number), count) in texts.filter(|(text, _)| !text.is_empty()).zip(0..) {
        if count == PAGE_LINES_MAX {
            let message = format!("the page has more than {PAGE_LINES_MAX} lines");
            return Err(
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message).hint("send them in several pages")
            );
        }
        match line(number, text) {
            Ok(Some(line)) => page.lines.push(line),
            Ok(None) => page.left_out += 1,
            Err(message) => {
                page.unread.push(RefusedLines { line: number, lines: 1, event: None, code: "bad_line".to_owned(), message });
            }
        }
    }
    Ok(page)
}

/// A line, if it says which event it is; none: it is an event that a host shows and that was published. A line that merely lacks its
/// number has no position either, and is not passed over in silence.
fn line(number: u32, text: &[u8]) -> Result<Option<Line>, String> {
    // The number of the line in its own text says nothing.
    let no_event =
        |error: serde_json::Error| format!("it is no event: {}", error.to_string().replace(" at line 1 column", " at column"));
    let line: ImportLine = serde_json::from_slice(text).map_err(no_event)?;
    let Some(revision) = &line.revision else {
        let says = "it has no `revision`: the events of an aggregate are numbered from 1 on";
        return line.position.map(|_| None).ok_or_else(|| says.to_owned());
    };
    let revision = whole(revision).filter(|revision| (1..u64::MAX).contains(revision));
    let revision = revision.ok_or("`revision` is a number from 1 on")?;
    Name::new(&line.source).map_err(|bad| format!("`source` is the name of an aggregate: {bad}"))?;
    if !is_id(&line.key) {
        return Err("`key` is the id of an aggregate: 1 to 128 printable bytes without `/`, not `.` or `..`".to_owned());
    }
    let (aggregate, id) = (line.source.clone(), line.key.clone());
    Ok(Some(Line { number: number.into(), aggregate, id, revision, event: event(line) }))
}

fn event(line: ImportLine) -> Result<Event, Why> {
    let ImportLine { event_type, version, at, data, data_base64, tags, correlation, .. } = line;
    let bad = |message: &str| Err(Why::new("bad_line", message));
    if !is_text(&event_type) {
        return bad("`type` has 1 to 255 printable bytes");
    }
    if tags.len() > TAGS_MAX || !tags.iter().all(|tag| is_text(tag)) {
        return bad(&format!("`tags` are at most {TAGS_MAX}, each of 1 to {TEXT_BYTES_MAX} printable bytes"));
    }
    let fits = |text: &String| (1..=CORRELATION_BYTES_MAX).contains(&text.len()) && is_printable(text);
    // An event that was shown before correlations were recorded has none.
    let correlation = correlation.filter(|text| !text.is_empty());
    if !correlation.as_ref().is_none_or(fits) {
        return bad(&format!("`correlation` has at most {CORRELATION_BYTES_MAX} printable bytes"));
    }
    let data = match (data, data_base64) {
        (Some(_), Some(_)) => return bad("it has `data` or `data_base64`, not both"),
        (Some(data), None) => Payload::json(data.as_str().to_owned()),
        (None, Some(text)) => match from_base64(&text) {
            Some(bytes) => Payload::opaque(bytes),
            None => return bad("`data_base64` is not base64"),
        },
        (None, None) => Payload::null(),
    };
    if data.bytes.len() > EVENT_BYTES_MAX {
        let message = format!("its data has {} bytes and may have {EVENT_BYTES_MAX}", data.bytes.len());
        return Err(Why::new("payload_too_large", message));
    }
    // What is skipped while the line is read is not looked at: a lone surrogate, or a depth that no reader takes.
    if data.format == Format::Json
        && let Err(error) = serde_json::from_slice::<serde_json::Value>(&data.bytes)
    {
        return bad(&format!("its data is bad JSON: {}", error.to_string().replace(" at line 1 column", " at column")));
    }
    Ok(Event { event_type, version, data, tags, at: at.map(|at| Instant(at.ms())), correlation })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use expect_test::expect;

    use super::*;

    fn told(text: &str) -> String {
        match line(1, text.as_bytes()) {
            Err(message) => message,
            Ok(None) => "left out".to_owned(),
            Ok(Some(Line { event: Err(why), .. })) => format!("{}: {}", why.code, why.message),
            Ok(Some(Line { aggregate, id, revision, event: Ok(event), .. })) => {
                format!("{aggregate} {id} {revision} {event:?}")
            }
        }
    }

    /// A time before 1970 became 1970, `+2` and `02` were read as the number 2, and bytes as the JSON that they were shown as.
    #[test]
    fn a_line_is_an_event_as_it_is_shown_or_says_what_is_wrong() {
        let whole = r#"{"id":"customer/C1/2","type":"customer.opened","version":2,"source":"customer","key":"C1","revision":"2",
            "position":"0-1-48","at":"2020-02-03T04:05:06.007Z","correlation":"R1","data":{"limit_cents": 1500},"tags":["vip"],
            "module_version":1,"imported":{"at":"2026-01-01T00:00:00Z","by":"ada"}}"#;
        let short = r#"{"source":"customer","key":"C1","revision":2,"type":"customer.opened"}"#;
        let with = |extra: &str| format!("{},{extra}}}", short.trim_end_matches('}'));
        let large = format!("\"data\":\"{}\"", "x".repeat(256 << 10));
        let deep = format!("\"data\":{}{}", "[".repeat(200), "]".repeat(200));
        let lines = [
            whole.to_owned(),
            short.to_owned(),
            with(r#""data":9007199254740993"#),
            "nonsense".to_owned(),
            with(r#""tag":["vip"]"#),
            with(r#""key":"C2""#),
            short.replace("2", "0"),
            short.replace("2", "\"two\""),
            short.replace("2", "\"+2\""),
            short.replace("2", "\"02\""),
            short.replace(",\"revision\":2", ""),
            short.replace("\"revision\":2", "\"position\":\"0-1-48\"").replace("\"customer\"", "\"CRM\"").replace("C1", "a/b"),
            short.replace("C1", "C/1"),
            short.replace("\"customer\"", "\"Customer\""),
            with(r#""tags":[""]"#),
            with(r#""at":"yesterday""#),
            with(r#""at":"1969-12-31T23:59:59.999Z""#),
            with(r#""at":"1970-01-01T00:00:00Z","data_base64":"/wA=""#),
            with(r#""data":null,"data_base64":"Nw==""#),
            with(r#""data":7,"data_base64":"Nw==""#),
            with(r#""data_base64":"Nw""#),
            with(r#""data":{"base64":"Nw=="}"#),
            with(&large),
            with(&deep),
            with(r#""data":"\ud800""#),
        ];
        expect![[r#"
            customer C1 2 Event { event_type: "customer.opened", version: 2, data: Payload { format: Json, bytes: b"{\"limit_cents\": 1500}" }, tags: ["vip"], at: Some(Instant(1580702706007)), correlation: Some("R1") }
            customer C1 2 Event { event_type: "customer.opened", version: 1, data: Payload { format: Json, bytes: b"null" }, tags: [], at: None, correlation: None }
            customer C1 2 Event { event_type: "customer.opened", version: 1, data: Payload { format: Json, bytes: b"9007199254740993" }, tags: [], at: None, correlation: None }
            it is no event: expected ident at column 2
            it is no event: unknown field `tag`, expected one of `source`, `key`, `type`, `version`, `revision`, `at`, `data`, `data_base64`, `tags`, `correlation`, `id`, `position`, `module_version`, `imported` at column 75
            it is no event: duplicate field `key` at column 75
            `revision` is a number from 1 on
            `revision` is a number from 1 on
            `revision` is a number from 1 on
            `revision` is a number from 1 on
            it has no `revision`: the events of an aggregate are numbered from 1 on
            left out
            `key` is the id of an aggregate: 1 to 128 printable bytes without `/`, not `.` or `..`
            `source` is the name of an aggregate: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
            bad_line: `tags` are at most 8, each of 1 to 255 printable bytes
            it is no event: not a time as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00 at column 87
            it is no event: `at` is before 1970, and no such time can be recorded at column 102
            customer C1 2 Event { event_type: "customer.opened", version: 1, data: Payload { format: Bytes, bytes: b"\xff\0" }, tags: [], at: Some(Instant(0)), correlation: None }
            customer C1 2 Event { event_type: "customer.opened", version: 1, data: Payload { format: Bytes, bytes: b"7" }, tags: [], at: None, correlation: None }
            bad_line: it has `data` or `data_base64`, not both
            bad_line: `data_base64` is not base64
            customer C1 2 Event { event_type: "customer.opened", version: 1, data: Payload { format: Json, bytes: b"{\"base64\":\"Nw==\"}" }, tags: [], at: None, correlation: None }
            payload_too_large: its data has 262146 bytes and may have 262144
            bad_line: its data is bad JSON: recursion limit exceeded at column 128
            bad_line: its data is bad JSON: unexpected end of hex escape at column 8"#]].assert_eq(&lines.map(|line| told(&line)).join("\n"));
    }

    #[test]
    fn empty_lines_are_counted_and_nothing_else() {
        let short = r#"{"source":"customer","key":"C1","revision":1,"type":"customer.opened"}"#;
        let Page { lines, unread, left_out } = read(&Bytes::from(format!("\n{short}\r\n\nnonsense\n"))).unwrap();
        assert_eq!(left_out, 0);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2]);
        assert_eq!(unread.iter().map(|refused| refused.line).collect::<Vec<_>>(), [4]);
        let too_many = read(&Bytes::from("x\n".repeat(10_001))).err().unwrap();
        assert_eq!(too_many.code(), "payload_too_large");
    }
}
