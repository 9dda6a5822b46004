//! SSRF protection: which URLs and IP addresses may be reached.
//!
//! An agent fetches URLs that strangers name in their jobs. Without this check, a job could read the metadata service
//! of the cloud (169.254.169.254) or a database in the same network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The addresses that a request may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Only addresses that are public on the internet, and only with encryption.
    #[default]
    Public,
    /// All addresses, including this machine, with or without encryption. For addresses that the operator has
    /// configured, and for tests and development: an agent with `ALLOW_PRIVATE_ADDRESSES=true` also reaches those that
    /// customers name.
    Anywhere,
}

impl Reach {
    /// Whether this IP address may be connected to.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || is_public(address)
    }
}

/// Why an address may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not an absolute URL with a host.
    #[error("expected an absolute URL: {0}")]
    Form(String),
    /// A scheme that is not accepted, or that has no encryption.
    #[error("expected a URL that begins with {expected}, found `{found}:`")]
    Scheme {
        /// The accepted schemes.
        expected: String,
        /// The scheme of the URL.
        found: String,
    },
    /// A URL with a user name or password. It is not repeated in the message, because it holds a secret.
    #[error("a URL with a user name or a password is not accepted")]
    Credentials,
    /// The host is not public.
    #[error("`{host}` is not a public host")]
    Host {
        /// The host of the URL.
        host: String,
    },
    /// A port below 1024 other than 80 and 443.
    #[error("port {port} is not accepted, expected 80, 443 or one from 1024 on")]
    Port {
        /// The port of the URL.
        port: u16,
    },
    /// The name is public but resolves only to addresses that are not.
    #[error("`{host}` has no public address")]
    Resolved {
        /// The host of the URL.
        host: String,
    },
}

/// Parses a URL and checks that it may be reached.
///
/// `schemes` are those that the caller supports, such as `["https", "http"]`. Under [`Reach::Public`], schemes without
/// encryption (`http`, `ws`) are refused even if listed, and the host must be public: not a name in a local network,
/// and not an IP address that is private, local or reserved, even if it is embedded in another address (IPv4-mapped,
/// 6to4, NAT64). The addresses that a name resolves to are not known here: natively they are checked when connecting,
/// and Workers cannot reach private networks.
///
/// ```
/// use openagents_host::net::{Reach, public_url};
///
/// assert!(public_url("https://example.com/image.png", &["https"], Reach::Public).is_ok());
/// assert!(public_url("https://169.254.169.254/latest/meta-data", &["https"], Reach::Public).is_err());
/// assert!(public_url("https://0x7f.1/", &["https"], Reach::Public).is_err());
/// assert!(public_url("http://127.0.0.1:8080/", &["https", "http"], Reach::Anywhere).is_ok());
/// ```
///
/// # Errors
/// Which rule the URL violates.
pub fn public_url(url: &str, schemes: &[&str], reach: Reach) -> Result<Url, AddressError> {
    let url = Url::parse(url).map_err(|error| AddressError::Form(error.to_string()))?;
    check(&url, schemes, reach)?;
    Ok(url)
}

/// The check of [`public_url`] for a parsed URL, such as the target of a redirect.
pub(crate) fn check(url: &Url, schemes: &[&str], reach: Reach) -> Result<(), AddressError> {
    let accepted = || schemes.iter().filter(|scheme| reach == Reach::Anywhere || is_encrypted(scheme));
    if !accepted().any(|scheme| *scheme == url.scheme()) {
        let expected = accepted().map(|scheme| format!("`{scheme}:`")).collect::<Vec<_>>().join(" or ");
        return Err(AddressError::Scheme { expected, found: url.scheme().to_owned() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Credentials);
    }
    let Some(host) = url.host() else { return Err(AddressError::Form("it has no host".to_owned())) };
    if reach == Reach::Anywhere {
        return Ok(());
    }
    let public = match host {
        Host::Domain(name) => is_public_name(name),
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
    };
    if !public {
        return Err(AddressError::Host { host: host.to_string() });
    }
    match url.port() {
        None | Some(80 | 443 | 1024..) => Ok(()),
        Some(port) => Err(AddressError::Port { port }),
    }
}

fn is_encrypted(scheme: &str) -> bool {
    matches!(scheme, "https" | "wss")
}

/// Names with these endings belong to local networks or do not exist (RFC 6761, RFC 6762, RFC 7686, RFC 8375, and
/// common ones without an RFC).
const LOCAL_NAMES: [&str; 14] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "test",
    "invalid",
    "onion",
    "alt",
];

/// `name` is normalized by the `url` crate: lower case, and never an IPv4 address.
fn is_public_name(name: &str) -> bool {
    // A trailing dot only makes the name absolute.
    let name = name.strip_suffix('.').unwrap_or(name);
    let local = LOCAL_NAMES
        .iter()
        .any(|end| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    // A name without a dot is resolved through the machine's search list.
    name.contains('.') && !name.split('.').any(str::is_empty) && !local
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IANA's registry of special-purpose IPv4 addresses, and multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]              // "this network", private, loopback
            | [100, 64..=127, ..]       // carrier-grade NAT
            | [169, 254, ..]            // link-local, with the clouds' metadata services
            | [172, 16..=31, ..]        // private
            | [192, 0, 0 | 2, _]        // protocol assignments, documentation
            | [192, 88, 99, _]          // the former 6to4 relays
            | [192, 168, ..]            // private
            | [198, 18 | 19, ..]        // benchmarks
            | [198, 51, 100, _]         // documentation
            | [203, 0, 113, _]          // documentation
            | [224..=255, ..] // multicast, reserved, broadcast
    )
}

/// Of IPv6, only global unicast addresses (2000::/3) without the special purposes among them. An address that embeds
/// an IPv4 address is public if that one is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]            // IPv4-mapped
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]       // NAT64 (RFC 6052)
        | [0x2002, high, low, ..]                     // 6to4
            => is_public_v4(wrapped(high, low)),
        [0x2001, 0..=0x1ff, ..]                       // protocol assignments: Teredo, ORCHID, benchmarks
        | [0x2001, 0xdb8, ..]                         // documentation
        | [0x3fff, 0..=0xfff, ..]                     // documentation
            => false,
        // ISATAP: an IPv4 address in the half that the network's owner chooses.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] if !is_public_v4(wrapped(high, low)) => false,
        [first, ..] => matches!(first, 0x2000..=0x3fff),
    }
}

fn wrapped(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
