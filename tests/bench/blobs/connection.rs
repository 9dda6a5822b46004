//! An HTTP/1.1 connection that is kept, with as little work per request as possible.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// A response whose body was read and dropped.
pub(super) struct Response {
    pub(super) status: u16,
    /// How many bytes its body had.
    pub(super) length: usize,
}

/// A connection to a server.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The bytes in `buffer` that are not read yet.
    filled: usize,
}

impl Connection {
    pub(super) fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, buffer: vec![0; 256 * 1024], filled: 0 })
    }

    /// Sends a head and the parts of a body.
    pub(super) fn send(&mut self, head: &[u8], body: &[&[u8]]) -> Result<(), String> {
        let sent = self
            .stream
            .write_all(head)
            .and_then(|()| body.iter().try_for_each(|part| self.stream.write_all(part)));
        sent.map_err(|error| error.to_string())
    }

    /// Reads a response to its end; one to `HEAD` has no body.
    pub(super) fn receive(&mut self, is_to_head: bool) -> Result<Response, String> {
        let end = loop {
            if let Some(end) = self.buffer[..self.filled].windows(4).position(|window| window == b"\r\n\r\n")
            {
                break end + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = if is_to_head { 0 } else { length.ok_or("a response without a length")? };
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        let mut left = length;
        loop {
            let taken = left.min(self.filled);
            left -= taken;
            self.buffer.copy_within(taken..self.filled, 0);
            self.filled -= taken;
            if left == 0 {
                return Ok(Response { status, length });
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), String> {
        let read = self.stream.read(&mut self.buffer[self.filled..]).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".to_owned());
        }
        self.filled += read;
        Ok(())
    }
}
