//! A connection to a relay, and a set of connections watched by one thread.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::frames::{self, Frame};

/// How long a relay may be silent when an answer is due.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The address of a relay on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    /// Parses a URL; only relays on this machine can be measured.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url}: only servers on this machine are measured: ws://127.0.0.1:PORT");
        let rest = url.strip_prefix("ws://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = host.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>().map_err(|_| wrong())?;
        if !address.ip().is_loopback() {
            return Err(wrong());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }
}

/// A WebSocket connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Received bytes: processed up to `start`, filled up to `end`.
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    /// The fragments of an incomplete message.
    parts: Vec<u8>,
    /// Bytes to be written.
    pub(crate) outbox: Vec<u8>,
}

impl Connection {
    /// Connects and does the handshake. `Sec-WebSocket-Accept` is not checked: it protects against caches, and there
    /// are none on the loopback.
    pub(crate) fn open(target: &Target) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot connect to ws://{}: {error}", target.host);
        let mut stream = TcpStream::connect(target.address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let (host, path) = (&target.host, &target.path);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut connection =
            Self { stream, inbox: vec![0; 2048], start: 0, end: 0, parts: Vec::new(), outbox: Vec::new() };
        loop {
            connection.fill().map_err(failed)?;
            let answer = &connection.inbox[..connection.end];
            if let Some(length) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                if !answer.starts_with(b"HTTP/1.1 101") {
                    let answer = String::from_utf8_lossy(answer).lines().next().unwrap_or("").to_owned();
                    return Err(format!("ws://{host}{path} is no WebSocket: {answer}"));
                }
                connection.start = length + 4;
                return Ok(connection);
            }
        }
    }

    /// Reads once. Returns an error if the relay closes the connection.
    fn fill(&mut self) -> std::io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.inbox.len() {
            if self.start > 0 {
                self.inbox.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.inbox.resize(self.inbox.len() * 4, 0);
            }
        }
        match self.stream.read(&mut self.inbox[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    /// Passes on the complete messages; answers pings.
    fn messages(
        &mut self,
        mut handle: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some((frame, length)) = frames::read(&self.inbox[self.start..self.end]) {
            match frame {
                Frame::Text(message) => handle(message, &mut self.outbox)?,
                Frame::Part(part, last) => {
                    self.parts.extend_from_slice(part);
                    if last {
                        handle(&self.parts, &mut self.outbox)?;
                        self.parts.clear();
                    }
                }
                Frame::Ping(payload) => frames::pong(&mut self.outbox, payload),
                Frame::Close(reason) => {
                    return Err(format!("the relay closed: {}", String::from_utf8_lossy(reason)));
                }
                Frame::Other => {}
            }
            self.start += length;
        }
        Ok(())
    }

    /// Writes everything, waiting if necessary.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        self.stream.write_all(&self.outbox).map_err(|error| format!("cannot write: {error}"))?;
        self.outbox.clear();
        Ok(())
    }

    /// Waits for data and passes on its messages. The caller knows what is still missing.
    pub(crate) fn turn(
        &mut self,
        handle: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.flush()?;
        self.fill().map_err(lost)?;
        self.messages(handle)
    }

    /// Writes what the socket accepts. Returns whether that is everything.
    fn flush_some(&mut self) -> Result<bool, String> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) if count == self.outbox.len() => self.outbox.clear(),
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("cannot write: {error}")),
            }
        }
        Ok(true)
    }
}

impl Drop for Connection {
    /// Sends a close frame, if that does not block.
    fn drop(&mut self) {
        self.outbox.clear();
        frames::close(&mut self.outbox);
        let _ = self.stream.set_nonblocking(true);
        let _ = self.flush_some();
    }
}

fn lost(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the relay closed the connection".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("the relay said nothing for {PATIENCE:?}"),
        _ => format!("lost the connection: {error}"),
    }
}

/// A set of connections, watched by one thread.
#[derive(Debug)]
pub(crate) struct Swarm {
    epoll: OwnedFd,
    pub(crate) connections: Vec<Connection>,
    /// The connections that wait for their socket to accept more.
    full: Vec<bool>,
}

impl Swarm {
    pub(crate) fn open(target: &Target, count: usize) -> Result<Self, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(target)
                .map_err(|error| format!("connection {} of {count}: {error}", index + 1))?;
            connection.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection.stream, data, EventFlags::IN)
                .map_err(|error| error.to_string())?;
            connections.push(connection);
        }
        Ok(Self { epoll, connections, full: vec![false; count] })
    }

    /// Writes everything on all connections.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        (0..self.connections.len()).try_for_each(|index| self.flush_one(index))
    }

    fn flush_one(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let full = !connection.flush_some()?;
        if full != self.full[index] {
            self.full[index] = full;
            let flags = if full { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.stream, data, flags).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Waits for data, passes on all messages with the number of their connection, and writes the outboxes. Returns
    /// whether anything arrived within this time.
    pub(crate) fn turn(
        &mut self,
        patience: Duration,
        mut handle: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<bool, String> {
        let timeout = Timespec::try_from(patience).map_err(|error| error.to_string())?;
        let mut ready = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        for event in &ready {
            let index = event.data.u64() as usize;
            let connection = &mut self.connections[index];
            match connection.fill() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => other.map_err(lost)?,
            }
            connection.messages(|message, outbox| handle(index, message, outbox))?;
            self.flush_one(index)?;
        }
        Ok(!ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn only_this_machine_is_measured() {
        assert!(Target::parse("ws://127.0.0.1:8787").is_ok());
        assert!(Target::parse("ws://localhost:8787/agent/x").is_ok_and(|target| target.path == "/agent/x"));
        assert!(Target::parse("ws://[::1]:8787").is_ok());
        for other in
            ["ws://relay.example", "wss://127.0.0.1:1", "ws://10.0.0.1:80", "ws://127.0.0.1.example:80"]
        {
            assert!(Target::parse(other).is_err(), "{other}");
        }
    }
}
