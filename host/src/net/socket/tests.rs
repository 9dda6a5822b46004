//! Tests of the WebSocket client against a local server.

use std::future::Future;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::net::error::MAX_MESSAGE_BYTES;

pub(in crate::net) type Served = WebSocketStream<TcpStream>;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A server that passes each WebSocket to `talk`, and its URL.
pub(in crate::net) async fn serve<F>(talk: impl Fn(Served) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let socket = accept_async(stream).await.unwrap();
            tokio::spawn(talk(socket));
        }
    });
    url
}

async fn connect(url: &str) -> Socket {
    Socket::connect(url, Reach::Anywhere, TIMEOUT).await.unwrap()
}

#[tokio::test]
async fn carries_text_both_ways_and_ends() {
    let url = serve(async |mut socket: Served| {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
                socket.close(None).await.unwrap();
            }
        }
    })
    .await;
    let mut socket = connect(&url).await;
    socket.send("hello ☃".to_owned()).await.unwrap();
    assert_eq!(socket.next().await, Some(Ok("hello ☃".to_owned())));
    assert_eq!(socket.next().await, None);
    assert_eq!(socket.next().await, None);
    assert_eq!(socket.send("too late".to_owned()).await, Err(SocketError::Closed));
}

#[tokio::test]
async fn answers_pings_and_passes_over_binary_messages() {
    let url = serve(async |mut socket: Served| {
        socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message == Message::Pong("are you there".into()) {
                socket.send(Message::text("ponged")).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(connect(&url).await.next().await, Some(Ok("ponged".to_owned())));
}

#[tokio::test]
async fn refuses_a_message_above_the_limit() {
    let url = serve(async |mut socket: Served| {
        socket.send(Message::text("x".repeat(MAX_MESSAGE_BYTES))).await.unwrap();
        let _ = socket.send(Message::text("x".repeat(MAX_MESSAGE_BYTES + 1))).await;
    })
    .await;
    let mut socket = connect(&url).await;
    assert_eq!(socket.next().await.unwrap().unwrap().len(), MAX_MESSAGE_BYTES);
    assert_eq!(socket.next().await, Some(Err(SocketError::TooLarge { limit: MAX_MESSAGE_BYTES })));
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn refuses_a_message_above_the_limit_in_small_frames() {
    let url = serve(async |mut socket: Served| {
        for number in 0..30 {
            let kind = if number == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message("x".repeat(100_000), OpCode::Data(kind), number == 29);
            let _ = socket.send(Message::Frame(frame)).await;
        }
    })
    .await;
    let first = connect(&url).await.next().await;
    assert_eq!(first, Some(Err(SocketError::TooLarge { limit: MAX_MESSAGE_BYTES })));
}

#[tokio::test]
async fn loses_nothing_when_waiting_is_given_up() {
    let url = serve(async |mut socket: Served| {
        for number in 0..20 {
            sleep(Duration::from_millis(7)).await;
            socket.send(Message::text(number.to_string())).await.unwrap();
        }
        socket.close(None).await.unwrap();
    })
    .await;
    let mut socket = connect(&url).await;
    let mut received = Vec::new();
    loop {
        match timeout(Duration::from_millis(3), socket.next()).await {
            Ok(Some(text)) => received.push(text.unwrap().parse::<usize>().unwrap()),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert!(received.into_iter().eq(0..20));
}

#[tokio::test]
async fn reports_a_connection_that_breaks_off() {
    let url = serve(async |socket: Served| drop(socket)).await;
    let mut socket = connect(&url).await;
    assert!(matches!(socket.next().await, Some(Err(SocketError::Network(_)))));
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn gives_up_on_a_peer_that_takes_nothing() {
    let url = serve(async |socket: Served| {
        sleep(Duration::from_secs(60)).await;
        drop(socket);
    })
    .await;
    let after = Duration::from_millis(200);
    let mut socket = Socket::connect(&url, Reach::Anywhere, after).await.unwrap();
    // Far more than the system buffers.
    let sent = socket.send("x".repeat(64_000_000)).await;
    assert_eq!(sent, Err(SocketError::Timeout { after }));
    assert_eq!(socket.send("more".to_owned()).await, Err(SocketError::Closed));
}

/// A server that answers each connection with `answer`, regardless of the request, and then stays silent.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                sleep(Duration::from_secs(60)).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn says_why_there_is_no_socket() {
    for (answer, status) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", 503),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        // Not followed, because a redirect could lead anywhere.
        ("HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", 302),
    ] {
        let outcome = Socket::connect(&answering(answer).await, Reach::Anywhere, TIMEOUT).await;
        assert_eq!(outcome.unwrap_err(), SocketError::Refused { status });
    }
    let garbage = Socket::connect(&answering("hello\r\n\r\n").await, Reach::Anywhere, TIMEOUT).await;
    assert!(matches!(garbage.unwrap_err(), SocketError::Network(_)));
    let after = Duration::from_millis(200);
    let silence = Socket::connect(&answering("").await, Reach::Anywhere, after).await;
    assert_eq!(silence.unwrap_err(), SocketError::Timeout { after });
    for url in [
        "ws://127.0.0.1:1",
        "wss://127.0.0.1:1",
        "wss://localhost",
        "https://example.com",
        "wss://a:b@example.com",
    ] {
        let outcome = Socket::connect(url, Reach::Public, TIMEOUT).await;
        assert!(matches!(outcome.unwrap_err(), SocketError::Address(_)), "{url}");
    }
}

#[tokio::test]
async fn says_goodbye() {
    let (sender, mut goodbyes) = tokio::sync::mpsc::unbounded_channel();
    let url = serve(move |mut socket: Served| {
        let sender = sender.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                sender.send(message).unwrap();
            }
        }
    })
    .await;
    let mut socket = connect(&url).await;
    socket.send("last words".to_owned()).await.unwrap();
    socket.close().await;
    assert_eq!(goodbyes.recv().await, Some(Message::text("last words")));
    assert!(matches!(goodbyes.recv().await, Some(Message::Close(_))));
}

#[test]
fn can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Socket::connect("wss://example.com", Reach::Public, TIMEOUT));
    let _ = |mut socket: Socket| {
        is_send(&socket);
        is_send(&socket.next());
        is_send(&socket.send(String::new()));
        is_send(&socket.close());
    };
}
