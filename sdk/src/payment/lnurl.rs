//! LNURL-pay (`WALLET=lnurl`): invoices for a Lightning address (LUD-06, LUD-16), whose payment the address' server
//! proves (LUD-21). It needs no secret.

use std::time::Duration;

use async_trait::async_trait;
use openagents_host::net::{
    self, AddressError, AllowedOrigins, HttpLimits, HttpRequest, Reach, Url, public_url,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::bolt11::{Bolt11, InvoiceDescription};
use super::checked_invoice::checked_invoice;
use super::wallet::{Invoice, InvoiceRequest, Preimage, Settlement, Wallet, WalletError, WalletFeatures};

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest response that is read, in bytes; metadata may contain a picture.
const MAX_RESPONSE: usize = 512 * 1024;

/// The longest reason that is taken over into an error, in characters.
const MAX_REASON: usize = 200;

/// A wallet behind a Lightning address, such as `me@getalby.com`. Amounts are whole satoshis.
///
/// Its server must be able to tell whether an invoice is paid (LUD-21); many do. The invoices belong to whoever owns the
/// address; nothing can be spent or held through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LnurlWallet {
    server: Url,
    origin: AllowedOrigins,
}

/// A text is no Lightning address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightningAddressError {
    /// It is neither an address nor a URL.
    #[error("a Lightning address such as me@example.com, or the URL of an LNURL-pay server")]
    Form,
    /// The URL of the server cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl LnurlWallet {
    /// The wallet of a Lightning address (LUD-16), or of the URL of an LNURL-pay server (LUD-06).
    ///
    /// # Errors
    /// When the text is neither.
    pub fn new(address: &str) -> Result<Self, LightningAddressError> {
        let url = match address.split_once('@') {
            _ if address.contains("://") => address.to_owned(),
            Some((name, domain))
                if is_name(name) && !domain.is_empty() && !domain.contains(['/', '?', '#', '@']) =>
            {
                format!("https://{domain}/.well-known/lnurlp/{name}")
            }
            _ => return Err(LightningAddressError::Form),
        };
        let server = public_url(&url, &["https", "http"], Reach::Anywhere)?;
        Ok(Self { origin: AllowedOrigins::of(&server), server })
    }

    /// Reads a response of the server, or of one that it names: that must be a public one.
    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, WalletError> {
        let mut request = HttpRequest::get(url).header("accept", "application/json");
        request.allowed_origins = self.origin.clone();
        request.limits = HttpLimits {
            max_bytes: MAX_RESPONSE,
            timeout: TIMEOUT,
            max_redirects: 0,
            ..HttpLimits::default()
        };
        let unreachable = |error: net::HttpError| WalletError::Unreachable(error.to_string());
        let response = net::send(request).await.map_err(unreachable)?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(unreachable)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("status").eq_ignore_ascii_case("error") {
            let reason = text("reason").chars().filter(|character| !character.is_control());
            return Err(WalletError::Refused(reason.take(MAX_REASON).collect()));
        }
        if !(200..300).contains(&status) {
            return Err(WalletError::Unreachable(format!("the server answered with status {status}")));
        }
        serde_json::from_value(answer).map_err(|error| WalletError::Unreachable(error.to_string()))
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Wallet for LnurlWallet {
    fn features(&self) -> WalletFeatures {
        WalletFeatures::new("lnurl").in_satoshis()
    }

    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError> {
        if request.hold.is_some() {
            return Err(WalletError::Unsupported("hold invoices"));
        }
        let pay: PayRequest = self.read(self.server.as_str()).await?;
        let msat = request.price.as_msat();
        if pay.tag != "payRequest" {
            return Err(refused("this is not an LNURL-pay server"));
        }
        if !(pay.min_sendable..=pay.max_sendable).contains(&msat) {
            let (min, max) = (pay.min_sendable, pay.max_sendable);
            return Err(refused(&format!("it takes {min} to {max} msat, and {msat} are to be paid")));
        }
        let mut callback = Url::parse(&pay.callback).map_err(|_| refused("its callback is not a URL"))?;
        callback.query_pairs_mut().append_pair("amount", &msat.to_string());
        let comment: String = request.memo.chars().take(pay.comment_allowed.unwrap_or(0)).collect();
        if !comment.is_empty() {
            callback.query_pairs_mut().append_pair("comment", &comment);
        }
        let made: PayAnswer = self.read(callback.as_str()).await?;
        let Some(verify) = made.verify else {
            return Err(refused(
                "its server does not tell whether an invoice is paid (LUD-21): choose another wallet",
            ));
        };
        let invoice = checked_invoice(made.pr, None, request)?;
        if !describes(&invoice.bolt11, &pay.metadata) {
            return Err(refused("its invoice is not for what it says (LUD-06)"));
        }
        Ok(Invoice { verify_url: Some(verify), ..invoice })
    }

    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let Some(url) = &invoice.verify_url else {
            return Err(refused("this invoice was made by another wallet"));
        };
        let verified: Verified = self.read(url).await?;
        if !verified.settled {
            return Ok(Settlement::Pending);
        }
        let preimage = verified.preimage.as_deref().and_then(Preimage::from_hex);
        let is_proven = preimage.is_some_and(|preimage| preimage.payment_hash() == invoice.payment_hash);
        let is_same = verified.pr.is_none_or(|pr| pr.eq_ignore_ascii_case(&invoice.bolt11));
        if !is_proven || !is_same {
            return Err(WalletError::Unreachable(
                "it calls an invoice paid without a proof of it".to_owned(),
            ));
        }
        Ok(Settlement::Paid)
    }
}

fn refused(reason: &str) -> WalletError {
    WalletError::Refused(reason.to_owned())
}

/// Whether the description of an invoice is the hash of this metadata (LUD-06).
fn describes(bolt11: &str, metadata: &str) -> bool {
    let hash: [u8; 32] = Sha256::digest(metadata).into();
    Bolt11::parse(bolt11).is_ok_and(|invoice| *invoice.description() == InvoiceDescription::Hash(hash))
}

/// LUD-16: `a-z0-9-_.`, and `+` for a tag.
fn is_name(name: &str) -> bool {
    let is_allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-_.+".contains(character)
    };
    !name.is_empty() && name.chars().all(is_allowed)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayRequest {
    tag: String,
    callback: String,
    min_sendable: u64,
    max_sendable: u64,
    metadata: String,
    comment_allowed: Option<usize>,
}

#[derive(Deserialize)]
struct PayAnswer {
    pr: String,
    verify: Option<String>,
}

#[derive(Deserialize)]
struct Verified {
    settled: bool,
    preimage: Option<String>,
    pr: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{LightningAddressError, LnurlWallet};

    #[test]
    fn finds_the_server_of_an_address() {
        let server = |address: &str| LnurlWallet::new(address).map(|wallet| wallet.server.to_string());
        let of_address = server("me@getalby.com");
        assert_eq!(of_address.as_deref(), Ok("https://getalby.com/.well-known/lnurlp/me"));
        let of_port = server("a.b-c_d+tag@pay.example.com:8443");
        assert_eq!(of_port.as_deref(), Ok("https://pay.example.com:8443/.well-known/lnurlp/a.b-c_d+tag"));
        let of_url = server("http://127.0.0.1:5000/lnurlp/me");
        assert_eq!(of_url.as_deref(), Ok("http://127.0.0.1:5000/lnurlp/me"));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in
            ["", "me", "@a.example", "me@", "Me@a.example", "me@a.example/x", "m e@a.example", "me@a@b"]
        {
            assert_eq!(LnurlWallet::new(text).map(|_| ()), Err(LightningAddressError::Form), "{text}");
        }
        assert!(LnurlWallet::new("ftp://a.example/").is_err());
        assert!(LnurlWallet::new("https://me:secret@a.example/").is_err());
    }
}
