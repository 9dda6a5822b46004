//! `Bolt11`: a Lightning invoice (BOLT 11) whose checksum and signature have been verified.

mod checksum;
#[cfg(test)]
pub(crate) mod fixtures;
mod signature;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use bech32::primitives::decode::CheckedHrpstring;
use openagents_host::Timestamp;
use sha2::{Digest, Sha256};

use crate::price::Price;
use checksum::Bolt11Checksum;
use words::Words;

/// The longest invoice that is read: what fits into a QR code, as in other implementations.
const MAX_LENGTH: usize = 7_089;

/// Of an invoice that names none.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(3_600);

/// Millisatoshis in one bitcoin.
const MSAT_PER_BITCOIN: u64 = 100_000_000_000;

/// Words of five bits: the time at which the invoice was made.
const TIME_WORDS: usize = 7;
/// Words of five bits: 64 bytes, and one more that says which key it recovers.
const SIGNATURE_WORDS: usize = 104;
/// The length of a field that is a hash of 32 bytes.
const HASH_WORDS: usize = 52;
/// The length of a field that is a compressed public key.
const KEY_WORDS: usize = 53;

/// A Lightning invoice, verified: its checksum is right, and it is signed by its payee.
///
/// ```
/// use openagents_sdk::payment::{Bolt11, Bolt11Error};
///
/// assert_eq!(Bolt11::parse("lnbc1"), Err(Bolt11Error::Encoding));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bolt11 {
    network: BitcoinNetwork,
    amount: Option<Price>,
    created_at: Timestamp,
    expiry: Duration,
    payment_hash: [u8; 32],
    description: InvoiceDescription,
    payee: [u8; 33],
}

/// The network on which an invoice is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BitcoinNetwork {
    /// `lnbc…`.
    Mainnet,
    /// `lntb…`.
    Testnet,
    /// `lntbs…`.
    Signet,
    /// `lnbcrt…`.
    Regtest,
    /// `lnsb…`.
    Simnet,
}

impl BitcoinNetwork {
    /// Longer prefixes first: `bcrt` is not `bc` with an amount.
    const PREFIXES: [(&'static str, Self); 5] = [
        ("bcrt", Self::Regtest),
        ("tbs", Self::Signet),
        ("bc", Self::Mainnet),
        ("tb", Self::Testnet),
        ("sb", Self::Simnet),
    ];
}

/// What an invoice is for. It has exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvoiceDescription {
    /// A text.
    Text(String),
    /// The SHA-256 of a text that is told elsewhere.
    Hash([u8; 32]),
}

/// Why a text is no invoice that can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bolt11Error {
    /// It is not Bech32, or its checksum is wrong.
    #[error("expected an invoice such as lnbc210n1… (BOLT 11): this one is mistyped or cut off")]
    Encoding,
    /// It is longer than any invoice.
    #[error("an invoice has at most {MAX_LENGTH} characters")]
    TooLong,
    /// It does not begin with `ln` and a known network.
    #[error("expected an invoice that begins with lnbc, lntb, lntbs or lnbcrt (BOLT 11)")]
    Network,
    /// The amount cannot be read, or is not a whole number of millisatoshis.
    #[error("the amount of the invoice is not a number of millisatoshis")]
    Amount,
    /// A required field is missing, or there more than once.
    #[error("the invoice has no {field}, or more than one")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The description is not UTF-8.
    #[error("the description of the invoice is not text")]
    Description,
    /// It is not signed by its payee.
    #[error("the signature of the invoice is wrong")]
    Signature,
}

impl Bolt11 {
    /// Reads and verifies an invoice.
    ///
    /// # Errors
    /// When it is not an invoice, or its checksum or signature is wrong.
    pub fn parse(text: &str) -> Result<Self, Bolt11Error> {
        if text.len() > MAX_LENGTH {
            return Err(Bolt11Error::TooLong);
        }
        let encoded = CheckedHrpstring::new::<Bolt11Checksum>(text).map_err(|_| Bolt11Error::Encoding)?;
        // The signature is over lowercase letters, and capitals are read alike.
        let prefix = encoded.hrp().to_string().to_ascii_lowercase();
        let (network, amount) = read_prefix(&prefix)?;
        let words: Vec<u8> = encoded.fe32_iter::<std::iter::Empty<u8>>().map(u8::from).collect();
        let end = words.len().checked_sub(SIGNATURE_WORDS).ok_or(Bolt11Error::Encoding)?;
        let (data, signature) = words.split_at_checked(end).ok_or(Bolt11Error::Encoding)?;
        let (time, fields) = data.split_at_checked(TIME_WORDS).ok_or(Bolt11Error::Encoding)?;
        let fields = InvoiceFields::read(Words(fields))?;
        let signature = Words(signature).bytes();
        let signed = signed_hash(&prefix, Words(data));
        let payee = match fields.payee {
            Some(payee) => signature::verify(&signed, &signature, &payee).map(|()| payee),
            None => signature::recover(&signed, &signature),
        };
        Ok(Self {
            network,
            amount,
            created_at: Timestamp::from_seconds(Words(time).number().unwrap_or(u64::MAX)),
            expiry: fields.expiry.unwrap_or(DEFAULT_EXPIRY),
            payment_hash: fields.payment_hash,
            description: fields.description,
            payee: payee.map_err(|_| Bolt11Error::Signature)?,
        })
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> BitcoinNetwork {
        self.network
    }

    /// The amount; `None` if the payer chooses it.
    #[must_use]
    pub const fn amount(&self) -> Option<Price> {
        self.amount
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Until when it can be paid.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.created_at + self.expiry
    }

    /// The SHA-256 of the preimage, which the payer learns by paying.
    #[must_use]
    pub const fn payment_hash(&self) -> &[u8; 32] {
        &self.payment_hash
    }

    /// What it is for.
    #[must_use]
    pub const fn description(&self) -> &InvoiceDescription {
        &self.description
    }

    /// The public key of the node that is paid, compressed.
    #[must_use]
    pub const fn payee(&self) -> &[u8; 33] {
        &self.payee
    }
}

/// The fields that are read, each told by a letter of Bech32.
struct InvoiceFields {
    payment_hash: [u8; 32],
    description: InvoiceDescription,
    expiry: Option<Duration>,
    payee: Option<[u8; 33]>,
}

impl InvoiceFields {
    fn read(mut words: Words<'_>) -> Result<Self, Bolt11Error> {
        let (mut payment_hash, mut description, mut expiry, mut payee) = (None, None, None, None);
        let is_first = |is_first: bool, field| is_first.then_some(()).ok_or(Bolt11Error::Field { field });
        while !words.0.is_empty() {
            let (tag, field) = words.take_field().ok_or(Bolt11Error::Encoding)?;
            // InvoiceFields of another length, and unknown ones, are skipped.
            match (tag, field.0.len()) {
                (b'p', HASH_WORDS) => {
                    is_first(payment_hash.is_none(), "payment hash")?;
                    payment_hash = field.array();
                }
                (b'd', _) => {
                    is_first(description.is_none(), "description")?;
                    let text = String::from_utf8(field.bytes()).map_err(|_| Bolt11Error::Description)?;
                    description = Some(InvoiceDescription::Text(text));
                }
                (b'h', HASH_WORDS) => {
                    is_first(description.is_none(), "description")?;
                    description = field.array().map(InvoiceDescription::Hash);
                }
                (b'x', _) if expiry.is_none() => {
                    expiry = Some(Duration::from_secs(field.number().unwrap_or(u64::from(u32::MAX))));
                }
                (b'n', KEY_WORDS) if payee.is_none() => payee = field.array(),
                _ => {}
            }
        }
        Ok(Self {
            payment_hash: payment_hash.ok_or(Bolt11Error::Field { field: "payment hash" })?,
            description: description.ok_or(Bolt11Error::Field { field: "description" })?,
            expiry,
            payee,
        })
    }
}

/// The hash that is signed: of the prefix, and the data padded to whole bytes.
fn signed_hash(prefix: &str, data: Words<'_>) -> [u8; 32] {
    Sha256::new().chain_update(prefix).chain_update(data.padded_bytes()).finalize().into()
}

/// The network and amount in what precedes the last `1`.
fn read_prefix(prefix: &str) -> Result<(BitcoinNetwork, Option<Price>), Bolt11Error> {
    let prefix = prefix.strip_prefix("ln").ok_or(Bolt11Error::Network)?;
    let known = BitcoinNetwork::PREFIXES
        .into_iter()
        .find_map(|(currency, network)| prefix.strip_prefix(currency).map(|amount| (network, amount)));
    let (network, amount) = known.ok_or(Bolt11Error::Network)?;
    if amount.is_empty() {
        return Ok((network, None));
    }
    if !amount.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Bolt11Error::Network);
    }
    let msat = msat(amount).ok_or(Bolt11Error::Amount)?;
    Ok((network, Some(Price::msat(msat))))
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
