//! A language model: an HTTP server on this machine that streams its answers as server-sent events, slowly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The time between two tokens.
const PAUSE: Duration = Duration::from_millis(250);

/// A request that the model received.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Method, path and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Value,
}

/// A server that repeats the last message of each conversation, word by word.
#[derive(Debug)]
pub struct LanguageModel {
    /// Scheme, host and port.
    pub origin: String,
    prompts: Arc<Mutex<Vec<Prompt>>>,
}

impl LanguageModel {
    /// Serves until the runtime ends.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let prompts = Arc::<Mutex<Vec<Prompt>>>::default();
        let received = Arc::clone(&prompts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let received = Arc::clone(&received);
                tokio::spawn(async move {
                    // The agent may have gone away.
                    let _ = answer(stream, &received).await;
                });
            }
        });
        Self { origin, prompts }
    }

    /// The requests so far.
    #[must_use]
    pub fn prompts(&self) -> Vec<Prompt> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(mut stream: TcpStream, received: &Mutex<Vec<Prompt>>) -> std::io::Result<()> {
    let prompt = read(&mut stream).await?;
    let said = prompt.body["messages"].as_array().and_then(|all| all.last()?["content"].as_str());
    let said = format!("You said: {}", said.unwrap_or_default());
    received.lock().unwrap_or_else(PoisonError::into_inner).push(prompt);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
                connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for word in said.split_inclusive(' ') {
        tokio::time::sleep(PAUSE).await;
        let event = format!("data: {}\r\n\r\n", json!({ "choices": [{ "delta": { "content": word } }] }));
        // Each event in two chunks, so that it is not one piece for the client.
        let (first, second) = event.split_at(event.len() / 2);
        write_chunk(&mut stream, first).await?;
        write_chunk(&mut stream, second).await?;
    }
    write_chunk(&mut stream, "data: [DONE]\r\n\r\n").await?;
    stream.write_all(b"0\r\n\r\n").await?;
    stream.shutdown().await
}

async fn write_chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
    stream.flush().await
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Prompt> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or_default();
            if body.len() >= length {
                return Ok(Prompt { body: serde_json::from_str(body).unwrap_or_default(), head });
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
