//! `PaymentGuard`: a client pays at most once for a job, and never more than its limit.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::PublicKey;

use super::bolt11::{Bolt11, Bolt11Error};
use super::wallet::WalletError;
use crate::nip90::{Amount, JobRequest};
use crate::send::{MaybeSend, Shareable};

/// A wallet that pays Lightning invoices.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Payer: Shareable {
    /// Pays a BOLT 11 invoice of `msat` millisatoshis, or that amount if the invoice has none. Returns when it is
    /// paid.
    ///
    /// # Errors
    /// When the payment failed or its outcome is unknown.
    async fn pay(&self, invoice: &str, msat: u64) -> Result<(), WalletError>;
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl<F, Paid> Payer for F
where
    F: Fn(String, u64) -> Paid + Shareable,
    Paid: Future<Output = Result<(), WalletError>> + MaybeSend,
{
    async fn pay(&self, invoice: &str, msat: u64) -> Result<(), WalletError> {
        self(invoice.to_owned(), msat).await
    }
}

/// Why a client did not pay a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentRefusal {
    /// The client has no [`Payer`].
    #[error("this client has no wallet to pay with")]
    NoWallet,
    /// The request names no provider, so anyone could ask for money.
    #[error("only a provider named in the request is paid")]
    NotNamed,
    /// The feedback has no amount or no invoice.
    #[error("its feedback has no amount with an invoice")]
    NoInvoice,
    /// The requested amount exceeds the limit.
    #[error("{msat} msat exceed the limit of {limit} msat")]
    TooMuch {
        /// The requested amount, in msat.
        msat: u64,
        /// The limit, in msat.
        limit: u64,
    },
    /// The invoice cannot be read, or is not signed by its payee.
    #[error("its invoice cannot be paid: {reason}")]
    NotAnInvoice {
        /// What is wrong with it.
        reason: Bolt11Error,
    },
    /// The amount of the invoice differs from the requested amount.
    #[error("the invoice is not for the requested {msat} msat")]
    Mismatch {
        /// The requested amount, in msat.
        msat: u64,
    },
    /// The client has already paid for this job, or tried to.
    #[error("this job has already been paid for")]
    Paid,
}

/// Decides whether a provider may be paid for one job.
pub(crate) struct PaymentGuard {
    payer: Option<Arc<dyn Payer>>,
    limit_msat: u64,
    authorized: bool,
}

/// Permission to pay one invoice, once.
pub(crate) struct Payment {
    payer: Arc<dyn Payer>,
    invoice: String,
    pub(crate) msat: u64,
}

impl PaymentGuard {
    pub(crate) fn new(payer: Option<Arc<dyn Payer>>, limit_msat: u64) -> Self {
        Self { payer, limit_msat, authorized: false }
    }

    /// Permits a payment if the limit allows it. After that no other payment for the job is permitted, whether or not
    /// this one succeeds.
    pub(crate) fn authorize(
        &mut self,
        request: &JobRequest,
        provider: &PublicKey,
        amount: Option<&Amount>,
    ) -> Result<Payment, PaymentRefusal> {
        if self.authorized {
            return Err(PaymentRefusal::Paid);
        }
        let payer = self.payer.clone().ok_or(PaymentRefusal::NoWallet)?;
        if !request.providers.contains(provider) {
            return Err(PaymentRefusal::NotNamed);
        }
        let amount = amount.ok_or(PaymentRefusal::NoInvoice)?;
        let (msat, limit) = (amount.msat, self.limit_msat);
        let invoice = amount.invoice.clone().ok_or(PaymentRefusal::NoInvoice)?;
        if msat > limit {
            return Err(PaymentRefusal::TooMuch { msat, limit });
        }
        let demanded = Bolt11::parse(&invoice).map_err(|reason| PaymentRefusal::NotAnInvoice { reason })?;
        match demanded.amount() {
            Some(demanded) if demanded.as_msat() == msat => {}
            None if msat > 0 => {}
            _ => return Err(PaymentRefusal::Mismatch { msat }),
        }
        self.authorized = true;
        Ok(Payment { payer, invoice, msat })
    }
}

impl Payment {
    pub(crate) async fn make(&self) -> Result<(), WalletError> {
        self.payer.pay(&self.invoice, self.msat).await
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind, Timestamp};

    use super::{Amount, Arc, JobRequest, PaymentGuard, PaymentRefusal, WalletError};
    use crate::nip90::RequestBuilder;
    use crate::payment::bolt11::fixtures::{WrittenInvoice, invoice};

    fn provider() -> Keys {
        Keys::from_secret(&[2; 32]).unwrap()
    }

    fn request(names: &[&Keys]) -> JobRequest {
        let builder = RequestBuilder::new(Kind(5050)).text("Ada");
        let builder = names.iter().fold(builder, |builder, keys| builder.provider(&keys.public_key()));
        let customer = Keys::from_secret(&[1; 32]).unwrap();
        JobRequest::from_event(builder.build().sign(&customer, Timestamp::from_seconds(1))).unwrap()
    }

    fn guard(limit: u64) -> PaymentGuard {
        let payer = |_: String, _: u64| async { Ok::<(), WalletError>(()) };
        PaymentGuard::new(Some(Arc::new(payer)), limit)
    }

    fn authorize(guard: &mut PaymentGuard, amount: Option<&Amount>) -> Result<u64, PaymentRefusal> {
        let payment = guard.authorize(&request(&[&provider()]), &provider().public_key(), amount);
        payment.map(|payment| payment.msat)
    }

    #[test]
    fn pays_what_is_asked_for_up_to_the_limit() {
        let amount = Amount::new(21_000).invoice(invoice(21, "a job"));
        assert_eq!(authorize(&mut guard(21_000), Some(&amount)), Ok(21_000));
        let refused = PaymentRefusal::TooMuch { msat: 21_000, limit: 20_999 };
        assert_eq!(authorize(&mut guard(20_999), Some(&amount)), Err(refused));
    }

    #[test]
    fn pays_no_invoice_that_is_over_more_than_is_said() {
        for sat in [2, 20_000_000] {
            let amount = Amount::new(1_000).invoice(invoice(sat, "a job"));
            let refused = authorize(&mut guard(u64::MAX), Some(&amount));
            assert_eq!(refused, Err(PaymentRefusal::Mismatch { msat: 1_000 }), "{sat} sat");
        }
        for text in ["lnbc10n1pvjluez", "nonsense", ""] {
            let refused = authorize(&mut guard(u64::MAX), Some(&Amount::new(1_000).invoice(text)));
            assert!(matches!(refused, Err(PaymentRefusal::NotAnInvoice { .. })), "{text}");
        }
        let any = WrittenInvoice::new("lnbc", &[7; 32], "whatever you like").encode();
        assert_eq!(authorize(&mut guard(1_000), Some(&Amount::new(1_000).invoice(&any))), Ok(1_000));
        assert!(authorize(&mut guard(1_000), Some(&Amount::new(0).invoice(&any))).is_err());
    }

    #[test]
    fn pays_once() {
        let mut guard = guard(50_000);
        let amount = Amount::new(21_000).invoice(invoice(21, "a job"));
        assert_eq!(authorize(&mut guard, Some(&amount)), Ok(21_000));
        assert_eq!(authorize(&mut guard, Some(&amount)), Err(PaymentRefusal::Paid));
    }

    #[test]
    fn pays_only_who_was_asked_and_only_by_invoice() {
        let amount = Amount::new(1_000).invoice(invoice(1, "a job"));
        let stranger = Keys::from_secret(&[3; 32]).unwrap().public_key();
        for asked in [request(&[]), request(&[&provider()])] {
            let refused = guard(1_000).authorize(&asked, &stranger, Some(&amount)).map(|_| ());
            assert_eq!(refused, Err(PaymentRefusal::NotNamed));
        }
        assert_eq!(authorize(&mut guard(1_000), None), Err(PaymentRefusal::NoInvoice));
        assert_eq!(authorize(&mut guard(1_000), Some(&Amount::new(1_000))), Err(PaymentRefusal::NoInvoice));
        assert_eq!(
            authorize(&mut PaymentGuard::new(None, 1_000), Some(&amount)),
            Err(PaymentRefusal::NoWallet)
        );
    }
}
