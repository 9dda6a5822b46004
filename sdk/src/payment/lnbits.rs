//! LNbits (`WALLET=lnbits`): invoices and their payment through its HTTP API (`/api/v1/payments`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::http::Method;
use openagents_host::net::{self, AllowedOrigins, HttpError, HttpLimits, HttpRequest, HttpResponse, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::bolt11::Bolt11;
use super::checked_invoice::checked_invoice;
use super::guard::Payer;
use super::wallet::{Invoice, InvoiceRequest, Preimage, Settlement, Wallet, WalletError, WalletFeatures};
use crate::declared_variables::Secret;

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to pay: the payment has to find its way.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest response that is read, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// The longest reason that is taken over into an error, in characters.
const MAX_REASON: usize = 200;

/// A wallet on an LNbits server. Amounts are whole satoshis.
///
/// With an *invoice key* it creates invoices and learns whether they are paid; with an *admin key* it also pays.
#[derive(Clone)]
pub struct LnbitsWallet {
    payments: Url,
    origin: AllowedOrigins,
    key: Secret,
}

impl LnbitsWallet {
    /// The wallet of a key, on the server at this URL.
    #[must_use]
    pub fn new(mut server: Url, key: impl Into<String>) -> Self {
        let path = format!("{}/api/v1/payments", server.path().trim_end_matches('/'));
        server.set_path(&path);
        server.set_query(None);
        server.set_fragment(None);
        Self { origin: AllowedOrigins::of(&server), payments: server, key: Secret::new(key.into()) }
    }

    async fn create(&self, body: &Value, timeout: Duration) -> Result<HttpResponse, WalletError> {
        let mut request = HttpRequest::new(Method::POST, self.payments.as_str())
            .header("content-type", "application/json")
            .header("x-api-key", self.key.expose());
        request.body = body.to_string().into_bytes().into();
        self.send(request, timeout).await
    }

    async fn send(&self, mut request: HttpRequest, timeout: Duration) -> Result<HttpResponse, WalletError> {
        request.allowed_origins = self.origin.clone();
        request.limits =
            HttpLimits { max_bytes: MAX_RESPONSE, timeout, max_redirects: 0, ..HttpLimits::default() };
        net::send(request).await.map_err(|error| unreachable(&error))
    }

    /// The state of a payment, in or out.
    async fn payment(&self, payment_hash: &str) -> Result<LnbitsPayment, WalletError> {
        let url = format!("{}/{payment_hash}", self.payments);
        let request = HttpRequest::get(url).header("x-api-key", self.key.expose());
        read(self.send(request, TIMEOUT).await?).await
    }
}

impl fmt::Debug for LnbitsWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LnbitsWallet").field("payments", &self.payments.as_str()).finish_non_exhaustive()
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Wallet for LnbitsWallet {
    fn features(&self) -> WalletFeatures {
        WalletFeatures::new("lnbits").in_satoshis()
    }

    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError> {
        if request.hold.is_some() {
            return Err(WalletError::Unsupported("hold invoices"));
        }
        let satoshis = request.price.as_msat().div_ceil(1_000);
        let body = json!({
            "out": false,
            "amount": satoshis,
            "memo": request.memo,
            "expiry": request.expiry.as_secs(),
        });
        let created: CreatedPayment = read(self.create(&body, TIMEOUT).await?).await?;
        let bolt11 = created.bolt11.or(created.payment_request);
        let bolt11 = bolt11.ok_or_else(|| WalletError::Refused("it made no invoice".to_owned()))?;
        checked_invoice(bolt11, Some(&created.payment_hash), request)
    }

    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let payment = self.payment(&invoice.payment_hash).await?;
        if !payment.paid {
            let has_failed = payment.status.as_deref() == Some("failed");
            return Ok(if has_failed { Settlement::Expired } else { Settlement::Pending });
        }
        // To a key of another wallet, or of none, the server tells less.
        let Some(details) = payment.details else {
            let reason =
                "it does not show the payment: LNBITS_INVOICE_KEY is not of the wallet with this invoice";
            return Err(WalletError::Unreachable(reason.to_owned()));
        };
        let preimage = payment.preimage.as_deref().and_then(Preimage::from_hex);
        let is_proven = preimage.is_some_and(|preimage| preimage.payment_hash() == invoice.payment_hash);
        if !is_proven || details.bolt11.as_deref() != Some(&*invoice.bolt11) {
            let reason = "it calls an invoice paid without a proof of it";
            return Err(WalletError::Unreachable(reason.to_owned()));
        }
        Ok(Settlement::Paid)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Payer for LnbitsWallet {
    /// Pays an invoice. The key must be an admin key. An invoice without an amount is not paid.
    async fn pay(&self, invoice: &str, msat: u64) -> Result<(), WalletError> {
        let parsed = Bolt11::parse(invoice).map_err(|error| WalletError::Refused(error.to_string()))?;
        if parsed.amount().is_none_or(|amount| amount.as_msat() != msat) {
            return Err(WalletError::Refused("LNbits only pays the amount that an invoice has".to_owned()));
        }
        let body = json!({ "out": true, "bolt11": invoice });
        let paid: Result<CreatedPayment, WalletError> = match self.create(&body, PAYMENT_TIMEOUT).await {
            Ok(response) => read_payment(response).await,
            Err(error) => Err(error),
        };
        match paid {
            Ok(payment) if payment.status.as_deref() != Some("pending") => Ok(()),
            Ok(_) => {
                Err(WalletError::Unreachable("the payment is under way; its outcome is not known".to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

/// An invoice that was created, or a payment that was made.
#[derive(Deserialize)]
struct CreatedPayment {
    bolt11: Option<String>,
    /// What earlier releases call it.
    payment_request: Option<String>,
    payment_hash: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct LnbitsPayment {
    paid: bool,
    status: Option<String>,
    preimage: Option<String>,
    details: Option<LnbitsPaymentDetails>,
}

#[derive(Deserialize)]
struct LnbitsPaymentDetails {
    bolt11: Option<String>,
}

/// Reads a response. A status that speaks of the request is a refusal; any other may be different next time.
async fn read<T: DeserializeOwned>(response: HttpResponse) -> Result<T, WalletError> {
    let status = response.status();
    if response.is_success() {
        return response.json().await.map_err(|error| unreachable(&error));
    }
    let reason = reason(response).await;
    Err(match status {
        400..=499 if !matches!(status, 408 | 425 | 429) => WalletError::Refused(reason),
        _ => WalletError::Unreachable(reason),
    })
}

/// Reads the response to a payment. LNbits tells a failed payment with the status 520.
async fn read_payment<T: DeserializeOwned>(response: HttpResponse) -> Result<T, WalletError> {
    if response.status() == 520 {
        return Err(WalletError::Refused(reason(response).await));
    }
    read(response).await
}

/// What the server says about a failure: `{"detail": …}`, or its status.
async fn reason(response: HttpResponse) -> String {
    let status = response.status();
    let body: Option<Value> = response.json().await.ok();
    let detail = body.as_ref().and_then(|body| body.get("detail")?.as_str());
    match detail {
        Some(detail) => detail.chars().filter(|character| !character.is_control()).take(MAX_REASON).collect(),
        None => format!("LNbits answered with status {status}"),
    }
}

fn unreachable(error: &HttpError) -> WalletError {
    WalletError::Unreachable(error.to_string())
}
