//! A gateway's backend on this machine: the action of a request says how it behaves.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http_echo::{header, read};

/// A request as the backend received it.
#[derive(Debug, Clone)]
pub struct Received {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Received {
    /// The value of a header, or null.
    pub fn header(&self, name: &str) -> Value {
        header(&self.head, name)
    }

    /// The action that was asked for.
    pub fn action(&self) -> String {
        let request: Value = serde_json::from_str(&self.body).unwrap_or_default();
        request["action"].as_str().unwrap_or_default().to_owned()
    }
}

/// A server that remembers what it received. `evaluate` succeeds; see the source for the other actions.
#[derive(Debug)]
pub struct Backend {
    /// Its URL.
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Backend {
    /// Serves until the runtime ends.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/agents?v=1", listener.local_addr().expect("an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The gateway may have gone away.
                let all = Arc::clone(&all);
                tokio::spawn(async move { drop(answer(stream, &all).await) });
            }
        });
        Self { url, received }
    }

    /// The requests with this action.
    pub fn received(&self, action: &str) -> Vec<Received> {
        let all = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|received| received.action() == action).cloned().collect()
    }

    /// The number of all requests.
    pub fn count(&self) -> usize {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn answer(mut stream: TcpStream, all: &Mutex<Vec<Received>>) -> std::io::Result<()> {
    let (head, body) = read(&mut stream).await?;
    let received = Received { head, body: String::from_utf8_lossy(&body).into_owned() };
    let (action, id) = (received.action(), received.header("idempotency-key"));
    let is_again = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_again = all.iter().any(|earlier| earlier.header("idempotency-key") == id);
        all.push(received);
        is_again
    };
    let (status, headers, body) = match action.as_str() {
        "text" => (200, "content-type: text/plain\r\n", "hello".to_owned()),
        "nothing" => return stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await,
        "refuse" => (422, "", json!({ "reason": "too rude" }).to_string()),
        "refuse-the-key" => (401, "www-authenticate: Bearer\r\n", String::new()),
        "fail" => (500, "x-trace: 42\r\n", "a stack trace".to_owned()),
        "redirect" => (307, "location: /elsewhere\r\n", String::new()),
        "large" => (200, "", format!("\"{}\"", "x".repeat(1 << 20))),
        "busy-at-first" if !is_again => (503, "retry-after: 1\r\n", String::new()),
        "busy" => (503, "retry-after: 60\r\n", String::new()),
        "hang-up" => return Ok(()),
        "sleep" => {
            // Until the gateway gives up.
            stream.read_u8().await?;
            return Ok(());
        }
        _ => (
            200,
            "set-cookie: a=b\r\nx-backend: 7\r\n",
            "{ \"score\": 1.50, \"n\": 12345678901234567890 }".to_owned(),
        ),
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
