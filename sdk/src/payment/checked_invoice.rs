//! Checks the invoice (BOLT 11) that a wallet's server has made: it must be what was asked for.

use super::bolt11::Bolt11;
use super::wallet::{Invoice, InvoiceRequest, WalletError};

/// The invoice, if it is for exactly the requested price and has the payment hash by which it is to be found.
///
/// # Errors
/// When it is another invoice. The customer never sees it.
pub(super) fn checked_invoice(
    bolt11: String,
    payment_hash: Option<&str>,
    request: &InvoiceRequest,
) -> Result<Invoice, WalletError> {
    let refused = |reason: &str| WalletError::Refused(format!("its invoice cannot be used: {reason}"));
    let parsed = Bolt11::parse(&bolt11).map_err(|error| refused(&error.to_string()))?;
    if parsed.amount() != Some(request.price) {
        return Err(refused("it is for another amount"));
    }
    let hash = base16ct::lower::encode_string(parsed.payment_hash());
    let held = request.hold.as_ref().map(super::wallet::Preimage::payment_hash);
    let is_other = |expected: &str| !expected.eq_ignore_ascii_case(&hash);
    if payment_hash.is_some_and(is_other) || held.as_deref().is_some_and(is_other) {
        return Err(refused("it has another payment hash"));
    }
    Ok(Invoice { payment_hash: hash, expires_at: parsed.expires_at(), bolt11, verify_url: None })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InvoiceRequest, WalletError, checked_invoice};
    use crate::payment::bolt11::fixtures::invoice;
    use crate::price::Price;

    fn request(price: Price) -> InvoiceRequest {
        InvoiceRequest { price, memo: "a job".to_owned(), expiry: Duration::from_secs(900), hold: None }
    }

    #[test]
    fn takes_the_invoice_that_was_asked_for() {
        let bolt11 = invoice(21, "a job");
        let taken = checked_invoice(bolt11.clone(), None, &request(Price::sat(21))).unwrap();
        assert_eq!(taken.bolt11, bolt11);
        assert_eq!(taken.payment_hash.len(), 64);
        let again =
            checked_invoice(bolt11, Some(&taken.payment_hash.to_uppercase()), &request(Price::sat(21)));
        assert_eq!(again, Ok(taken));
    }

    #[test]
    fn refuses_another_amount_or_payment_hash() {
        for price in [Price::sat(20), Price::msat(20_999), Price::msat(21_001), Price::FREE] {
            let refused = checked_invoice(invoice(21, "a job"), None, &request(price));
            assert!(
                matches!(&refused, Err(WalletError::Refused(why)) if why.contains("amount")),
                "{refused:?}"
            );
        }
        let other = "00".repeat(32);
        let refused = checked_invoice(invoice(21, "a job"), Some(&other), &request(Price::sat(21)));
        assert!(matches!(&refused, Err(WalletError::Refused(why)) if why.contains("hash")), "{refused:?}");
        let held = InvoiceRequest {
            hold: Some(super::super::Preimage::from_bytes([9; 32])),
            ..request(Price::sat(21))
        };
        let refused = checked_invoice(invoice(21, "a job"), None, &held);
        assert!(matches!(&refused, Err(WalletError::Refused(why)) if why.contains("hash")), "{refused:?}");
        assert!(checked_invoice("lnbc1".to_owned(), None, &request(Price::sat(21))).is_err());
    }
}
