//! Opening connections: every connection of a native process starts here.
//!
//! Names are resolved here, and exactly the addresses that were checked are connected to. So a name that resolves to a
//! public address when it is checked and to a private one when it is used (DNS rebinding) is of no use to an attacker.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::net::address::{AddressError, Reach};

/// How long to try each of several addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, encrypted or not.
pub(crate) type Connection = Box<dyn Stream>;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Connects to the host of a URL that was checked by [`public_url`](crate::net::public_url).
pub(super) async fn dial(url: &Url, reach: Reach) -> Result<Connection, DialError> {
    let addresses = reachable(url, resolve(url).await?, reach)?;
    let stream = connect(&addresses).await?;
    match url.scheme() {
        "https" | "wss" => Ok(Box::new(encrypt(url, stream, public_authorities()?).await?)),
        _ => Ok(Box::new(stream)),
    }
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, DialError> {
    let missing = || AddressError::Form("it has no host or no port".to_owned());
    let port = url.port_or_known_default().ok_or_else(missing)?;
    match url.host().ok_or_else(missing)? {
        Host::Ipv4(address) => Ok(vec![(address, port).into()]),
        Host::Ipv6(address) => Ok(vec![(address, port).into()]),
        Host::Domain(name) => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
    }
}

/// Removes the addresses that may not be reached; an error if none is left.
fn reachable(url: &Url, addresses: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, AddressError> {
    let reachable: Vec<_> = addresses.into_iter().filter(|address| reach.allows(address.ip())).collect();
    if reachable.is_empty() {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(AddressError::Resolved { host });
    }
    Ok(reachable)
}

/// Tries the addresses in the order preferred by the system.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, io::Error> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Messages are written as a whole, so waiting to combine writes would only delay them.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

async fn encrypt(
    url: &Url,
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => ServerName::from(std::net::IpAddr::from(address)),
        Some(Host::Ipv6(address)) => ServerName::from(std::net::IpAddr::from(address)),
        host => {
            let name = host.map(|host| host.to_string()).unwrap_or_default();
            ServerName::try_from(name.strip_suffix('.').unwrap_or(&name).to_owned())
                .map_err(|error| AddressError::Form(error.to_string()))?
        }
    };
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}

/// Trusts the certificate authorities that Mozilla trusts, regardless of those installed on the machine.
fn public_authorities() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let config = client_config(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())?;
    Ok(CONFIG.get_or_init(|| config).clone())
}

fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    // Named explicitly, because the process-wide default depends on the features of other crates, and reading it can
    // panic.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
