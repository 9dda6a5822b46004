//! Fuzzes Lightning invoices (BOLT 11) with a right checksum: an amount, fields and a signature of any kind.

#![no_main]

use bech32::primitives::checksum::Checksum;
use bech32::primitives::iter::Fe32IterExt;
use bech32::{Bech32, Fe32, Hrp};
use libfuzzer_sys::fuzz_target;
use openagents_sdk::payment::Bolt11;

/// That of Bech32, over texts of any length.
enum AnyLength {}

impl Checksum for AnyLength {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32::TARGET_RESIDUE;
}

fuzz_target!(|input: (&str, &[u8])| {
    let (prefix, data) = input;
    let _ = Bolt11::parse(prefix);
    let Ok(prefix) = Hrp::parse(&format!("ln{prefix}").to_ascii_lowercase()) else { return };
    let words = data.iter().map(|word| Fe32::try_from(word & 31).expect("it is below 32"));
    let invoice: String = words.with_checksum::<AnyLength>(&prefix).chars().collect();
    let Ok(read) = Bolt11::parse(&invoice) else { return };
    assert!(invoice.starts_with("lnbc") || invoice.starts_with("lntb") || invoice.starts_with("lnsb"));
    assert!(read.expires_at() >= read.created_at());
    // Capitals are the same invoice.
    assert_eq!(Bolt11::parse(&invoice.to_ascii_uppercase()), Ok(read));
});
