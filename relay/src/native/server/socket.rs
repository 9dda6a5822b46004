//! The reading and the writing half of a socket after its handshake.

use std::io;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How much is read at a time, at least.
const MIN_READ_BYTES: usize = 4_096;

/// Where a client's bytes come from.
#[derive(Debug)]
pub(super) enum SocketReader {
    Tcp(OwnedReadHalf),
    /// Whatever else a server has put beneath HTTP, such as TLS.
    Other(ReadHalf<TokioIo<Upgraded>>),
}

/// Where bytes for a client go.
#[derive(Debug)]
pub(super) enum SocketWriter {
    Tcp(OwnedWriteHalf),
    Other(WriteHalf<TokioIo<Upgraded>>),
}

/// The directions of a connection, and what the client sent right behind its handshake.
pub(super) fn split(socket: Upgraded) -> (SocketReader, SocketWriter, Bytes) {
    match socket.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let (read, write) = parts.io.into_inner().into_split();
            (SocketReader::Tcp(read), SocketWriter::Tcp(write), parts.read_buf)
        }
        Err(other) => {
            let (read, write) = tokio::io::split(TokioIo::new(other));
            (SocketReader::Other(read), SocketWriter::Other(write), Bytes::new())
        }
    }
}

impl SocketReader {
    /// Waits for bytes and appends them; none means that no more will come. While an empty buffer waits, it holds
    /// no memory: most connections are idle most of the time.
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
        }
    }
}

impl SocketWriter {
    /// Writes as much as can be written without waiting.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Other(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.write_all(bytes).await,
            Self::Other(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
        }
    }

    /// Tells the client that nothing more will come.
    pub(super) async fn shutdown(&mut self) {
        // The client may be gone already.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            Self::Other(socket) => socket.shutdown().await,
        };
    }
}
