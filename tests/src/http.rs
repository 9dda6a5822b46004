//! Plain HTTP/1.1 requests to a server on this machine.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use nostr_sdk::nostr::Keys;
use nostr_sdk::nostr::hashes::Hash as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::events::{as_json, event_at, now};

/// A response, read completely.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body, without chunking.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; anything else fails the test.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

/// The `Authorization` header of a request by `author` at `created_at` (NIP-98).
pub fn authorization(author: &Keys, created_at: u64, method: &str, url: &str) -> String {
    let event = event_at(author, created_at, 27_235, &[&["u", url], &["method", method]], "");
    format!("Nostr {}", Base64::encode_string(as_json(&event).to_string().as_bytes()))
}

/// The `Authorization` header of a request with a body by `author`, now (NIP-98).
pub fn authorization_of_body(author: &Keys, method: &str, url: &str, body: &str) -> String {
    let hash = nostr_sdk::nostr::hashes::sha256::Hash::hash(body.as_bytes()).to_string();
    let event = event_at(author, now(), 27_235, &[&["u", url], &["method", method], &["payload", &hash]], "");
    format!("Nostr {}", Base64::encode_string(as_json(&event).to_string().as_bytes()))
}

/// Sends `method path` to the server at `address` (`127.0.0.1:port`), without a body.
///
/// # Errors
/// When nothing is listening, the response takes over ten seconds, or it is not HTTP.
pub async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Response> {
    request_with_body(address, method, path, headers, "").await
}

/// Sends `method path` to the server at `address` (`127.0.0.1:port`).
///
/// # Errors
/// When nothing is listening, the response takes over ten seconds, or it is not HTTP.
pub async fn request_with_body(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> std::io::Result<Response> {
    let body = body.as_ref();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        read_answer(&mut stream, &mut answer, method == "HEAD").await?;
        parse(&answer).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
    };
    timeout(Duration::from_secs(10), exchange)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// Reads a whole answer: as much as its headers announce, or until the server closes the connection, which workerd does
/// 5 s after its answer. An answer to `HEAD` is read until then, so that a body that should not be there is seen.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>, is_to_head: bool) -> std::io::Result<()> {
    while stream.read_buf(answer).await? > 0 {
        if !is_to_head && is_whole(answer) {
            break;
        }
    }
    Ok(())
}

/// Whether the headers are complete and the body is as long as they announce. A switch of protocols, a deletion and a
/// response that nothing has changed have none.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = split(answer) else { return false };
    let head = head.to_ascii_lowercase();
    let header = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if ["101", "204", "304"].iter().any(|status| head.starts_with(&format!("http/1.1 {status}"))) {
        return true;
    }
    match header("content-length:").and_then(|length| length.parse().ok()) {
        Some(length) => body.len() >= length,
        None => header("transfer-encoding:") == Some("chunked") && unchunk(body).is_some(),
    }
}

/// The head and what is there of the body, once the head is complete.
fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let (head, body) = split(answer)?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Response { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{is_whole, parse};

    #[test]
    fn knows_the_end_of_a_body() {
        let until = |text: &'static str| (1..=text.len()).find(|end| is_whole(&text.as_bytes()[..*end]));
        for whole in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ] {
            assert_eq!(until(whole), Some(whole.len()), "{whole}");
        }
        assert_eq!(until("HTTP/1.1 200 OK\r\n\r\nuntil it closes"), None);
    }

    #[test]
    fn reads_a_chunked_body() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                .unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"abcde".as_slice()));
    }

    #[test]
    fn refuses_what_is_not_http() {
        assert!(parse(b"SSH-2.0\r\n\r\n").is_none());
    }
}
