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

/// The scalar λ of the endomorphism.
const LAMBDA: Scalar = Scalar {
    high: 0x5363_ad4c_c05c_30e0_a526_1c02_8812_645a,
    low: 0x122e_22ea_2081_6678_df02_967c_1b23_bd72,
};

/// 2^256 minus the order, in limbs of 32 bits.
const BEYOND: [u32; 8] = [0x2fc9_bebf, 0x402d_a173, 0x50b7_5fc4, 0x4551_2319, 1, 0, 0, 0];

impl Scalar {
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let halves = self.high.to_be_bytes().into_iter().chain(self.low.to_be_bytes());
        bytes.iter_mut().zip(halves).for_each(|(to, byte)| *to = byte);
        bytes
    }

    /// This number plus λ times another.
    pub(super) fn plus_lambda_times(self, other: Self) -> Self {
        let mut sum = ScalarSum::default();
        for (place, limb) in other.limbs().into_iter().enumerate() {
            sum.add_at(place, limb, &LAMBDA.limbs());
        }
        sum.add_at(0, 1, &self.limbs());
        sum.reduced()
    }

    /// Limbs of 32 bits, the lowest first.
    #[expect(clippy::cast_possible_truncation, reason = "each limb is taken from the lowest bits")]
    fn limbs(self) -> [u32; 8] {
        let Self { mut high, mut low } = self;
        std::array::from_fn(|_| {
            let limb = low as u32;
            low = low >> 32 | high << 96;
            high >>= 32;
            limb
        })
    }
}

/// The limbs of a [`ScalarSum`].
const SUM_LIMBS: usize = 17;

/// A sum of products of scalars, below 2^544, which is reduced at the end.
#[derive(Clone, Copy, Default)]
pub(super) struct ScalarSum([u32; SUM_LIMBS]);

impl ScalarSum {
    /// Adds a product. The sum has room for 2^200 of them.
    #[expect(clippy::cast_possible_truncation, reason = "each part is taken from the lowest bits")]
    pub(super) fn add_product(&mut self, factor: u64, scalar: Scalar) {
        let limbs = scalar.limbs();
        self.add_at(0, factor as u32, &limbs);
        self.add_at(1, (factor >> 32) as u32, &limbs);
    }

    /// Adds 2^(32 place) times `factor` times a number.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half of a sum is carried")]
    fn add_at(&mut self, place: usize, factor: u32, limbs: &[u32; 8]) {
        let mut carry = 0_u64;
        let limbs = limbs.iter().copied().chain(std::iter::repeat(0));
        for (slot, limb) in self.0.iter_mut().skip(place).zip(limbs) {
            // At most 2^64 - 1.
            let product = u64::from(factor).wrapping_mul(limb.into());
            let sum = product.wrapping_add((*slot).into()).wrapping_add(carry);
            *slot = sum as u32;
            carry = sum >> 32;
        }
    }

    /// The sum modulo the order.
    pub(super) fn reduced(mut self) -> Scalar {
        loop {
            let (lower, upper) = self.0.split_at(8);
            if upper.iter().all(|limb| *limb == 0) {
                break;
            }
            let mut next = Self::default();
            next.0.iter_mut().zip(lower).for_each(|(to, limb)| *to = *limb);
            for (place, limb) in upper.iter().enumerate().filter(|(_, limb)| **limb != 0) {
                next.add_at(place, *limb, &BEYOND);
            }
            self = next;
        }
        let half =
            |limbs: &[u32]| limbs.iter().rev().fold(0_u128, |half, limb| half << 32 | u128::from(*limb));
        let [low, high] =
            [0, 4].map(|first| half(self.0.get(first..).and_then(|rest| rest.get(..4)).unwrap_or_default()));
        let scalar = Scalar { high, low };
        if scalar < ORDER { scalar } else { scalar.minus(ORDER) }
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

/// The two halves of a number shifted right by less than 64 bits.
#[inline]
const fn shifted(low: u64, high: u64, bits: u32) -> (u64, u64) {
    // Two shifts, since one by 64 bits is none.
    (low >> bits | high << 1 << 63_u32.saturating_sub(bits), high >> bits)
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
        // In WebAssembly, shifting 128 bits is a function call.
        let (mut low, mut high) = (half.magnitude as u64, (half.magnitude >> 64) as u64);
        let mut place = 0_usize;
        while low | high != 0 {
            if low == 0 {
                (low, high) = (high, 0);
                place = place.saturating_add(64);
            }
            let zeros = low.trailing_zeros();
            (low, high) = shifted(low, high, zeros);
            place = place.saturating_add(zeros as usize);
            let bits = (low as i16) & (1_i16 << width).wrapping_sub(1);
            let is_upper = bits >> width.saturating_sub(1) != 0;
            let digit = if is_upper { bits.wrapping_sub(1 << width) } else { bits };
            if let Some(slot) = digits.digits.get_mut(place) {
                *slot = if half.is_negative { digit.wrapping_neg() } else { digit };
            }
            digits.length = place.saturating_add(1);
            (low, high) = shifted(low, high, width);
            let (sum, carry) = low.overflowing_add(is_upper.into());
            (low, high) = (sum, high.wrapping_add(carry.into()));
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
