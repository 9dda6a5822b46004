//! Numbers modulo p as nine limbs of 29 bits, for WebAssembly.
//!
//! That is the smallest number of limbs for which the nine products of a column fit into 64 bits, with room for a few
//! additions before: WebAssembly multiplies 64 by 64 bits to 64 bits, and everything wider is a function call.
//!
//! *Magnitude* k means that limbs are at most k·2^29, the last one at most k·2^24 and a carry of at most 2.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the bounds are those of the magnitudes, said at each step"
)]

use super::field::{Element, ProductColumns};
use super::inverse::{inverse, repacked};

/// How many limbs a number has.
const LIMBS: usize = 9;

/// The bits of a limb.
const BITS: u32 = 29;

/// 29 ones.
const MASK: u64 = (1 << BITS) - 1;

/// 24 ones, for the last limb.
const LAST_MASK: u64 = (1 << 24) - 1;

/// The limbs of p.
const P: [u32; LIMBS] = [
    0x1fff_fc2f,
    0x1fff_fff7,
    0x1fff_ffff,
    0x1fff_ffff,
    0x1fff_ffff,
    0x1fff_ffff,
    0x1fff_ffff,
    0x1fff_ffff,
    0x00ff_ffff,
];

/// A number modulo p.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element29([u32; LIMBS]);

impl Element for Element29 {
    type Columns = Columns29;
    type Limbs = [u32; LIMBS];

    const ONE: Self = Self([1, 0, 0, 0, 0, 0, 0, 0, 0]);

    #[inline]
    fn from_any_bytes(bytes: &[u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let [w7, w6, w5, w4, w3, w2, w1, w0] = words else { return Self::ONE };
        let w = [w0, w1, w2, w3, w4, w5, w6, w7].map(|word| u32::from_be_bytes(*word));
        Self([
            w[0] & 0x1fff_ffff,
            (w[0] >> 29 | w[1] << 3) & 0x1fff_ffff,
            (w[1] >> 26 | w[2] << 6) & 0x1fff_ffff,
            (w[2] >> 23 | w[3] << 9) & 0x1fff_ffff,
            (w[3] >> 20 | w[4] << 12) & 0x1fff_ffff,
            (w[4] >> 17 | w[5] << 15) & 0x1fff_ffff,
            (w[5] >> 14 | w[6] << 18) & 0x1fff_ffff,
            (w[6] >> 11 | w[7] << 21) & 0x1fff_ffff,
            w[7] >> 8,
        ])
    }

    fn limbs(&self) -> [u32; LIMBS] {
        self.0
    }

    fn normalized(&self) -> [u32; LIMBS] {
        let whole = carried(self.0, 0, 0);
        // The number is below 2p. Adding 2^256 - p reaches 2^256 if and only if it is not below p.
        let mut reduced = carried(whole, 977, 8);
        let [.., last] = &mut reduced;
        if u64::from(*last) > LAST_MASK {
            *last &= 0x00ff_ffff;
            reduced
        } else {
            whole
        }
    }

    fn is_zero(&self) -> bool {
        // Zero can be represented as 0 or as p. The first limb alone rules out almost all other numbers.
        (self.0[0] == 0 || self.0[0] == P[0]) && self.normalized() == [0; LIMBS]
    }

    fn is_odd(&self) -> bool {
        self.normalized()[0] & 1 == 1
    }

    #[inline]
    fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| limb(&self.0, i) + limb(&other.0, i)))
    }

    #[inline]
    fn times(&self, factor: u32) -> Self {
        Self(self.0.map(|limb| factor * limb))
    }

    #[inline]
    fn negated(&self) -> Self {
        // No limb of 2p is less than one of magnitude 1.
        Self(std::array::from_fn(|i| 2 * limb(&P, i) - limb(&self.0, i)))
    }

    #[inline]
    fn carried(&self) -> Self {
        let [.., last] = self.0;
        // Bits above 2^256 have weight 2^32 + 977.
        let beyond = last >> 24;
        let mut limbs = self.0;
        limbs[LIMBS - 1] &= 0x00ff_ffff;
        Self(carried(limbs, beyond * 977, beyond << 3))
    }

    fn inverse(&self) -> Self {
        let inverse = inverse(repacked(self.normalized(), BITS, super::inverse::BITS));
        Self(repacked(inverse, super::inverse::BITS, BITS))
    }
}

/// A limb by index, written so that a loop over all of them needs no bounds check.
#[inline(always)]
fn limb(limbs: &[u32; LIMBS], index: usize) -> u32 {
    limbs.get(index).copied().unwrap_or_default()
}

/// Adds to the first two limbs and carries everything above 29 bits to the next limb, except in the last.
fn carried(limbs: [u32; LIMBS], first: u32, second: u32) -> [u32; LIMBS] {
    let mut carry = first;
    let mut to_next = second;
    limbs.map(|limb| {
        // The last limb has 24 bits and a carry, so masking does not change it.
        let sum = limb + carry;
        carry = (sum >> 29) + std::mem::take(&mut to_next);
        sum & 0x1fff_ffff
    })
}

/// A product before reduction: column n has the weight 2^(29 n).
pub(super) struct Columns29([u64; 2 * LIMBS - 1]);

impl ProductColumns<Element29> for Columns29 {
    #[inline(always)]
    fn product(a: &Element29, b: &Element29) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8] = a.0.map(u64::from);
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8] = b.0.map(u64::from);
        Self([
            a0 * b0,
            a0 * b1 + a1 * b0,
            a0 * b2 + a1 * b1 + a2 * b0,
            a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0,
            a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0,
            a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0,
            a0 * b6 + a1 * b5 + a2 * b4 + a3 * b3 + a4 * b2 + a5 * b1 + a6 * b0,
            a0 * b7 + a1 * b6 + a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2 + a6 * b1 + a7 * b0,
            a0 * b8 + a1 * b7 + a2 * b6 + a3 * b5 + a4 * b4 + a5 * b3 + a6 * b2 + a7 * b1 + a8 * b0,
            a1 * b8 + a2 * b7 + a3 * b6 + a4 * b5 + a5 * b4 + a6 * b3 + a7 * b2 + a8 * b1,
            a2 * b8 + a3 * b7 + a4 * b6 + a5 * b5 + a6 * b4 + a7 * b3 + a8 * b2,
            a3 * b8 + a4 * b7 + a5 * b6 + a6 * b5 + a7 * b4 + a8 * b3,
            a4 * b8 + a5 * b7 + a6 * b6 + a7 * b5 + a8 * b4,
            a5 * b8 + a6 * b7 + a7 * b6 + a8 * b5,
            a6 * b8 + a7 * b7 + a8 * b6,
            a7 * b8 + a8 * b7,
            a8 * b8,
        ])
    }

    #[inline(always)]
    fn square(a: &Element29) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8] = a.0.map(u64::from);
        let [d0, d1, d2, d3, d4, d5, d6, d7] = [a0, a1, a2, a3, a4, a5, a6, a7].map(|limb| 2 * limb);
        Self([
            a0 * a0,
            d0 * a1,
            d0 * a2 + a1 * a1,
            d0 * a3 + d1 * a2,
            d0 * a4 + d1 * a3 + a2 * a2,
            d0 * a5 + d1 * a4 + d2 * a3,
            d0 * a6 + d1 * a5 + d2 * a4 + a3 * a3,
            d0 * a7 + d1 * a6 + d2 * a5 + d3 * a4,
            d0 * a8 + d1 * a7 + d2 * a6 + d3 * a5 + a4 * a4,
            d1 * a8 + d2 * a7 + d3 * a6 + d4 * a5,
            d2 * a8 + d3 * a7 + d4 * a6 + a5 * a5,
            d3 * a8 + d4 * a7 + d5 * a6,
            d4 * a8 + d5 * a7 + a6 * a6,
            d5 * a8 + d6 * a7,
            d6 * a8 + a7 * a7,
            d7 * a8,
            a8 * a8,
        ])
    }

    #[inline(always)]
    fn thrice(self) -> Self {
        Self(self.0.map(|column| 3 * column))
    }

    #[inline(always)]
    fn plus(mut self, other: &Self) -> Self {
        for (column, other) in self.0.iter_mut().zip(other.0) {
            *column += other;
        }
        self
    }

    #[inline(always)]
    fn minus(mut self, element: &Element29, times: u32) -> Self {
        let times = u64::from(times);
        for ((column, p), limb) in self.0.iter_mut().zip(P).zip(element.0) {
            *column += (times + 1) * u64::from(p) - times * u64::from(limb);
        }
        self
    }

    #[inline(always)]
    fn reduced(self) -> Element29 {
        let [
            mut c0,
            mut c1,
            mut c2,
            mut c3,
            mut c4,
            mut c5,
            mut c6,
            mut c7,
            mut c8,
            mut h0,
            h1,
            h2,
            h3,
            h4,
            h5,
            h6,
            h7,
        ] = self.0;
        // The upper columns are carried to 29 bits each, so that they can be multiplied.
        let h1 = h1 + (h0 >> 29);
        let h2 = h2 + (h1 >> 29);
        let h3 = h3 + (h2 >> 29);
        let h4 = h4 + (h3 >> 29);
        let h5 = h5 + (h4 >> 29);
        let h6 = h6 + (h5 >> 29);
        let h7 = h7 + (h6 >> 29);
        let h8 = h7 >> 29;
        // 2^261 = 2^37 + 31264 modulo p: column 9 + n has weight 31264 in column n and 256 in the next one.
        h0 = (h0 & MASK) + (h8 << 8);
        let [h1, h2, h3, h4, h5, h6, h7] = [h1, h2, h3, h4, h5, h6, h7].map(|column| column & MASK);
        c0 += h0 * 31264;
        c1 += h1 * 31264 + (h0 << 8);
        c2 += h2 * 31264 + (h1 << 8);
        c3 += h3 * 31264 + (h2 << 8);
        c4 += h4 * 31264 + (h3 << 8);
        c5 += h5 * 31264 + (h4 << 8);
        c6 += h6 * 31264 + (h5 << 8);
        c7 += h7 * 31264 + (h6 << 8);
        c8 += h8 * 31264 + (h7 << 8);
        c1 += c0 >> 29;
        c2 += c1 >> 29;
        c3 += c2 >> 29;
        c4 += c3 >> 29;
        c5 += c4 >> 29;
        c6 += c5 >> 29;
        c7 += c6 >> 29;
        c8 += c7 >> 29;
        // Bits above 2^256, at most 40 of them, have weight 2^32 + 977.
        let beyond = c8 >> 24;
        c0 = (c0 & MASK) + beyond * 977;
        c1 = (c1 & MASK) + (beyond << 3) + (c0 >> 29);
        c2 = (c2 & MASK) + (c1 >> 29);
        c3 = (c3 & MASK) + (c2 >> 29);
        Element29([
            low(c0 & MASK),
            low(c1 & MASK),
            low(c2 & MASK),
            low(c3),
            low(c4 & MASK),
            low(c5 & MASK),
            low(c6 & MASK),
            low(c7 & MASK),
            low(c8 & LAST_MASK),
        ])
    }
}

/// A column below 2^32 as a limb.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the callers mask it")]
const fn low(column: u64) -> u32 {
    column as u32
}
