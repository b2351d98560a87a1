//! A minimal HTTP client for servers on this machine: one request for each connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The time limit of an answer; a server that is well answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of an answer whose status is a success.
pub(crate) fn get(server: SocketAddr, path: &str) -> Result<String> {
    ask(server, "GET", path, b"")
}

/// Sends a body, and returns the body of the answer.
pub(crate) fn post(server: SocketAddr, path: &str, body: &[u8]) -> Result<String> {
    ask(server, "POST", path, body)
}

/// `127.0.0.1:8420` from `http://127.0.0.1:8420`.
pub(crate) fn address(url: &str) -> Result<SocketAddr> {
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.with_context(|| format!("`{url}` is no address on this machine"))
}

fn ask(server: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<String> {
    let answer = exchange(server, method, path, body).with_context(|| format!("{method} http://{server}{path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("http://{server}{path} did not answer in full"))?;
    match head.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(body.to_owned()),
        _ => bail!("{method} http://{server}{path}: {} {body}", head.lines().next().unwrap_or_default()),
    }
}

fn exchange(server: SocketAddr, method: &str, path: &str, body: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
