//! Limits on TCP connections that speak HTTP, checked at accept: nothing has been read from them yet.
//!
//! A WebSocket is counted here until its handshake is done, and then by the relay (`RELAY_MAX_CONNECTIONS`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openagents_host::http::StatusCode;
use openagents_host::native::open_files;
use openagents_relay::admission::{ConnectionLimits, ConnectionRefusal, Lists, OpenConnections};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most open HTTP connections in total.
const MAX_HTTP_CONNECTIONS: usize = 2_000;

/// The most open HTTP connections from one network. Trusted proxies are exempt: all clients come from their addresses.
const MAX_HTTP_CONNECTIONS_PER_ADDRESS: usize = 64;

/// How many refused connections are kept open at once so that their clients can read why. Others are just closed.
const MAX_REFUSED_CONNECTIONS: usize = 16;

/// How long a client may take to read why it is refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The open HTTP connections.
pub(super) struct HttpConnections {
    limits: ConnectionLimits,
    trusted_proxies: BTreeSet<IpAddr>,
    open: Mutex<OpenConnections>,
    refusals: Arc<Semaphore>,
}

/// Counts a connection until it is dropped.
pub(super) struct HttpPermit {
    connections: Arc<HttpConnections>,
    address: Option<IpAddr>,
}

/// A connection that is refused, as long as there is time to tell its client why.
pub(super) struct RefusedConnection {
    reason: ConnectionRefusal,
    _permit: OwnedSemaphorePermit,
}

impl HttpConnections {
    /// No connections. With `limits_loopback`, the limit per network also applies to this machine.
    pub(super) fn new(trusted_proxies: BTreeSet<IpAddr>, limits_loopback: bool) -> Self {
        Self {
            limits: ConnectionLimits {
                max_connections: MAX_HTTP_CONNECTIONS,
                max_connections_per_address: MAX_HTTP_CONNECTIONS_PER_ADDRESS,
                limits_loopback,
            },
            trusted_proxies,
            open: Mutex::default(),
            refusals: Arc::new(Semaphore::new(MAX_REFUSED_CONNECTIONS)),
        }
    }

    /// A permit for a connection that was just accepted, unless the limits are reached or descriptors are running out.
    pub(super) fn admit(
        self: &Arc<Self>,
        stream: &TcpStream,
        peer: IpAddr,
    ) -> Result<HttpPermit, ConnectionRefusal> {
        if open_files::is_among_the_last(stream) {
            return Err(ConnectionRefusal::Full);
        }
        let address = (!self.trusted_proxies.contains(&peer.to_canonical())).then_some(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.admit(&self.limits, &Lists::default(), address)?;
        Ok(HttpPermit { connections: Arc::clone(self), address })
    }

    /// A refused connection, unless too many of them are open.
    pub(super) fn refused(&self, reason: ConnectionRefusal) -> Option<RefusedConnection> {
        let permit = Arc::clone(&self.refusals).try_acquire_owned().ok()?;
        Some(RefusedConnection { reason, _permit: permit })
    }
}

impl Drop for HttpPermit {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).release(self.address);
    }
}

impl RefusedConnection {
    /// Tells the client why it is refused, whatever it requests, and closes the connection.
    pub(super) async fn tell(self, mut stream: TcpStream) {
        let told = async {
            let text = format!("{}\n", self.reason);
            let status =
                StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let response = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
                 retry-after: 10\r\naccess-control-allow-origin: *\r\nconnection: close\r\n\r\n{text}",
                text.len(),
            );
            stream.write_all(response.as_bytes()).await?;
            stream.shutdown().await?;
            // Closing a socket with unread bytes makes TCP send a reset, and the client may never see the response.
            let mut request = [0; 1_024];
            while stream.read(&mut request).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use openagents_relay::admission::ConnectionRefusal;
    use tokio::net::{TcpListener, TcpStream};

    use super::{HttpConnections, MAX_HTTP_CONNECTIONS, MAX_HTTP_CONNECTIONS_PER_ADDRESS};

    #[tokio::test]
    async fn connections_are_limited_per_network_and_in_total() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let proxy = "192.0.2.99";
        let connections = Arc::new(HttpConnections::new([proxy.parse().unwrap()].into(), false));
        let admit = |address: &str| connections.admit(&stream, address.parse::<IpAddr>().unwrap());

        let mut permits = Vec::new();
        for number in 0..MAX_HTTP_CONNECTIONS_PER_ADDRESS {
            permits.push(admit(&format!("2001:db8:0:{number:x}::1")).unwrap());
        }
        let refused = admit("2001:db8:0:ff::1").err();
        assert_eq!(refused, Some(ConnectionRefusal::TooManyFromNetwork), "a /56 is one network");
        permits.push(admit("2001:db8:0:100::1").unwrap());
        for address in [proxy, "::ffff:192.0.2.99", "127.0.0.1"] {
            permits.extend((0..=MAX_HTTP_CONNECTIONS_PER_ADDRESS).map(|_| admit(address).unwrap()));
        }

        while permits.len() < MAX_HTTP_CONNECTIONS {
            permits.push(admit("127.0.0.1").unwrap());
        }
        assert_eq!(admit("192.0.2.1").err(), Some(ConnectionRefusal::Full));
        permits.clear();
        assert!(admit("2001:db8:0:ff::1").is_ok());
    }
}
