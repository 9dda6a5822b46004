//! `TestWallet`: a wallet whose invoices the test pays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::clock::Clock;
use crate::payment::wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};

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
    /// Whether it was paid.
    pub is_paid: bool,
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
            Some(invoice) if invoice.invoice.expires_at > self.clock.now() => {
                invoice.is_paid = true;
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
    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError> {
        let now = self.clock.now();
        let mut books = self.open()?;
        let number = books.invoices.len().saturating_add(1);
        let invoice = Invoice {
            bolt11: format!("lnbcrt-test-{number:04}"),
            payment_hash: format!("{number:064x}"),
            expires_at: now + request.expiry,
        };
        let made = TestInvoice { invoice: invoice.clone(), request: request.clone(), is_paid: false };
        books.invoices.insert(invoice.bolt11.clone(), made);
        Ok(invoice)
    }

    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError> {
        let now = self.clock.now();
        match self.open()?.invoices.get(&invoice.bolt11) {
            Some(known) if known.is_paid => Ok(Settlement::Paid),
            Some(known) if known.invoice.expires_at <= now => Ok(Settlement::Expired),
            Some(_) => Ok(Settlement::Pending),
            None => {
                Err(WalletError::Refused(format!("`{}` is not an invoice of this wallet", invoice.bolt11)))
            }
        }
    }
}
