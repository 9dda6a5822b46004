//! An HTTP server on this machine that answers with what it received, as JSON.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server with one path for each behaviour: `/echo` tells the request, `/redirect/…` leads to the rest of the path with
/// status 307, `/slow` never ends its body, `/bytes/…` has so many bytes.
#[derive(Debug)]
pub struct EchoServer {
    /// Scheme, host and port.
    pub origin: String,
}

impl EchoServer {
    /// Serves until the runtime ends.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The client may have gone away.
                tokio::spawn(async move { drop(answer(stream).await) });
            }
        });
        Self { origin }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (head, body) = read(&mut stream).await?;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if let Some(target) = path.strip_prefix("/redirect") {
        let text = format!(
            "HTTP/1.1 307 Moved\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        return stream.write_all(text.as_bytes()).await;
    }
    if path == "/slow" {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun").await?;
        // Until the client gives up.
        stream.read_u8().await?;
        return Ok(());
    }
    let text = match path.strip_prefix("/bytes/") {
        Some(count) => "x".repeat(count.parse().unwrap_or_default()),
        None => {
            let header = |name: &str| header(&head, name);
            let told = json!({
                "method": method,
                "path": path,
                "probe": header("x-probe"),
                "authorization": header("authorization"),
                "content_type": header("content-type"),
                "content_length": header("content-length"),
                "body": String::from_utf8_lossy(&body),
            });
            told.to_string()
        }
    };
    let head = format!(
        "HTTP/1.1 201 Created\r\nx-answer: 42\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(text.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// The value of a header, or null.
pub(crate) fn header(head: &str, name: &str) -> Value {
    let found = head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    found.into()
}

/// The head of a request, and its body.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let body = &bytes[end + 4..];
            if header(&head, "transfer-encoding") == "chunked" {
                if let Some(body) = unchunked(body) {
                    return Ok((head, body));
                }
            } else {
                let length = header(&head, "content-length");
                let length: usize =
                    length.as_str().and_then(|length| length.parse().ok()).unwrap_or_default();
                if body.len() >= length {
                    return Ok((head, body.to_vec()));
                }
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// A body in chunks, if it is complete.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + length)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..)?;
    }
}
