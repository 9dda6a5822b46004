//! The checksum of BOLT 11: that of Bech32 (BIP-173), over texts of any length.

use bech32::Bech32;
use bech32::primitives::checksum::Checksum;

/// Bech32's own is for at most 1,023 characters, up to which it finds errors well; invoices are longer.
pub(super) enum Bolt11Checksum {}

impl Checksum for Bolt11Checksum {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    const CODE_LENGTH: usize = super::MAX_LENGTH;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32::TARGET_RESIDUE;
}
