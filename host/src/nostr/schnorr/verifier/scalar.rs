//! Scalars: numbers modulo the order of the curve's group.

/// The order of the curve's group.
const ORDER: Scalar = Scalar { high: u128::MAX - 1, low: 0xbaae_dce6_af48_a03b_bfd2_5e8c_d036_4141 };

/// A number below the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scalar {
    pub(super) high: u128,
    pub(super) low: u128,
}

impl Scalar {
    /// The number with these bytes, big-endian, without reduction.
    fn from_any_bytes(bytes: &[u8; 32]) -> Self {
        let (halves, _) = bytes.as_chunks::<16>();
        match halves {
            [high, low] => Self { high: u128::from_be_bytes(*high), low: u128::from_be_bytes(*low) },
            _ => Self { high: 0, low: 0 },
        }
    }

    /// The number with these bytes; `None` if it is not below the order.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let scalar = Self::from_any_bytes(bytes);
        (scalar < ORDER).then_some(scalar)
    }

    /// The number with these bytes modulo the order.
    pub(super) fn reduced_from(bytes: &[u8; 32]) -> Self {
        let scalar = Self::from_any_bytes(bytes);
        // The number is below twice the order.
        if scalar < ORDER { scalar } else { scalar.minus(ORDER) }
    }

    /// The negation modulo the order.
    pub(super) fn negated(self) -> Self {
        if self == (Self { high: 0, low: 0 }) { self } else { ORDER.minus(self) }
    }

    /// The difference modulo 2^256.
    const fn minus(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high.wrapping_sub(other.high).wrapping_sub(borrow as u128), low }
    }

    /// The sum modulo 2^256.
    const fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high.wrapping_add(other.high).wrapping_add(carry as u128), low }
    }

    /// The product with `other`, shifted right by 384 bits and rounded.
    const fn times_shifted(self, other: Self) -> u128 {
        let middle = product(self.high, other.low);
        let other_middle = product(self.low, other.high);
        let (sum, carry) = middle.low.overflowing_add(other_middle.low);
        let (_, other_carry) = sum.overflowing_add(product(self.low, other.low).high);
        let carries = (carry as u128).wrapping_add(other_carry as u128);
        let top = product(self.high, other.high)
            .plus(Self { high: 0, low: middle.high })
            .plus(Self { high: 0, low: other_middle.high })
            .plus(Self { high: 0, low: carries });
        top.high.wrapping_add(top.low >> 127)
    }

    /// Two numbers of at most 128 bits, with their signs, such that the first plus λ times the second is this number.
    ///
    /// Guide to Elliptic Curve Cryptography (Hankerson, Menezes, Vanstone), algorithm 3.74. The lattice's short vectors are
    /// (A1, -B1) and (A2, A1).
    pub(super) const fn split(self) -> [Half; 2] {
        const A1: u128 = 0x3086_d221_a7d4_6bcd_e86c_90e4_9284_eb15;
        const B1: u128 = 0xe443_7ed6_010e_8828_6f54_7fa9_0abf_e4c3;
        /// Without the highest bit, 2^128.
        const A2: u128 = 0x14ca_50f7_a8e2_f3f6_57c1_108d_9d44_cfd8;
        /// 2^384 times A1 and B1, divided by the order.
        const G1: Scalar = Scalar {
            high: 0x3086_d221_a7d4_6bcd_e86c_90e4_9284_eb15,
            low: 0x3daa_8a14_71e8_ca7f_e893_209a_45db_b031,
        };
        const G2: Scalar = Scalar {
            high: 0xe443_7ed6_010e_8828_6f54_7fa9_0abf_e4c4,
            low: 0x2212_08ac_9df5_06c6_1571_b4ae_8ac4_7f71,
        };
        let c1 = self.times_shifted(G1);
        let c2 = self.times_shifted(G2);
        let first = self.minus(product(c1, A1)).minus(product(c2, A2)).minus(Self { high: c2, low: 0 });
        let second = product(c1, B1).minus(product(c2, A1));
        [Half::of(first), Half::of(second)]
    }
}

/// The whole product.
#[expect(clippy::cast_possible_truncation, reason = "halves are taken by truncating")]
const fn product(a: u128, b: u128) -> Scalar {
    // Each of the four products is at most 2^128 - 2^65 + 1, which leaves room for the carries.
    let (a1, a0) = (a >> 64, (a as u64) as u128);
    let (b1, b0) = (b >> 64, (b as u64) as u128);
    let low = a0.wrapping_mul(b0);
    let middle = a1.wrapping_mul(b0).wrapping_add(low >> 64);
    let other = a0.wrapping_mul(b1).wrapping_add((middle as u64) as u128);
    Scalar {
        high: a1.wrapping_mul(b1).wrapping_add(middle >> 64).wrapping_add(other >> 64),
        low: other << 64 | (low as u64) as u128,
    }
}

/// A number of at most 128 bits with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) is_negative: bool,
    pub(super) magnitude: u128,
}

impl Half {
    /// The number that equals this one modulo 2^256.
    const fn of(wrapped: Scalar) -> Self {
        if wrapped.high >> 127 == 0 {
            Self { is_negative: false, magnitude: wrapped.low }
        } else {
            Self { is_negative: true, magnitude: wrapped.low.wrapping_neg() }
        }
    }

    pub(super) const fn positive(magnitude: u128) -> Self {
        Self { is_negative: false, magnitude }
    }

    /// The lower and the upper 64 bits, with the same sign.
    pub(super) const fn parts(self) -> [Self; 2] {
        let Self { is_negative, magnitude } = self;
        let (lower, upper) = (magnitude & u64::MAX as u128, magnitude >> 64);
        [Self { is_negative, magnitude: lower }, Self { is_negative, magnitude: upper }]
    }
}

/// A number as a sum of a few odd multiples of powers of two.
#[derive(Debug)]
pub(super) struct Digits {
    /// Zero, or the odd factor of 2^index. There is one more digit than bits, for the last carry.
    digits: [i16; 130],
    length: usize,
}

impl Digits {
    /// Digits with an absolute value below 2^(width - 1), of which at most one in `width` is not zero.
    #[expect(clippy::cast_possible_truncation, reason = "a digit has `width` bits, 12 at most")]
    pub(super) fn of(half: Half, width: u32) -> Self {
        let mut digits = Self { digits: [0; 130], length: 0 };
        let mut rest = half.magnitude;
        let mut place = 0_usize;
        while rest != 0 {
            let zeros = rest.trailing_zeros();
            rest >>= zeros;
            place = place.saturating_add(zeros as usize);
            let low = (rest as i16) & (1_i16 << width).wrapping_sub(1);
            let is_upper = low >> width.saturating_sub(1) != 0;
            let digit = if is_upper { low.wrapping_sub(1 << width) } else { low };
            if let Some(slot) = digits.digits.get_mut(place) {
                *slot = if half.is_negative { digit.wrapping_neg() } else { digit };
            }
            digits.length = place.saturating_add(1);
            rest = (rest >> width).saturating_add(is_upper.into());
            place = place.saturating_add(width as usize);
        }
        digits
    }

    /// The number of digits up to the last one that is not zero.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// The digit at an index, unless it is zero.
    #[inline]
    pub(super) fn at(&self, place: usize) -> Option<i16> {
        self.digits.get(place).copied().filter(|digit| *digit != 0)
    }
}
