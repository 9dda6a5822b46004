//! Nostr Wallet Connect (`WALLET=nwc`, NIP-47): invoices, hold invoices and payments through a wallet service on Nostr.

mod session;
#[cfg(test)]
mod tests;
mod uri;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::bolt11::Bolt11;
use super::checked_invoice::checked_invoice;
use super::guard::Payer;
use super::wallet::{Invoice, InvoiceRequest, Preimage, Settlement, Wallet, WalletError, WalletFeatures};
use session::{NwcError, NwcMethod, NwcSession};

pub use uri::{NwcUri, NwcUriError};

/// A wallet that is reached over Nostr, by a [connection URI](NwcUri). Amounts are millisatoshis.
///
/// Each call opens a connection to a relay of the wallet service and closes it again. Contents are encrypted with NIP-44,
/// or with NIP-04 if the wallet knows nothing else. Whether the wallet has hold invoices, its info event says when an
/// invoice is to be made.
#[derive(Clone, Debug)]
pub struct NwcWallet {
    uri: NwcUri,
}

impl NwcWallet {
    /// The wallet at the other end of this connection.
    #[must_use]
    pub const fn new(uri: NwcUri) -> Self {
        Self { uri }
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Wallet for NwcWallet {
    fn features(&self) -> WalletFeatures {
        WalletFeatures::new("nwc").with_hold_invoices()
    }

    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError> {
        let mut session = NwcSession::open(&self.uri).await?;
        let made = make_invoice(&mut session, request).await;
        session.close().await;
        made
    }

    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let mut session = NwcSession::open(&self.uri).await?;
        let found = look_up(&mut session, &invoice.payment_hash).await;
        session.close().await;
        found?.settlement(invoice)
    }

    async fn settle(&self, invoice: &Invoice, preimage: &Preimage) -> Result<(), WalletError> {
        let params = json!({ "preimage": preimage.expose_hex() });
        self.end_hold(invoice, NwcMethod::SettleHoldInvoice, &params).await
    }

    async fn cancel(&self, invoice: &Invoice) -> Result<(), WalletError> {
        let params = json!({ "payment_hash": invoice.payment_hash });
        self.end_hold(invoice, NwcMethod::CancelHoldInvoice, &params).await
    }
}

impl NwcWallet {
    /// Takes or returns a held payment. What a wallet says to a repeated request differs from wallet to wallet, so after
    /// an error the state of the invoice decides.
    async fn end_hold(
        &self,
        invoice: &Invoice,
        method: NwcMethod,
        params: &Value,
    ) -> Result<(), WalletError> {
        let mut session = NwcSession::open(&self.uri).await?;
        let ended = match session.call::<IgnoredAny>(method, params).await {
            Err(refusal @ NwcError::Refused { .. }) => {
                let found = look_up(&mut session, &invoice.payment_hash).await;
                let settlement = found.map_err(WalletError::from).and_then(|found| found.settlement(invoice));
                after_refusal(method, settlement, refusal)
            }
            Err(error) => Err(error.into()),
            Ok(IgnoredAny) => Ok(()),
        };
        session.close().await;
        ended
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Payer for NwcWallet {
    async fn pay(&self, invoice: &str, msat: u64) -> Result<(), WalletError> {
        let parsed = Bolt11::parse(invoice).map_err(|error| WalletError::Refused(error.to_string()))?;
        let params = match parsed.amount() {
            None => json!({ "invoice": invoice, "amount": msat }),
            Some(amount) if amount.as_msat() == msat => json!({ "invoice": invoice }),
            Some(_) => return Err(WalletError::Refused("the invoice is for another amount".to_owned())),
        };
        let mut session = NwcSession::open(&self.uri).await?;
        let paid = session.call::<NwcPayment>(NwcMethod::PayInvoice, &params).await;
        session.close().await;
        let payment_hash = base16ct::lower::encode_string(parsed.payment_hash());
        if !proves(&paid?.preimage, &payment_hash) {
            return Err(WalletError::Unreachable(
                "it calls an invoice paid without a proof of it".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What an invoice needs. Whatever is needed later is needed now: nobody pays an invoice that the agent cannot look up,
/// settle or cancel.
const FOR_INVOICES: &[NwcMethod] = &[NwcMethod::MakeInvoice, NwcMethod::LookupInvoice];

/// What a hold invoice needs.
const FOR_HOLD_INVOICES: &[NwcMethod] = &[
    NwcMethod::MakeHoldInvoice,
    NwcMethod::SettleHoldInvoice,
    NwcMethod::CancelHoldInvoice,
    NwcMethod::LookupInvoice,
];

async fn make_invoice(
    session: &mut NwcSession<'_>,
    request: &InvoiceRequest,
) -> Result<Invoice, WalletError> {
    let (amount, description) = (request.price.as_msat(), &request.memo);
    let expiry = request.expiry.as_secs();
    let made: NwcTransaction = match &request.hold {
        None => {
            session.check(FOR_INVOICES)?;
            let params = json!({ "amount": amount, "description": description, "expiry": expiry });
            session.call(NwcMethod::MakeInvoice, &params).await?
        }
        Some(preimage) => {
            session.check(FOR_HOLD_INVOICES)?;
            let payment_hash = preimage.payment_hash();
            let params = json!({
                "amount": amount,
                "description": description,
                "expiry": expiry,
                "payment_hash": payment_hash,
            });
            match session.call(NwcMethod::MakeHoldInvoice, &params).await {
                // A payment hash has one invoice. Perhaps it exists, and the wallet's response was lost.
                Err(refusal @ NwcError::Refused { .. }) => {
                    let found = look_up(session, &payment_hash).await;
                    found.ok().filter(NwcTransaction::is_pending).ok_or(refusal)?
                }
                made => made?,
            }
        }
    };
    let invoice = made.invoice.ok_or_else(|| WalletError::Refused("it made no invoice".to_owned()))?;
    checked_invoice(invoice, made.payment_hash.as_deref(), request)
}

async fn look_up(session: &mut NwcSession<'_>, payment_hash: &str) -> Result<NwcTransaction, NwcError> {
    session.call(NwcMethod::LookupInvoice, &json!({ "payment_hash": payment_hash })).await
}

/// What a refusal to take or to return a held payment means, if its invoice has this state.
fn after_refusal(
    method: NwcMethod,
    settlement: Result<Settlement, WalletError>,
    refusal: NwcError,
) -> Result<(), WalletError> {
    let has_other_end = |end: &str| Err(WalletError::Refused(format!("the payment has been {end}")));
    match (settlement, method) {
        (Ok(Settlement::Paid), NwcMethod::SettleHoldInvoice)
        | (Ok(Settlement::Expired), NwcMethod::CancelHoldInvoice) => Ok(()),
        (Ok(Settlement::Paid), _) => has_other_end("taken"),
        (Ok(Settlement::Expired), _) => has_other_end("returned"),
        _ => Err(refusal.into()),
    }
}

/// What a wallet says about an invoice (NIP-47, `make_invoice` and `lookup_invoice`).
#[derive(Clone, Debug, Default, Deserialize)]
struct NwcTransaction {
    invoice: Option<String>,
    payment_hash: Option<String>,
    preimage: Option<String>,
    /// Missing in the responses of earlier wallets.
    state: Option<String>,
    /// Seconds since 1970.
    settled_at: Option<u64>,
}

impl NwcTransaction {
    /// The state of the payment of an invoice, if this is what the wallet says about it.
    fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let unusable = |reason: &str| Err(WalletError::Unreachable(reason.to_owned()));
        let is_other = |found: Option<&str>, expected: &str| {
            found.is_some_and(|found| !found.eq_ignore_ascii_case(expected))
        };
        if is_other(self.payment_hash.as_deref(), &invoice.payment_hash)
            || is_other(self.invoice.as_deref(), &invoice.bolt11)
        {
            return unusable("it responded with another invoice");
        }
        let is_settled = self.settled_at.is_some_and(|time| time > 0);
        match self.state.as_deref() {
            None if !is_settled => Ok(Settlement::Pending),
            None | Some("settled") => {
                match self.preimage.as_deref().filter(|preimage| !preimage.is_empty()) {
                    Some(preimage) if !proves(preimage, &invoice.payment_hash) => {
                        unusable("it calls an invoice paid with a preimage of another")
                    }
                    _ => Ok(Settlement::Paid),
                }
            }
            Some("pending") => Ok(Settlement::Pending),
            Some("accepted") => Ok(Settlement::Held),
            Some("expired" | "failed") => Ok(Settlement::Expired),
            Some(_) => unusable("it calls an invoice neither pending, accepted, settled, expired nor failed"),
        }
    }

    /// Whether the invoice can still be paid.
    fn is_pending(&self) -> bool {
        matches!(self.state.as_deref(), None | Some("pending"))
            && self.settled_at.is_none_or(|time| time == 0)
    }
}

fn proves(preimage: &str, payment_hash: &str) -> bool {
    Preimage::from_hex(preimage)
        .is_some_and(|preimage| preimage.payment_hash().eq_ignore_ascii_case(payment_hash))
}

/// What a wallet says about a payment that it made (NIP-47, `pay_invoice`).
#[derive(Deserialize)]
struct NwcPayment {
    preimage: String,
}
