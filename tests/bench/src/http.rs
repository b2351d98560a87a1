//! A connection over which one request after the other is sent, and what an answer says.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest request is a comparison or a rebuild.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Only this machine is a target.
    pub async fn to(address: &str) -> Result<Self> {
        if !address.starts_with("127.0.0.1:") {
            bail!("{address} is not on this machine");
        }
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(64 << 10) })
    }

    pub async fn get(&mut self, path: &str) -> Result<(u16, &[u8])> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await
    }

    pub async fn post(&mut self, path: &str, key: &str, body: &[u8]) -> Result<(u16, &[u8])> {
        let key = if key.is_empty() { String::new() } else { format!("idempotency-key: {key}\r\n") };
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{key}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.ask(&[head.as_bytes(), body].concat()).await
    }

    /// A request that must succeed.
    pub async fn good(&mut self, path: &str, body: Option<&[u8]>) -> Result<serde_json::Value> {
        let (status, answer) = match body {
            Some(body) => self.post(path, "", body).await?,
            None => self.get(path).await?,
        };
        match status {
            200..300 => Ok(serde_json::from_slice(answer)?),
            _ => bail!("{path}: {status} {}", String::from_utf8_lossy(answer)),
        }
    }

    async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.context("no answer")?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some(head) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break (head + 4, length(&self.answer[..head])?);
            }
        };
        while self.answer.len() < head + length {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed a connection");
            }
        }
        let status = str::from_utf8(self.answer.get(9..12).context("a short answer")?)?.parse()?;
        Ok((status, &self.answer[head..]))
    }
}

fn length(head: &[u8]) -> Result<usize> {
    let head = str::from_utf8(head)?;
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    values.next().with_context(|| format!("no length in: {head}"))?.parse().context("a bad length")
}

/// The number in `"NAME":"NUMBER"`, the first of that name: an answer is not parsed as a whole for each command.
pub fn number(answer: &[u8], name: &str) -> Option<u64> {
    let wanted = format!("\"{name}\":\"");
    let at = answer.windows(wanted.len()).position(|window| window == wanted.as_bytes())? + wanted.len();
    let digits = answer[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&answer[at..at + digits]).ok()?.parse().ok()
}
