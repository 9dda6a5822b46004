//! Numbers modulo p as five limbs of 52 bits, for machines that multiply 64 by 64 bits to 128 bits: used natively, where
//! batches of signatures are verified as one sum (feature `batch-verification`).
//!
//! *Magnitude* k means that limbs are at most k·2^52, and the last at most k·(2^48 + 2^39). The first four limbs of a number
//! of magnitude 1 are below 2^52, so that only the last can have a carry, and the number is below 2p.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the bounds are those of the magnitudes, said at each step"
)]

use super::field::{Element, ProductColumns};
use super::inverse::{inverse, repacked};

/// How many limbs a number has.
const LIMBS: usize = 5;

/// The bits of a limb.
const BITS: u32 = 52;

/// 52 ones.
const MASK: u64 = (1 << BITS) - 1;

/// 48 ones, for the last limb.
const LAST_MASK: u64 = (1 << 48) - 1;

/// The limbs of p.
const P: [u64; LIMBS] =
    [0xf_fffe_ffff_fc2f, 0xf_ffff_ffff_ffff, 0xf_ffff_ffff_ffff, 0xf_ffff_ffff_ffff, 0xffff_ffff_ffff];

/// 2^256 - p, which 2^256 is modulo p.
const BEYOND: u64 = 0x1_0000_03d1;

/// 2^260 modulo p, the weight of column 5 + n in column n.
const FOLD: u64 = BEYOND << 4;

/// A number modulo p.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element52([u64; LIMBS]);

impl Element for Element52 {
    type Columns = Columns52;
    type Limbs = [u64; LIMBS];

    const ONE: Self = Self([1, 0, 0, 0, 0]);

    #[inline]
    fn from_any_bytes(bytes: &[u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let [w3, w2, w1, w0] = words else { return Self::ONE };
        let [w0, w1, w2, w3] = [w0, w1, w2, w3].map(|word| u64::from_be_bytes(*word));
        Self([
            w0 & MASK,
            (w0 >> 52 | w1 << 12) & MASK,
            (w1 >> 40 | w2 << 24) & MASK,
            (w2 >> 28 | w3 << 36) & MASK,
            w3 >> 16,
        ])
    }

    fn limbs(&self) -> [u64; LIMBS] {
        self.0
    }

    fn normalized(&self) -> [u64; LIMBS] {
        // The number is below 2p. Adding 2^256 - p reaches 2^256 if and only if it is not below p.
        let mut reduced = carried(self.0, BEYOND);
        let [.., last] = &mut reduced;
        if *last > LAST_MASK {
            *last &= LAST_MASK;
            reduced
        } else {
            self.0
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
        let [a0, a1, a2, a3, a4] = self.0;
        let [b0, b1, b2, b3, b4] = other.0;
        Self([a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4])
    }

    #[inline]
    fn times(&self, factor: u32) -> Self {
        Self(self.0.map(|limb| u64::from(factor) * limb))
    }

    #[inline]
    fn negated(&self) -> Self {
        // No limb of 2p is less than one of magnitude 1.
        let [p0, p1, p2, p3, p4] = P;
        let [a0, a1, a2, a3, a4] = self.0;
        Self([2 * p0 - a0, 2 * p1 - a1, 2 * p2 - a2, 2 * p3 - a3, 2 * p4 - a4])
    }

    #[inline]
    fn carried(&self) -> Self {
        let mut limbs = self.0;
        let [.., last] = &mut limbs;
        // At most 3. A carry is at most 2, so that the last limb is at most 2^48 + 1.
        let beyond = *last >> 48;
        *last &= LAST_MASK;
        Self(carried(limbs, beyond * BEYOND))
    }

    /// By way of limbs of 26 bits, two for each.
    #[expect(clippy::cast_possible_truncation, reason = "halves of limbs have 26 bits")]
    fn inverse(&self) -> Self {
        const HALF: u32 = BITS / 2;
        let [a0, a1, a2, a3, a4] =
            self.normalized().map(|limb| [(limb & ((1 << HALF) - 1)) as u32, (limb >> HALF) as u32]);
        let halves = [a0[0], a0[1], a1[0], a1[1], a2[0], a2[1], a3[0], a3[1], a4[0], a4[1]];
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9] =
            repacked(inverse(repacked(halves, HALF, super::inverse::BITS)), super::inverse::BITS, HALF)
                .map(u64::from);
        Self([a0 | a1 << HALF, a2 | a3 << HALF, a4 | a5 << HALF, a6 | a7 << HALF, a8 | a9 << HALF])
    }
}

/// Adds to the first limb and carries everything above 52 bits to the next limb, except in the last.
#[inline]
fn carried(limbs: [u64; LIMBS], first: u64) -> [u64; LIMBS] {
    let [a0, a1, a2, a3, a4] = limbs;
    let a0 = a0 + first;
    let a1 = a1 + (a0 >> BITS);
    let a2 = a2 + (a1 >> BITS);
    let a3 = a3 + (a2 >> BITS);
    let a4 = a4 + (a3 >> BITS);
    [a0 & MASK, a1 & MASK, a2 & MASK, a3 & MASK, a4]
}

/// A product before reduction: column n has the weight 2^(52 n). Columns are below 2^109, the last two below 2^104 and 2^99.
pub(super) struct Columns52([u128; 2 * LIMBS - 1]);

impl ProductColumns<Element52> for Columns52 {
    #[inline(always)]
    fn product(a: &Element52, b: &Element52) -> Self {
        let [a0, a1, a2, a3, a4] = a.0.map(u128::from);
        let [b0, b1, b2, b3, b4] = b.0.map(u128::from);
        Self([
            a0 * b0,
            a0 * b1 + a1 * b0,
            a0 * b2 + a1 * b1 + a2 * b0,
            a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0,
            a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0,
            a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1,
            a2 * b4 + a3 * b3 + a4 * b2,
            a3 * b4 + a4 * b3,
            a4 * b4,
        ])
    }

    #[inline(always)]
    fn square(a: &Element52) -> Self {
        let [d0, d1, d2, d3, _] = a.0.map(|limb| u128::from(2 * limb));
        let [a0, a1, a2, a3, a4] = a.0.map(u128::from);
        Self([
            a0 * a0,
            d0 * a1,
            d0 * a2 + a1 * a1,
            d0 * a3 + d1 * a2,
            d0 * a4 + d1 * a3 + a2 * a2,
            d1 * a4 + d2 * a3,
            d2 * a4 + a3 * a3,
            d3 * a4,
            a4 * a4,
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
    fn minus(mut self, element: &Element52, times: u32) -> Self {
        let times = u64::from(times);
        for ((column, p), limb) in self.0.iter_mut().zip(P).zip(element.0) {
            *column += u128::from((times + 1) * p - times * limb);
        }
        self
    }

    /// In the order of libsecp256k1's `field_5x52`: `d` sums the columns from the third on and `c` those of the result, so
    /// that each takes up what the other has carried.
    #[inline(always)]
    fn reduced(self) -> Element52 {
        let [p0, p1, p2, p3, p4, p5, p6, p7, p8] = self.0;
        let fold = u128::from(FOLD);
        // Column 8 is folded in two parts, of which the upper is below 2^35: d is below 2^110 in all steps.
        let d = p3 + u128::from(low(p8)) * fold;
        let t3 = low(d) & MASK;
        let d = (d >> 52) + p4 + (p8 >> 64) * (fold << 12);
        let t4 = low(d) & MASK;
        let d = (d >> 52) + p5;
        // What is above 2^256, 56 bits of it at first: 4 of column 4 and 52 of column 5.
        let beyond = (low(d) & MASK) << 4 | t4 >> 48;
        let t4 = t4 & LAST_MASK;
        // Like d, c is below 2^110 in all steps.
        let c = p0 + u128::from(beyond) * u128::from(BEYOND);
        let r0 = low(c) & MASK;
        let d = (d >> 52) + p6;
        let c = (c >> 52) + p1 + u128::from(low(d) & MASK) * fold;
        let r1 = low(c) & MASK;
        // Below 2^105.
        let d = (d >> 52) + p7;
        let c = (c >> 52) + p2 + u128::from(low(d)) * fold;
        let r2 = low(c) & MASK;
        // Below 2^59 + 2^41·2^49 + 2^52, so that less than 2^39 is carried to the last limb.
        let c = (c >> 52) + (d >> 64) * (fold << 12) + u128::from(t3);
        let r3 = low(c) & MASK;
        Element52([r0, r1, r2, r3, low(c >> 52) + t4])
    }
}

/// The lowest 64 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are used by the caller")]
const fn low(wide: u128) -> u64 {
    wide as u64
}

#[cfg(test)]
mod tests {
    use super::{Element, Element52, LAST_MASK, MASK};

    /// The largest limbs of magnitude 1.
    const LARGEST: Element52 = Element52([MASK, MASK, MASK, MASK, LAST_MASK + (1 << 39)]);

    /// The product of two numbers of magnitude 1, added this many times.
    fn added(product: &Element52, times: u32) -> Element52 {
        let sum = (1..times).fold(*product, |sum, _| sum.plus(product).carried());
        sum.multiply(&Element52::ONE)
    }

    /// The bounds of `docs/verification.md`: a column that does not fit panics, since tests check for overflows.
    #[test]
    fn the_largest_limbs_of_every_magnitude_have_the_right_product() {
        let product = Element52(LARGEST.normalized()).multiply(&Element52(LARGEST.normalized()));
        for (j, k) in [(1, 1), (6, 1), (1, 6), (3, 2), (2, 3)] {
            assert!(LARGEST.times(j).multiply(&LARGEST.times(k)).equals(&added(&product, j * k)), "{j}·{k}");
        }
        let twice = LARGEST.times(2);
        assert!(twice.square().equals(&added(&product, 4)));
        assert!(LARGEST.square_thrice().equals(&added(&product, 3)));
        let thrice = LARGEST.times(3);
        let sum = Element52::sum_of_products(&thrice, &LARGEST, &LARGEST, &thrice);
        assert!(sum.equals(&added(&product, 6)));
        let minus = LARGEST.carried().negated().carried();
        let difference = thrice.multiply_minus_times(&twice, &LARGEST, 8);
        let expected = (0..8).fold(added(&product, 6), |sum, _| sum.plus(&minus).carried());
        assert!(difference.equals(&expected));
        let difference = twice.square_minus_minus_twice(&LARGEST, &LARGEST);
        let expected = (0..3).fold(added(&product, 4), |sum, _| sum.plus(&minus).carried());
        assert!(difference.equals(&expected));
        assert!(LARGEST.plus(&LARGEST.negated()).multiply(&Element52::ONE).is_zero());
    }

    /// The limbs of a result are those that the bounds of the next step begin with.
    #[test]
    fn a_result_has_magnitude_1() {
        let mut number = LARGEST;
        for _ in 0..1_000 {
            number = number.times(6).multiply(&LARGEST);
            let [lower @ .., last] = number.0;
            assert!(lower.iter().all(|limb| *limb <= MASK) && last < LARGEST.0[4], "{number:?}");
            let [lower @ .., last] = number.negated().carried().0;
            assert!(lower.iter().all(|limb| *limb <= MASK) && last <= LAST_MASK + 2);
        }
    }
}
