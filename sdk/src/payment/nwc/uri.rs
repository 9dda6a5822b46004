//! The connection URI of Nostr Wallet Connect (NIP-47): `nostr+walletconnect://<pubkey>?relay=…&secret=…`.

use std::str::FromStr;

use openagents_host::net::{AddressError, Reach, Url, public_url};
use openagents_host::{Keys, PublicKey};

/// The schemes of the URI: that of NIP-47, and an earlier one.
const SCHEMES: [&str; 2] = ["nostr+walletconnect", "nostrwalletconnect"];

/// The most relays that a URI may name.
const MAX_RELAYS: usize = 8;

/// How an application reaches a wallet service: the wallet's key, its relays, and the application's own secret key.
///
/// ```
/// use openagents_sdk::payment::NwcUri;
///
/// let uri: NwcUri = "nostr+walletconnect://b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4\
///     ?relay=wss%3A%2F%2Frelay.damus.io&secret=71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c"
///     .parse()?;
/// assert_eq!(uri.relays(), ["wss://relay.damus.io"]);
/// assert!(!format!("{uri:?}").contains("71a8c14c"));
/// # Ok::<(), openagents_sdk::payment::NwcUriError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NwcUri {
    wallet: PublicKey,
    relays: Vec<String>,
    keys: Keys,
}

/// Why a text is not a connection URI (NIP-47). The text is not repeated, because it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NwcUriError {
    /// It is no URI, or has another scheme.
    #[error("it does not begin with `nostr+walletconnect://`")]
    Scheme,
    /// The wallet's public key is missing or malformed.
    #[error("the wallet's public key, 64 hex characters, must follow `nostr+walletconnect://`")]
    Wallet,
    /// It names no relay, or too many.
    #[error("it must have 1 to {MAX_RELAYS} parameters `relay`, found {found}")]
    Relays {
        /// How many it has.
        found: usize,
    },
    /// A relay's URL cannot be used.
    #[error("its parameter `relay` is not a relay URL such as wss://relay.example.com: {0}")]
    Relay(#[source] AddressError),
    /// The secret is missing or malformed.
    #[error("it must have one parameter `secret`, a secret key of 64 hex characters")]
    Secret,
}

impl NwcUri {
    /// The wallet service's public key.
    #[must_use]
    pub const fn wallet(&self) -> PublicKey {
        self.wallet
    }

    /// The relays where the wallet service listens.
    #[must_use]
    pub fn relays(&self) -> &[String] {
        &self.relays
    }

    /// The keys with which the application signs and encrypts its requests.
    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }
}

impl PartialEq for NwcUri {
    fn eq(&self, other: &Self) -> bool {
        self.keys.public_key() == other.keys.public_key()
            && self.wallet == other.wallet
            && self.relays == other.relays
    }
}

impl Eq for NwcUri {}

impl FromStr for NwcUri {
    type Err = NwcUriError;

    /// Parses a connection URI, ignoring white space around it. The relays may be private, since it is the operator
    /// who names them.
    fn from_str(text: &str) -> Result<Self, NwcUriError> {
        let uri = Url::parse(text.trim()).map_err(|_| NwcUriError::Scheme)?;
        if !SCHEMES.contains(&uri.scheme()) {
            return Err(NwcUriError::Scheme);
        }
        // Some wallets leave out the two slashes.
        let wallet = uri.host_str().unwrap_or(uri.path());
        let wallet = PublicKey::from_hex(&wallet.to_ascii_lowercase()).map_err(|_| NwcUriError::Wallet)?;
        let (mut relays, mut secrets) = (Vec::new(), Vec::new());
        for (name, value) in uri.query_pairs() {
            match &*name {
                "relay" => relays.push(value.into_owned()),
                "secret" => secrets.push(value.into_owned()),
                _ => {}
            }
        }
        let [secret] = &*secrets else { return Err(NwcUriError::Secret) };
        let keys: Keys = secret.parse().map_err(|_| NwcUriError::Secret)?;
        if relays.is_empty() || relays.len() > MAX_RELAYS {
            return Err(NwcUriError::Relays { found: relays.len() });
        }
        for relay in &relays {
            public_url(relay, &["wss", "ws"], Reach::Anywhere).map_err(NwcUriError::Relay)?;
        }
        Ok(Self { wallet, relays, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::{NwcUri, NwcUriError};

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    fn parse(text: &str) -> Result<NwcUri, NwcUriError> {
        text.replace("WALLET", WALLET).replace("SECRET", SECRET).parse()
    }

    #[test]
    fn takes_the_forms_that_wallets_give() {
        let encoded = "nostr+walletconnect://WALLET?relay=wss%3A%2F%2Frelay.damus.io&secret=SECRET";
        let uri = parse(encoded).unwrap();
        assert_eq!(
            (uri.wallet().to_hex(), uri.relays()),
            (WALLET.to_owned(), &["wss://relay.damus.io".to_owned()][..])
        );
        for other in [
            " nostr+walletconnect://WALLET?relay=wss://relay.damus.io&secret=SECRET\n",
            "nostr+walletconnect:WALLET?relay=wss%3A%2F%2Frelay.damus.io&secret=SECRET",
            "nostrwalletconnect://WALLET?secret=SECRET&lud16=me%40a.example&relay=wss%3A%2F%2Frelay.damus.io",
        ] {
            assert_eq!(parse(other), Ok(uri.clone()), "{other}");
        }
        let two = "nostr+walletconnect://WALLET?relay=ws%3A%2F%2F127.0.0.1%3A7000%2Fa%3Fb&relay=wss://b.example&secret=SECRET";
        assert_eq!(parse(two).unwrap().relays(), ["ws://127.0.0.1:7000/a?b", "wss://b.example"]);
    }

    #[test]
    fn says_what_is_wrong_without_the_secret() {
        let relay = "relay=wss://a.example";
        let many = format!("nostr+walletconnect://WALLET?secret=SECRET&{}", [relay; 9].join("&"));
        for (text, told) in [
            ("", "does not begin with"),
            ("SECRET", "does not begin with"),
            ("https://WALLET?relay=wss://a.example&secret=SECRET", "does not begin with"),
            ("nostr+walletconnect://?relay=wss://a.example&secret=SECRET", "public key"),
            ("nostr+walletconnect://SECRET00?relay=wss://a.example&secret=SECRET", "public key"),
            ("nostr+walletconnect://WALLET?secret=SECRET", "found 0"),
            (many.as_str(), "found 9"),
            ("nostr+walletconnect://WALLET?relay=https://a.example&secret=SECRET", "begins with `wss:`"),
            (
                "nostr+walletconnect://WALLET?relay=wss://me:SECRET@a.example&secret=SECRET",
                "password is not accepted",
            ),
            ("nostr+walletconnect://WALLET?relay=SECRET&secret=SECRET", "is not a relay URL"),
            ("nostr+walletconnect://WALLET?relay=wss://a.example", "one parameter `secret`"),
            ("nostr+walletconnect://WALLET?relay=wss://a.example&secret=SECRET00", "one parameter `secret`"),
            (
                "nostr+walletconnect://WALLET?relay=wss://a.example&secret=SECRET&secret=SECRET",
                "one parameter `secret`",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains(SECRET), "{text}: {error}");
        }
        let uri = parse("nostr+walletconnect://WALLET?relay=wss://a.example&secret=SECRET").unwrap();
        assert!(!format!("{uri:?}").contains(SECRET));
    }
}
