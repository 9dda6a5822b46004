//! `TestWallet`: a wallet whose invoices the test pays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::clock::Clock;
use crate::payment::wallet::{
    Invoice, InvoiceRequest, Preimage, Settlement, Wallet, WalletError, WalletFeatures,
};

/// A wallet whose invoices the test pays. Clones are the same wallet.
#[derive(Clone, Debug)]
pub struct TestWallet {
    clock: Clock,
    books: Arc<Mutex<WalletState>>,
}

#[derive(Debug, Default)]
struct WalletState {
    /// By their encoded text; the numbers in it have a fixed width.
    invoices: BTreeMap<String, TestInvoice>,
    out_of_order: Option<String>,
}

/// An invoice of a [`TestWallet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestInvoice {
    /// The invoice: `lnbcrt-test-0001` and so on, which only this wallet can read.
    pub invoice: Invoice,
    /// The request for which it was created.
    pub request: InvoiceRequest,
    /// What has become of it: a payment of a hold invoice is [`Held`](Settlement::Held) until the job has ended.
    pub settlement: Settlement,
}

impl TestWallet {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, books: Arc::default() }
    }

    /// All invoices, oldest first.
    #[must_use]
    pub fn invoices(&self) -> Vec<TestInvoice> {
        self.books().invoices.values().cloned().collect()
    }

    /// Pays an invoice. Returns whether it belongs to this wallet and could still be paid.
    pub fn pay(&self, bolt11: &str) -> bool {
        match self.books().invoices.get_mut(bolt11) {
            Some(invoice)
                if invoice.settlement == Settlement::Pending
                    && invoice.invoice.expires_at > self.clock.now() =>
            {
                let is_hold = invoice.request.hold.is_some();
                invoice.settlement = if is_hold { Settlement::Held } else { Settlement::Paid };
                true
            }
            _ => false,
        }
    }

    /// Makes the wallet unreachable, with this reason.
    pub fn break_down(&self, reason: impl Into<String>) {
        self.books().out_of_order = Some(reason.into());
    }

    /// Makes the wallet reachable again.
    pub fn repair(&self) {
        self.books().out_of_order = None;
    }

    /// Ends a hold invoice, if it is in one of these states.
    fn end_hold(&self, invoice: &Invoice, from: &[Settlement], to: Settlement) -> Result<(), WalletError> {
        let mut books = self.open()?;
        match books.invoices.get_mut(&invoice.bolt11) {
            Some(known) if known.settlement == to => Ok(()),
            Some(known) if from.contains(&known.settlement) => {
                known.settlement = to;
                Ok(())
            }
            _ => Err(WalletError::Refused(format!("`{}` is not held", invoice.bolt11))),
        }
    }

    fn books(&self) -> MutexGuard<'_, WalletState> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, WalletState>, WalletError> {
        let books = self.books();
        match &books.out_of_order {
            Some(reason) => Err(WalletError::Unreachable(reason.clone())),
            None => Ok(books),
        }
    }
}

#[async_trait]
impl Wallet for TestWallet {
    fn features(&self) -> WalletFeatures {
        WalletFeatures::new("test").with_hold_invoices()
    }

    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError> {
        let now = self.clock.now();
        let mut books = self.open()?;
        let number = books.invoices.len().saturating_add(1);
        let invoice = Invoice {
            bolt11: format!("lnbcrt-test-{number:04}"),
            payment_hash: match &request.hold {
                Some(preimage) => preimage.payment_hash(),
                None => format!("{number:064x}"),
            },
            expires_at: now + request.expiry,
            verify_url: None,
        };
        let made = TestInvoice {
            invoice: invoice.clone(),
            request: request.clone(),
            settlement: Settlement::Pending,
        };
        books.invoices.insert(invoice.bolt11.clone(), made);
        Ok(invoice)
    }

    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let now = self.clock.now();
        match self.open()?.invoices.get(&invoice.bolt11) {
            Some(known) if known.settlement == Settlement::Pending && known.invoice.expires_at <= now => {
                Ok(Settlement::Expired)
            }
            Some(known) => Ok(known.settlement),
            None => {
                Err(WalletError::Refused(format!("`{}` is not an invoice of this wallet", invoice.bolt11)))
            }
        }
    }

    async fn settle(&self, invoice: &Invoice, preimage: &Preimage) -> Result<(), WalletError> {
        if preimage.payment_hash() != invoice.payment_hash {
            return Err(WalletError::Refused("this is not the preimage of the invoice".to_owned()));
        }
        self.end_hold(invoice, &[Settlement::Held], Settlement::Paid)
    }

    async fn cancel(&self, invoice: &Invoice) -> Result<(), WalletError> {
        self.end_hold(invoice, &[Settlement::Held, Settlement::Pending], Settlement::Expired)
    }
}
