//! The client of the benchmark: one thread, one connection a caller, each with one request under way at any time.
//!
//! It competes with the host for the same processors, so it does little: requests are prepared, and answers are searched, not
//! parsed.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Where a request's number goes in the input: ten digits.
pub(crate) const NUMBER: &str = "NNNNNNNNNN";

/// A host that gives no answer for this time is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Larger than any answer of the benchmark's sagas.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Callers that each wait for an answer before they ask again.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    callers: Vec<Caller>,
    request: Vec<u8>,
    number_at: usize,
    number: u64,
    /// What every answer holds.
    wanted: Vec<u8>,
    buffer: Vec<u8>,
    asking: usize,
}

struct Caller {
    stream: TcpStream,
    asked: Option<Instant>,
    /// The received part of an incomplete answer.
    answer: Vec<u8>,
}

/// How long the answers of one run took, in nanoseconds, in order.
pub(crate) struct Sample {
    sorted: Vec<u64>,
    time: Duration,
}

impl Load {
    /// Connects `count` callers that post `input`, and takes only answers with 201 that hold `wanted`.
    pub(crate) fn open(host: SocketAddr, path: &str, input: &str, wanted: &str, count: usize) -> Result<Self> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            input.len()
        );
        let request = head + input;
        let number_at = request.find(NUMBER).context("the input has no place for a number")?;
        let poll = Poll::new()?;
        let callers = (0..count).map(|index| Caller::connect(&poll, index, host)).collect::<Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            callers,
            request: request.into_bytes(),
            number_at,
            number: 0,
            wanted: wanted.as_bytes().to_vec(),
            buffer: vec![0; ANSWER_BYTES_MAX],
            asking: 0,
        })
    }

    /// Sends requests for this time. Requests that are open at the end are counted by the next run.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Sample> {
        let began = Instant::now();
        for index in 0..self.callers.len() {
            if self.callers[index].asked.is_none() {
                self.ask(index)?;
            }
        }
        let mut took = Vec::with_capacity(1 << 16);
        while began.elapsed() < time {
            self.turn(&mut took, u64::MAX)?;
        }
        let time = began.elapsed();
        took.sort_unstable();
        Ok(Sample { sorted: took, time })
    }

    /// Sends this many requests, and waits for every answer.
    pub(crate) fn run_for(&mut self, requests: u64) -> Result<()> {
        let last = self.number + requests;
        for index in 0..self.callers.len() {
            if self.number < last {
                self.ask(index)?;
            }
        }
        self.drain(last)
    }

    /// Waits for the open requests.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.drain(0)
    }

    fn drain(&mut self, last: u64) -> Result<()> {
        let mut took = Vec::new();
        while self.asking > 0 {
            self.turn(&mut took, last)?;
        }
        Ok(())
    }

    /// Reads the available answers, and sends further requests up to number `last`.
    fn turn(&mut self, took: &mut Vec<u64>, last: u64) -> Result<()> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        let ready: Vec<usize> = self.events.iter().filter(|event| event.is_readable()).map(|event| event.token().0).collect();
        if self.events.is_empty() {
            bail!("no answer within {PATIENCE:?}");
        }
        for index in ready {
            if let Some(ns) = self.hear(index)? {
                took.push(ns);
                if self.number < last {
                    self.ask(index)?;
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, index: usize) -> Result<()> {
        self.number += 1;
        let digits = format!("{:0width$}", self.number, width = NUMBER.len());
        self.request[self.number_at..self.number_at + NUMBER.len()].copy_from_slice(digits.as_bytes());
        let caller = &mut self.callers[index];
        caller.asked = Some(Instant::now());
        self.asking += 1;
        // A few hundred bytes into an empty buffer of the kernel: they fit.
        caller.stream.write_all(&self.request).context("cannot send a request")
    }

    /// The latency of the answer, if it is complete.
    fn hear(&mut self, index: usize) -> Result<Option<u64>> {
        let caller = &mut self.callers[index];
        let read = match caller.stream.read(&mut self.buffer) {
            Ok(0) => bail!("the host closed a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("cannot read an answer"),
        };
        // Mostly all of it comes at once, and nothing is copied.
        let in_pieces = !caller.answer.is_empty();
        if in_pieces {
            caller.answer.extend_from_slice(&self.buffer[..read]);
        }
        let answer = if in_pieces { &caller.answer } else { &self.buffer[..read] };
        if !is_whole(answer) {
            if !in_pieces {
                caller.answer.extend_from_slice(&self.buffer[..read]);
            }
            // The rest may have arrived already, and there would be no further event for it.
            return self.hear(index);
        }
        if !answer.starts_with(b"HTTP/1.1 201") || find(answer, &self.wanted).is_none() {
            bail!("unexpected answer: {}", String::from_utf8_lossy(answer));
        }
        caller.answer.clear();
        self.asking -= 1;
        Ok(caller.asked.take().map(|asked| u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Caller {
    fn connect(poll: &Poll, index: usize, host: SocketAddr) -> Result<Self> {
        let stream = std::net::TcpStream::connect(host).with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        Ok(Self { stream, asked: None, answer: Vec::new() })
    }
}

impl Sample {
    pub(crate) fn sagas(&self) -> u64 {
        self.sorted.len() as u64
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.time.as_secs_f64()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sagas() as f64 / self.seconds()
    }

    /// The latency of this percentile.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let at = (self.sorted.len() * percent / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(at).map_or(0.0, |ns| *ns as f64 / 1e6)
    }
}

/// Whether the head of an answer and its whole body have arrived.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = find(answer, b"\r\n\r\n") else { return false };
    length(&answer[..head]).is_some_and(|length| answer.len() >= head + 4 + length)
}

fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    let digits = &head[find(head, NAME)? + NAME.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nabcd";
        assert!(is_whole(answer));
        assert!((0..answer.len()).all(|end| !is_whole(&answer[..end])));
    }

    #[test]
    fn percentiles_are_of_what_there_is() {
        let sample = Sample { sorted: (1..=100).map(|ms| ms * 1_000_000).collect(), time: Duration::from_secs(10) };
        assert_eq!((sample.percentile_ms(50), sample.percentile_ms(99), sample.per_second()), (51.0, 100.0, 10.0));
        let none = Sample { sorted: Vec::new(), time: Duration::from_secs(1) };
        assert_eq!(none.percentile_ms(99), 0.0);
    }
}
