//! Where a connection comes from, and its challenge for authentication (NIP-42).

use std::net::IpAddr;

/// What the host knows about a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What a client has to sign to authenticate on this connection (NIP-42): random, for this connection only, never
    /// empty.
    pub challenge: String,
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The host name under which the relay was reached, if the platform vouches for it. A `Host` header that nobody
    /// routed by does not count: a relay in the middle would send its own name.
    pub host: Option<String>,
}

impl Origin {
    /// A connection from this address, with a challenge of its own.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(address: Option<IpAddr>, host: Option<String>) -> Result<Self, getrandom::Error> {
        let mut challenge = [0; 16];
        getrandom::fill(&mut challenge)?;
        Ok(Self { challenge: base16ct::lower::encode_string(&challenge), address, host })
    }
}
