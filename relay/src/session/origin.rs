//! The origin of a connection: the client's address, and its challenge for authentication (NIP-42).

use std::net::IpAddr;

use openagents_host::PublicKey;

/// What the host knows about a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What a client must sign to authenticate on this connection (NIP-42): random, unique to this connection, not
    /// empty.
    pub challenge: String,
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The host name by which the relay was reached, if the platform routes by it. An unchecked `Host` header is not
    /// trusted: a malicious relay in between would send its own name.
    pub host: Option<String>,
    /// The key with which the client has authenticated already, in another way than NIP-42.
    pub authenticated: Option<PublicKey>,
}

impl Origin {
    /// The origin of a connection from this address, with a new random challenge.
    ///
    /// # Errors
    /// When the system provides no random bytes.
    pub fn new(address: Option<IpAddr>, host: Option<String>) -> Result<Self, getrandom::Error> {
        let mut challenge = [0; 16];
        getrandom::fill(&mut challenge)?;
        Ok(Self { challenge: base16ct::lower::encode_string(&challenge), address, host, authenticated: None })
    }
}
