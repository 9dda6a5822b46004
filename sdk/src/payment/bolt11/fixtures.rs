//! Invoices (BOLT 11) that tests write and sign.

#![allow(clippy::arithmetic_side_effects, reason = "the numbers are those of tests")]

use bech32::primitives::iter::{ByteIterExt, Fe32IterExt};
use bech32::{Fe32, Hrp};
use secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use sha2::{Digest, Sha256};

use super::checksum::Bolt11Checksum;
use super::words::Words;
use super::{SIGNATURE_WORDS, signed_hash};

/// An invoice to write, with fields that may be wrong.
#[derive(Clone, Debug)]
pub(crate) struct WrittenInvoice {
    /// `lnbc` and the amount.
    pub(crate) prefix: String,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    /// The letters of the fields, and their words.
    pub(crate) fields: Vec<(char, Vec<u8>)>,
    /// The node that is paid.
    pub(crate) node: SecretKey,
}

impl WrittenInvoice {
    /// An invoice with this payment hash and description. The prefix names the amount, as in `lnbc210n`.
    pub(crate) fn new(prefix: &str, payment_hash: &[u8; 32], description: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            created_at: 1_496_314_658,
            fields: vec![('p', words(payment_hash)), ('d', words(description.as_bytes()))],
            node: SecretKey::from_slice(&[0x11; 32]).unwrap(),
        }
    }

    pub(crate) fn field(mut self, letter: char, words: Vec<u8>) -> Self {
        self.fields.push((letter, words));
        self
    }

    /// The public key of the node that is paid.
    pub(crate) fn payee(&self) -> [u8; 33] {
        PublicKey::from_secret_key(&Secp256k1::signing_only(), &self.node).serialize()
    }

    /// Signs and encodes it.
    pub(crate) fn encode(&self) -> String {
        let mut data: Vec<u8> = (0..7).rev().map(|place| word(self.created_at, place)).collect();
        for (letter, words) in &self.fields {
            data.push(Fe32::from_char(*letter).unwrap().to_u8());
            data.extend([1, 0].map(|place| word(words.len() as u64, place)));
            data.extend(words);
        }
        let hash = signed_hash(&self.prefix, Words(&data));
        let signature =
            Secp256k1::signing_only().sign_ecdsa_recoverable(&Message::from_digest(hash), &self.node);
        let (id, signature) = signature.serialize_compact();
        let mut bytes = signature.to_vec();
        bytes.push(i32::from(id).try_into().unwrap());
        data.extend(words(&bytes));
        encode(&self.prefix, &data)
    }
}

/// An invoice of this amount in satoshis, with a hash that depends on the description.
pub(crate) fn invoice(sat: u64, description: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(description).into();
    WrittenInvoice::new(&format!("lnbc{}n", sat * 10), &hash, description).encode()
}

/// The word of five bits at this place of a number; the last is at 0.
pub(crate) fn word(number: u64, place: u32) -> u8 {
    u8::try_from((number >> (5 * place)) & 31).unwrap()
}

/// The words of five bits of these bytes, the last filled up with zeros.
pub(crate) fn words(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().bytes_to_fes().map(Fe32::to_u8).collect()
}

/// The text of these words, with the right checksum whatever they say.
pub(crate) fn encode(prefix: &str, data: &[u8]) -> String {
    let data = data.iter().map(|word| Fe32::try_from(*word).unwrap());
    data.with_checksum::<Bolt11Checksum>(&Hrp::parse(prefix).unwrap()).chars().collect()
}

/// The prefix and the words of an invoice, without its signature and checksum, and the signature.
pub(crate) fn parts(invoice: &str) -> (String, Vec<u8>, Vec<u8>) {
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bolt11Checksum>(invoice).unwrap();
    let mut words: Vec<u8> = checked.fe32_iter::<std::iter::Empty<u8>>().map(Fe32::to_u8).collect();
    let signature = words.split_off(words.len() - SIGNATURE_WORDS);
    (checked.hrp().to_string(), words, signature)
}
