//! Answers that may be large: JSON in pieces, counted in the memory for clients until the last piece is written.
//!
//! Values of sagas are not copied into the text: a piece is the value itself. So an answer is not in memory twice, and a value that
//! stands in it in several places is there once.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use super::{error::ApiError, reads::overloaded};
use crate::held::{Budget, Holding, SMALL_BYTES, Share};

/// Text that belongs to no value is in pieces of about this size.
const PIECE_BYTES: usize = 16 << 10;

/// Most answers fit into this: the buffer is filled once and never grown.
const ANSWER_BYTES_USUAL: usize = 2 << 10;

/// A value that is smaller is copied: a piece costs something too.
pub(super) const SHARED_BYTES_MIN: usize = 1 << 10;

/// JSON in pieces.
#[derive(Debug)]
pub(super) struct Text {
    pieces: VecDeque<Bytes>,
    /// What it takes in memory.
    held: u64,
    share: Option<Share>,
}

impl Text {
    /// A value as JSON. What stands in it as one of `values` does is not copied.
    pub(super) fn json(value: &impl Serialize, values: &[Bytes]) -> Result<Self, ApiError> {
        let mut writer = Writer::new(values);
        serde_json::to_writer(&mut writer, value).map_err(|error| ApiError::internal(&error.to_string()))?;
        Ok(writer.end())
    }

    /// With the share of memory in which it was made, of which it keeps what it needs.
    pub(super) fn counted(self, mut share: Option<Share>) -> Self {
        share.iter_mut().for_each(|share| share.keep(self.held));
        Self { share, ..self }
    }

    /// What it takes in memory.
    pub(super) fn held(&self) -> u64 {
        self.held
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        let share = self.share.map(Arc::new);
        let mut response = Response::new(Body::new(Pieces { pieces: self.pieces, share: share.clone() }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        hold(&mut response, share);
        response
    }
}

/// Counts an answer that is not small, and that nobody counted yet. A read is refused where there is no room for it: it can be asked
/// again. What was written is written.
pub(super) fn bounded(response: Response, budget: &Arc<Budget>, is_read: bool) -> Response {
    let length = response.body().size_hint().exact().unwrap_or(0);
    if length <= SMALL_BYTES as u64 || response.extensions().get::<Holding>().is_some() {
        return response;
    }
    match budget.try_take(length).map(Arc::new) {
        Some(share) => {
            let of_frames = Arc::clone(&share);
            let mut response = response.map(|body| {
                Body::new(body.map_frame(move |frame| frame.map_data(|bytes| held(bytes, Some(Arc::clone(&of_frames))))))
            });
            hold(&mut response, Some(share));
            response
        }
        None if is_read => overloaded().into_response(),
        None => response,
    }
}

/// Tells the connection what the answer holds.
fn hold(response: &mut Response, share: Option<Arc<Share>>) {
    if let Some(share) = share {
        let holding = Holding::default();
        holding.set(&share);
        response.extensions_mut().insert(holding);
    }
}

/// Bytes that hold a share for as long as they are somewhere.
pub(super) fn held(bytes: Bytes, share: Option<Arc<Share>>) -> Bytes {
    struct Held {
        bytes: Bytes,
        _share: Arc<Share>,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    match share {
        Some(share) => Bytes::from_owner(Held { bytes, _share: share }),
        None => bytes,
    }
}

/// The body: what the connection has of it holds the share as well as what is left.
struct Pieces {
    pieces: VecDeque<Bytes>,
    share: Option<Arc<Share>>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(first) = self.pieces.front_mut() else { return Poll::Ready(None) };
        let frame = first.split_to(first.len().min(SMALL_BYTES));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        Poll::Ready(Some(Ok(Frame::data(held(frame, self.share.clone())))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Makes pieces.
struct Writer<'a> {
    pieces: VecDeque<Bytes>,
    last: Vec<u8>,
    held: u64,
    /// Values, by where they are in memory.
    values: BTreeMap<usize, &'a Bytes>,
    /// Those that stand in the text.
    used: BTreeSet<usize>,
}

impl<'a> Writer<'a> {
    fn new(values: &'a [Bytes]) -> Self {
        let mut worth_it: Vec<&Bytes> = values.iter().filter(|value| value.len() >= SHARED_BYTES_MIN).collect();
        // A value that is a part of another one, as an element's output is of its fan-out's, takes nothing more.
        worth_it.sort_unstable_by_key(|value| (address(value), Reverse(value.len())));
        let mut end = 0;
        worth_it.retain(|value| {
            let (before, ends) = (end, address(value) + value.len());
            end = end.max(ends);
            ends > before
        });
        Self {
            pieces: VecDeque::new(),
            last: Vec::with_capacity(ANSWER_BYTES_USUAL),
            held: 0,
            values: worth_it.into_iter().map(|value| (address(value), value)).collect(),
            used: BTreeSet::new(),
        }
    }

    /// The value of which these bytes are a part.
    fn value(&self, bytes: &[u8]) -> Option<&'a Bytes> {
        let (from, value) = self.values.range(..=address(bytes)).next_back()?;
        (address(bytes) + bytes.len() <= from + value.len()).then_some(*value)
    }

    fn end_piece(&mut self) {
        if !self.last.is_empty() {
            self.held += self.last.len() as u64;
            self.pieces.push_back(Bytes::copy_from_slice(&self.last));
            self.last.clear();
        }
    }

    fn end(mut self) -> Text {
        if self.pieces.is_empty() && self.last.capacity() == ANSWER_BYTES_USUAL {
            self.held += self.last.capacity() as u64;
            self.pieces.push_back(std::mem::take(&mut self.last).into());
        }
        self.end_piece();
        Text { pieces: self.pieces, held: self.held, share: None }
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (bytes.len() >= SHARED_BYTES_MIN).then(|| self.value(bytes)).flatten() {
            Some(value) => {
                self.end_piece();
                self.pieces.push_back(value.slice_ref(bytes));
                if self.used.insert(address(value)) {
                    self.held += value.len() as u64;
                }
            }
            None => {
                self.last.extend_from_slice(bytes);
                if self.last.len() >= PIECE_BYTES {
                    self.end_piece();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::service::testing::run;

    fn whole(text: Text) -> String {
        let body = run(text.into_response().into_body().collect()).unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Each client that was shown a saga had a copy of all its values, and two more while its answer was made.
    #[test]
    fn c2_29_a_value_is_not_copied_into_an_answer_however_often_it_stands_there() {
        let value = Bytes::from(format!("\"{}\"", "x".repeat(100_000)));
        let other = Bytes::from(format!("\"{}\"", "y".repeat(100_000)));
        let raw: &RawValue = serde_json::from_slice(&value).unwrap();
        let text = Text::json(&[raw, raw], std::slice::from_ref(&value)).unwrap();
        assert!(text.held() < 110_000, "{}", text.held());
        let read = str::from_utf8(&value).unwrap();
        assert_eq!(whole(text), format!("[{read},{read}]"));
        let copied = Text::json(&[raw, raw], &[other]).unwrap();
        assert!(copied.held() > 200_000);
        assert_eq!(whole(copied), format!("[{read},{read}]"));
    }

    /// A fan-out's output and those of its elements are the same bytes, and were counted twice.
    #[test]
    fn c2_29_a_value_that_is_a_part_of_another_one_is_counted_once() {
        let all = Bytes::from(format!("[\"{}\",\"{}\"]", "x".repeat(50_000), "y".repeat(40_000)));
        let parts = [all.slice(1..50_003), all.slice(50_004..90_006)];
        let values = [parts[1].clone(), all.clone(), parts[0].clone()];
        let said: Vec<&RawValue> = values.iter().map(|value| serde_json::from_slice(value).unwrap()).collect();
        let text = Text::json(&said, &values).unwrap();
        assert!(text.held() < 100_000, "{}", text.held());
        let expected: Vec<&str> = values.iter().map(|value| str::from_utf8(value).unwrap()).collect();
        assert_eq!(whole(text), format!("[{}]", expected.join(",")));
    }

    #[test]
    fn c2_29_an_answer_holds_its_share_until_its_last_piece_is_written() {
        let budget = Budget::with_patience(1 << 20, std::time::Duration::ZERO);
        let share = budget.try_take(1 << 20);
        let text = Text::json(&"x".repeat(100_000), &[]).unwrap().counted(share);
        let kept = budget.bytes();
        assert!((100_000..200_000).contains(&kept), "{kept}");
        let mut body = text.into_response().into_body();
        run(async {
            let first = body.frame().await.unwrap().unwrap();
            let last = body.frame().await.unwrap().unwrap();
            drop((first, body));
            assert_eq!(budget.bytes(), kept);
            drop(last);
            assert_eq!(budget.bytes(), 0);
        });
    }
}
