//! The read and write halves of a connection's socket after the handshake.

use std::io;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use openagents_host::native::WriteTimeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The minimum buffer space for a read, in bytes.
const MIN_READ_BYTES: usize = 4_096;

/// The read half of a socket.
#[derive(Debug)]
pub(super) enum SocketReader {
    Tcp(OwnedReadHalf),
    /// Any other transport below HTTP, such as TLS.
    Other(ReadHalf<TokioIo<Upgraded>>),
    /// A client in this process.
    Memory(ReadHalf<DuplexStream>),
}

/// The write half of a socket.
#[derive(Debug)]
pub(super) enum SocketWriter {
    Tcp(OwnedWriteHalf),
    Other(WriteHalf<TokioIo<Upgraded>>),
    Memory(WriteHalf<DuplexStream>),
}

/// Splits a connection into its halves, and returns what the client sent directly after its handshake.
///
/// The outbox limits how long writing takes, so a [`WriteTimeout`] that was set for HTTP ends here.
pub(super) fn split(socket: Upgraded) -> (SocketReader, SocketWriter, Bytes) {
    let socket = match socket.downcast::<TokioIo<WriteTimeout<TcpStream>>>() {
        Ok(parts) => return split_tcp(parts.io.into_inner().into_inner(), parts.read_buf),
        Err(other) => other,
    };
    match socket.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => split_tcp(parts.io.into_inner(), parts.read_buf),
        Err(other) => {
            let (read, write) = tokio::io::split(TokioIo::new(other));
            (SocketReader::Other(read), SocketWriter::Other(write), Bytes::new())
        }
    }
}

/// The halves of the relay's end of a connection in memory.
pub(super) fn split_memory(end: DuplexStream) -> (SocketReader, SocketWriter, Bytes) {
    let (read, write) = tokio::io::split(end);
    (SocketReader::Memory(read), SocketWriter::Memory(write), Bytes::new())
}

fn split_tcp(stream: TcpStream, early: Bytes) -> (SocketReader, SocketWriter, Bytes) {
    let (read, write) = stream.into_split();
    (SocketReader::Tcp(read), SocketWriter::Tcp(write), early)
}

impl SocketReader {
    /// Waits for bytes and appends them; returns 0 at the end of the stream. An empty buffer holds no memory while
    /// waiting, because most connections are idle most of the time.
    pub(super) async fn read(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => {
                if bytes.is_empty() {
                    *bytes = BytesMut::new();
                }
                loop {
                    socket.readable().await?;
                    bytes.reserve(MIN_READ_BYTES);
                    match socket.try_read_buf(bytes) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                }
            }
            Self::Other(socket) => {
                bytes.reserve(MIN_READ_BYTES);
                socket.read_buf(bytes).await
            }
            Self::Memory(socket) => {
                bytes.reserve(MIN_READ_BYTES);
                socket.read_buf(bytes).await
            }
        }
    }
}

impl SocketWriter {
    /// Writes as many bytes as the socket accepts without waiting.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Other(_) | Self::Memory(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.write_all(bytes).await,
            Self::Other(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
            Self::Memory(socket) => socket.write_all(bytes).await,
        }
    }

    /// Signals the end of the stream to the client.
    pub(super) async fn shutdown(&mut self) {
        // The client may have disconnected already.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            Self::Other(socket) => socket.shutdown().await,
            Self::Memory(socket) => socket.shutdown().await,
        };
    }
}
