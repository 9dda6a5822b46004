//! Reads the amount of a Lightning invoice (BOLT 11).

/// Millisatoshis in one bitcoin.
const MSAT_PER_BITCOIN: u64 = 100_000_000_000;

/// The currency prefixes of BOLT 11, longer ones first.
const CURRENCIES: [&str; 5] = ["bcrt", "tbs", "bc", "tb", "sb"];

/// The amount of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvoiceAmount {
    /// An amount in msat.
    Exactly(u64),
    /// The payer chooses the amount.
    Any,
}

/// The text is not a BOLT 11 invoice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an invoice such as lnbc210n1… (BOLT 11)")]
pub(crate) struct NotAnInvoice;

/// The amount of an invoice. Checksum, signature and expiry are checked by the wallet that pays it.
pub(crate) fn amount(invoice: &str) -> Result<InvoiceAmount, NotAnInvoice> {
    let is_bech32 = invoice.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !(invoice.contains(char::is_lowercase) && invoice.contains(char::is_uppercase));
    if !is_bech32 {
        return Err(NotAnInvoice);
    }
    let invoice = invoice.to_ascii_lowercase();
    // The data after the separator contains no `1`.
    let (readable, data) = invoice.rsplit_once('1').ok_or(NotAnInvoice)?;
    if data.is_empty() {
        return Err(NotAnInvoice);
    }
    let currency = readable.strip_prefix("ln").ok_or(NotAnInvoice)?;
    let amount = CURRENCIES.iter().find_map(|name| currency.strip_prefix(name)).ok_or(NotAnInvoice)?;
    if amount.is_empty() {
        return Ok(InvoiceAmount::Any);
    }
    msat(amount).map(InvoiceAmount::Exactly).ok_or(NotAnInvoice)
}

/// Parses an amount in bitcoin with a multiplier: `2500u` is 2500 millionths of a bitcoin.
fn msat(amount: &str) -> Option<u64> {
    let (digits, unit) = match amount.strip_suffix(['m', 'u', 'n', 'p']) {
        Some(digits) => (digits, amount.chars().last()),
        None => (amount, None),
    };
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        None => number.checked_mul(MSAT_PER_BITCOIN),
        Some('m') => number.checked_mul(MSAT_PER_BITCOIN / 1_000),
        Some('u') => number.checked_mul(MSAT_PER_BITCOIN / 1_000_000),
        Some('n') => number.checked_mul(MSAT_PER_BITCOIN / 1_000_000_000),
        // `p` is a tenth of an msat, which cannot be paid in part.
        _ => number.checked_rem(10).filter(|rest| *rest == 0).and_then(|_| number.checked_div(10)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvoiceAmount, amount};

    #[test]
    fn reads_the_amounts_of_bolt_11() {
        for (invoice, msat) in [
            ("lnbc2500u1pvjluez", 250_000_000),
            ("LNBC20M1PVJLUEZ", 2_000_000_000),
            ("lntb20m1pvjluez", 2_000_000_000),
            ("lnbcrt210n1pvjluez", 21_000),
            ("lntbs10n1pvjluez", 1_000),
            ("lnbc9678785340p1pwmna7l", 967_878_534),
            ("lnbc11p", 100_000_000_000),
        ] {
            assert_eq!(amount(invoice), Ok(InvoiceAmount::Exactly(msat)), "{invoice}");
        }
        assert_eq!(amount("lnbc1pvjluez"), Ok(InvoiceAmount::Any));
    }

    #[test]
    fn refuses_what_wallets_could_read_in_another_way() {
        for invoice in [
            "",
            "lnbc",
            "lnbc2500u1",
            "lnbc2500u",
            "lnbc2500x1pvjluez",
            "lnbc02500u1pvjluez",
            "lnbcu1pvjluez",
            "lnbc2500U1pvjluez",
            "lnbc15p1pvjluez",
            "lnbc99999999999999999999m1pvjluez",
            "lnbc99999999999999999m1pvjluez",
            "lnbc2 500u1pvjluez",
            "lightning:lnbc2500u1pvjluez",
            "lnxx2500u1pvjluez",
            "lno1pvjluez",
        ] {
            assert!(amount(invoice).is_err(), "{invoice}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(invoice in r"(ln)?(bc|tb|bcrt)?[0-9]{0,25}[munp]?1?.{0,20}") {
            let _ = amount(&invoice);
        }
    }
}
