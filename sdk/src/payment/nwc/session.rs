//! Requests to a wallet service (NIP-47): its info event (kind 13194), requests (23194) and responses (23195).

use std::time::Duration;

use openagents_host::net::{PublishOutcome, Reach, RelayClient, RelayError, RelayLimits};
use openagents_host::nostr::{Filter, SubscriptionId};
use openagents_host::{Encryption, Kind, UnsignedEvent, VerifiedEvent, now, timeout};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::uri::NwcUri;
use crate::payment::wallet::WalletError;

const INFO: Kind = Kind(13_194);
const REQUEST: Kind = Kind(23_194);
const RESPONSE: Kind = Kind(23_195);

/// How long a relay may take for each step, and how much it may send.
const RELAY_LIMITS: RelayLimits = RelayLimits {
    timeout: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    max_events: 8,
    max_bytes: 256 * 1024,
};

/// How long the wallet service may take to respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to pay: the payment has to find its way.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer than that a request is valid, so that clocks may differ. A wallet that was away does not answer old
/// requests when it is back.
const EXPIRATION_SLACK: Duration = Duration::from_secs(60);

/// The longest message that is taken over into an error, in characters.
const MAX_MESSAGE: usize = 200;

/// A method of NIP-47.
#[allow(clippy::enum_variant_names, reason = "the names are those of NIP-47")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NwcMethod {
    MakeInvoice,
    MakeHoldInvoice,
    SettleHoldInvoice,
    CancelHoldInvoice,
    LookupInvoice,
    PayInvoice,
}

impl NwcMethod {
    /// Its name in requests, responses and info events.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::MakeInvoice => "make_invoice",
            Self::MakeHoldInvoice => "make_hold_invoice",
            Self::SettleHoldInvoice => "settle_hold_invoice",
            Self::CancelHoldInvoice => "cancel_hold_invoice",
            Self::LookupInvoice => "lookup_invoice",
            Self::PayInvoice => "pay_invoice",
        }
    }

    /// What a wallet without it does not have.
    const fn feature(self) -> &'static str {
        match self {
            Self::MakeInvoice => "invoices (`make_invoice`, NIP-47)",
            Self::MakeHoldInvoice => "hold invoices (`make_hold_invoice`, NIP-47)",
            Self::SettleHoldInvoice => "hold invoices (`settle_hold_invoice`, NIP-47)",
            Self::CancelHoldInvoice => "hold invoices (`cancel_hold_invoice`, NIP-47)",
            Self::LookupInvoice => "look-up of invoices (`lookup_invoice`, NIP-47)",
            Self::PayInvoice => "payment of invoices (`pay_invoice`, NIP-47)",
        }
    }

    const fn timeout(self) -> Duration {
        match self {
            Self::PayInvoice => PAYMENT_TIMEOUT,
            _ => RESPONSE_TIMEOUT,
        }
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NwcError {
    /// There was no response, or not one that can be used. The wallet may have done it nevertheless.
    NoResponse(String),
    /// The wallet responded with an error.
    Refused {
        method: NwcMethod,
        /// One of NIP-47, such as `RATE_LIMITED`.
        code: String,
        message: String,
    },
}

impl From<NwcError> for WalletError {
    fn from(error: NwcError) -> Self {
        let (method, code, message) = match error {
            NwcError::NoResponse(reason) => return Self::Unreachable(reason),
            NwcError::Refused { method, code, message } => (method, code, message),
        };
        let reason = format!("{message} ({code})");
        match code.as_str() {
            "NOT_IMPLEMENTED" => Self::Unsupported(method.feature()),
            "INSUFFICIENT_BALANCE"
            | "NOT_FOUND"
            | "PAYMENT_FAILED"
            | "QUOTA_EXCEEDED"
            | "RESTRICTED"
            | "UNAUTHORIZED" => Self::Refused(reason),
            // `RATE_LIMITED`, `INTERNAL`, `OTHER`, and codes that NIP-47 does not have: it may be different next time.
            _ => Self::Unreachable(reason),
        }
    }
}

/// A connection to a relay of the wallet service, and what the service says about itself.
pub(super) struct NwcSession<'a> {
    uri: &'a NwcUri,
    relay: RelayClient,
    info: NwcInfo,
}

impl<'a> NwcSession<'a> {
    /// Connects to the first relay that can be reached and has the wallet's info event.
    pub(super) async fn open(uri: &'a NwcUri) -> Result<Self, WalletError> {
        let mut reason = String::new();
        for url in uri.relays() {
            match Self::open_at(uri, url).await {
                Ok(session) => return Ok(session),
                Err(error) => reason = error,
            }
        }
        Err(WalletError::Unreachable(reason))
    }

    async fn open_at(uri: &'a NwcUri, url: &str) -> Result<Self, String> {
        let relay = RelayClient::connect_with(url, Reach::Anywhere, uri.keys(), RELAY_LIMITS).await;
        let mut relay = relay.map_err(|error| format!("its relay: {error}"))?;
        let filter = Filter::new().kinds([INFO.0]).authors([uri.wallet()]).limit(1);
        let found = relay.query(&[filter]).await;
        let found = found.map_err(|error| format!("its relay: {error}"))?;
        let newest = found.iter().max_by_key(|event| event.created_at);
        let info = newest.map(NwcInfo::of).ok_or("its info event (kind 13194) is not on its relay")?;
        Ok(Self { uri, relay, info })
    }

    /// Whether the wallet has these methods, according to its info event.
    pub(super) fn check(&self, methods: &[NwcMethod]) -> Result<(), WalletError> {
        match methods.iter().find(|method| !self.info.methods.iter().any(|name| name == method.as_str())) {
            Some(missing) => Err(WalletError::Unsupported(missing.feature())),
            None => Ok(()),
        }
    }

    /// Sends a request and waits for its result.
    pub(super) async fn call<T: DeserializeOwned>(
        &mut self,
        method: NwcMethod,
        params: &Value,
    ) -> Result<T, NwcError> {
        let request = self.request(method, params).map_err(NwcError::NoResponse)?;
        // Before the request is sent: relays do not keep the response.
        let filter = Filter::new().kinds([RESPONSE.0]).authors([self.uri.wallet()]).events([request.id]);
        let at_relay = |error: RelayError| NwcError::NoResponse(format!("its relay: {error}"));
        let subscription = self.relay.subscribe(&[filter]).await.map_err(at_relay)?;
        if let PublishOutcome::Refused(reason) = self.relay.publish(&request).await.map_err(at_relay)? {
            return Err(NwcError::NoResponse(format!("its relay refused the request: {reason}")));
        }
        let limit = method.timeout();
        match timeout(limit, self.next_of(&subscription)).await {
            Some(response) => read(self.uri, method, &response.map_err(at_relay)?),
            None => Err(NwcError::NoResponse(format!("it did not respond within {limit:?}"))),
        }
    }

    async fn next_of(&mut self, subscription: &SubscriptionId) -> Result<VerifiedEvent, RelayError> {
        while let Some(arrival) = self.relay.next_event().await {
            let (of, event) = arrival?;
            if of == *subscription {
                return Ok(event);
            }
        }
        Err(RelayError::Disconnected)
    }

    fn request(&self, method: NwcMethod, params: &Value) -> Result<VerifiedEvent, String> {
        let (keys, wallet) = (self.uri.keys(), self.uri.wallet());
        let body = json!({ "method": method.as_str(), "params": params }).to_string();
        let content = keys.encrypt(&wallet, &body, self.info.encryption);
        let content = content.map_err(|error| format!("the request cannot be encrypted: {error}"))?;
        let now = now();
        let expiration = (now + method.timeout() + EXPIRATION_SLACK).as_seconds().to_string();
        let event = UnsignedEvent::new(REQUEST, content)
            .tag(["p", &wallet.to_hex()])
            .tag(["encryption", encryption_name(self.info.encryption)])
            .tag(["expiration", &expiration]);
        Ok(event.sign(keys, now))
    }

    /// Ends the connection.
    pub(super) async fn close(self) {
        self.relay.close().await;
    }
}

/// What a wallet's info event says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NwcInfo {
    methods: Vec<String>,
    encryption: Encryption,
}

impl NwcInfo {
    /// Reads an info event. Without the tag `encryption` the wallet only knows NIP-04.
    fn of(event: &VerifiedEvent) -> Self {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let has_nip44 = event.tag_values("encryption").flat_map(names).any(|name| name == "nip44_v2");
        let encryption = if has_nip44 { Encryption::Nip44 } else { Encryption::Nip04 };
        Self { methods: names(&event.content), encryption }
    }
}

const fn encryption_name(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Nip44 => "nip44_v2",
        Encryption::Nip04 => "nip04",
    }
}

#[derive(Deserialize)]
struct NwcResponse {
    result_type: String,
    error: Option<NwcResponseError>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct NwcResponseError {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads a response of the wallet.
fn read<T: DeserializeOwned>(
    uri: &NwcUri,
    method: NwcMethod,
    response: &VerifiedEvent,
) -> Result<T, NwcError> {
    let unusable = |reason: String| NwcError::NoResponse(format!("its response cannot be used: {reason}"));
    let decrypted = uri.keys().decrypt(&response.pubkey, &response.content);
    let (text, _) = decrypted.map_err(|error| unusable(error.to_string()))?;
    // The error of the JSON reader could repeat a preimage.
    let malformed = |_| unusable(format!("it is not one to {}, as NIP-47 has it", method.as_str()));
    let response: NwcResponse = serde_json::from_str(&text).map_err(malformed)?;
    if response.result_type != method.as_str() {
        return Err(unusable(format!("it is not one to {}", method.as_str())));
    }
    if let Some(NwcResponseError { code, message }) = response.error {
        return Err(NwcError::Refused { method, code: shortened(&code), message: shortened(&message) });
    }
    serde_json::from_value(response.result).map_err(malformed)
}

/// A text of the wallet, for the log.
fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Timestamp};

    use super::{Encryption, INFO, NwcError, NwcInfo, NwcMethod, UnsignedEvent, WalletError};

    #[test]
    fn an_error_is_final_if_the_same_request_gets_it_again() {
        let method = NwcMethod::PayInvoice;
        let of = |code: &str| {
            WalletError::from(NwcError::Refused { method, code: code.to_owned(), message: "no".to_owned() })
        };
        for code in ["RATE_LIMITED", "INTERNAL", "OTHER", "UNSUPPORTED_ENCRYPTION", "SOMETHING_ELSE", ""] {
            assert_eq!(of(code), WalletError::Unreachable(format!("no ({code})")));
        }
        for code in ["RESTRICTED", "UNAUTHORIZED", "QUOTA_EXCEEDED", "NOT_FOUND", "PAYMENT_FAILED"] {
            assert_eq!(of(code), WalletError::Refused(format!("no ({code})")));
        }
        assert_eq!(
            of("NOT_IMPLEMENTED"),
            WalletError::Unsupported("payment of invoices (`pay_invoice`, NIP-47)")
        );
    }

    #[test]
    fn nip_44_is_preferred_and_nip_04_used_where_nothing_is_said() {
        let info = |tags: Vec<Vec<String>>| {
            let event = UnsignedEvent::new(INFO, "make_invoice  lookup_invoice").tags(tags);
            NwcInfo::of(&event.sign(&Keys::from_secret(&[1; 32]).unwrap(), Timestamp::from_seconds(1)))
        };
        let tag = |value: &str| vec![vec!["encryption".to_owned(), value.to_owned()]];
        assert_eq!(info(vec![]).encryption, Encryption::Nip04);
        assert_eq!(info(tag("nip04")).encryption, Encryption::Nip04);
        assert_eq!(info(tag("nip04 nip44_v2")).encryption, Encryption::Nip44);
        assert_eq!(info(tag("nip44_v3")).encryption, Encryption::Nip04);
        assert_eq!(info(vec![]).methods, ["make_invoice", "lookup_invoice"]);
    }
}
