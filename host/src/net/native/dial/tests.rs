//! Tests of name resolution, address checks and TLS.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::net::{HttpError, HttpLimits, HttpRequest, send};

/// A self-signed certificate for `localhost`, valid until 2126. Created by:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=localhost
/// -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE`
const CERTIFICATE: &[u8] = include_bytes!("localhost.cert.der");
const KEY: &[u8] = include_bytes!("localhost.key.der");

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), 443)
}

#[test]
fn drops_the_addresses_of_a_name_that_are_not_public() {
    let url = Url::parse("https://rebinding.example.com/").unwrap();
    let resolved =
        vec![at("127.0.0.1"), at("8.8.8.8"), at("::1"), at("::ffff:10.0.0.1"), at("2606:4700::1111")];
    assert_eq!(
        reachable(&url, resolved.clone(), Reach::Public),
        Ok(vec![at("8.8.8.8"), at("2606:4700::1111")])
    );
    assert_eq!(reachable(&url, resolved.clone(), Reach::Anywhere), Ok(resolved));
    assert_eq!(
        reachable(&url, vec![at("169.254.169.254"), at("fd00::1")], Reach::Public),
        Err(AddressError::Resolved { host: "rebinding.example.com".to_owned() })
    );
}

#[tokio::test]
async fn does_not_connect_to_what_a_name_resolves_to_unless_it_is_public() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The one name that resolves everywhere. The URL check would have come before this function.
    let url = Url::parse(&format!("http://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
    let Err(DialError::Address(error)) = dial(&url, Reach::Public).await else {
        panic!("expected a refusal")
    };
    assert_eq!(error, AddressError::Resolved { host: "localhost".to_owned() });
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
    assert!(dial(&url, Reach::Anywhere).await.is_ok());
}

#[tokio::test]
async fn tries_the_next_address_when_one_fails() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let somebody = listener.local_addr().unwrap();
    assert_eq!(connect(&[nobody, somebody]).await.unwrap().peer_addr().unwrap(), somebody);
    assert_eq!(connect(&[nobody]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

/// A TLS server that echoes one byte per connection, and its port.
async fn serve_tls() -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], PrivateKeyDer::try_from(KEY).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let byte = stream.read_u8().await.unwrap();
                stream.write_u8(byte).await.unwrap();
            }
        }
    });
    port
}

#[tokio::test]
async fn encrypts_to_a_host_with_a_trusted_certificate() {
    let port = serve_tls().await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE)).unwrap();
    let config = client_config(roots).unwrap();
    let attempt = async |host: &str| {
        let url = Url::parse(&format!("https://{host}:{port}/")).unwrap();
        let stream = connect(&[SocketAddr::from(([127, 0, 0, 1], port))]).await.unwrap();
        encrypt(&url, stream, config.clone()).await
    };
    for host in ["localhost", "localhost."] {
        let mut stream = attempt(host).await.unwrap();
        stream.write_u8(7).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
    }
    // Trusted, but for another name.
    for host in ["example.com", "127.0.0.1"] {
        assert!(matches!(attempt(host).await, Err(DialError::Io(_))), "{host}");
    }
}

#[tokio::test]
async fn refuses_a_certificate_that_no_public_authority_signed() {
    let url = format!("https://localhost:{}/", serve_tls().await);
    let limits = HttpLimits { reach: Reach::Anywhere, ..HttpLimits::default() };
    let Err(HttpError::Connect(error)) = send(HttpRequest::get(url).limits(limits)).await else {
        panic!("expected a refusal")
    };
    assert!(error.contains("certificate"), "{error}");
}
