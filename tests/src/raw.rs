//! A WebSocket client without any checks: sends arbitrary bytes, to see how a server reacts (RFC 6455).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The opcodes of RFC 6455.
pub mod opcode {
    /// A continuation frame.
    pub const CONTINUATION: u8 = 0x0;
    /// A text message, or its first fragment.
    pub const TEXT: u8 = 0x1;
    /// A close frame.
    pub const CLOSE: u8 = 0x8;
    /// A ping.
    pub const PING: u8 = 0x9;
}

/// A connection.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl RawSocket {
    /// Connects to the relay at `address` (`127.0.0.1:port`), or fails the test.
    pub async fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("somebody listens");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("a request can be sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
            head.push(byte.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self { stream, unread: Vec::new() }
    }

    /// Sends these bytes. Ignores errors, since the server may have closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("sending hangs");
    }

    /// The opcode and payload of the next frame other than a challenge (NIP-42), or `None` if the connection is closed.
    pub async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((frame, size)) = parse(&self.unread) {
                self.unread.drain(..size);
                if !frame.1.starts_with(br#"["AUTH","#) {
                    return Some(frame);
                }
                continue;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
            if !matches!(read.expect("a frame or the end in time"), Ok(1..)) {
                return None;
            }
        }
    }

    /// Reads until the server sends a close frame or disconnects. Returns the close code, if there is one.
    pub async fn end(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.receive().await {
            if opcode == opcode::CLOSE {
                return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        None
    }
}

/// A masked client frame of at most 65,535 bytes.
pub fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).expect("a short payload").to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// An unmasked server frame and its size.
fn parse(bytes: &[u8]) -> Option<((u8, Vec<u8>), usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (length, header) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])).ok()?, 10)
        }
        (126 | 127, _) => return None,
        (length, _) => (usize::from(length), 2),
    };
    let payload = bytes.get(header..header + length)?.to_vec();
    Some(((first & 0x0F, payload), header + length))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_frames_of_every_length() {
        assert_eq!(parse(&[0x81, 2, b'h', b'i', 9]), Some(((1, b"hi".to_vec()), 4)));
        assert_eq!(parse(&[0x81, 126, 0, 1, b'x']), Some(((1, b"x".to_vec()), 5)));
        assert_eq!(parse(&[0x88, 127, 0, 0, 0, 0, 0, 0, 0, 0]), Some(((8, vec![]), 10)));
        assert_eq!(parse(&[0x81, 2, b'h']), None);
    }
}
