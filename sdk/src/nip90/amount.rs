//! `Amount`: the `amount` tag of results and feedback.

use openagents_host::nostr::{Event, Tag};

/// The amount that a provider requests. It is only a suggestion unless the status is `payment-required`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The amount, in msat.
    pub msat: u64,
    /// A BOLT 11 invoice for it.
    pub invoice: Option<String>,
}

impl Amount {
    /// An amount in msat, without an invoice: to be paid by zapping the event that requests it.
    #[must_use]
    pub const fn new(msat: u64) -> Self {
        Self { msat, invoice: None }
    }

    /// Adds a BOLT 11 invoice for this amount.
    #[must_use]
    pub fn invoice(mut self, invoice: impl Into<String>) -> Self {
        self.invoice = Some(invoice.into());
        self
    }

    pub(super) fn tag(&self) -> Tag {
        let mut tag = vec!["amount".to_owned(), self.msat.to_string()];
        tag.extend(self.invoice.clone());
        tag
    }

    /// The first `amount` tag of the event that holds a number.
    pub(super) fn of(event: &Event) -> Option<Self> {
        event.tags_named("amount").find_map(|tag| {
            let msat = tag.get(1)?.trim().parse().ok()?;
            Some(Self { msat, invoice: tag.get(2).filter(|invoice| !invoice.is_empty()).cloned() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Amount;
    use crate::nip90::tests::{provider, signed};

    fn read(tags: &[&[&str]]) -> Option<Amount> {
        Amount::of(&signed(&provider(), 6050, "", tags))
    }

    #[test]
    fn reads_the_first_amount_that_is_a_number() {
        assert_eq!(
            read(&[&["amount"], &["amount", "much"], &["amount", " 21000 "]]),
            Some(Amount::new(21_000))
        );
        assert_eq!(read(&[&["amount", "-1"]]), None);
    }

    #[test]
    fn takes_an_empty_invoice_for_none() {
        assert_eq!(read(&[&["amount", "7", ""]]), Some(Amount::new(7)));
        assert_eq!(read(&[&["amount", "7", "lnbc70p1"]]), Some(Amount::new(7).invoice("lnbc70p1")));
    }
}
