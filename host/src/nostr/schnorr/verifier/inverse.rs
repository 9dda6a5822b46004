//! The inverse modulo p by division steps.
//!
//! Bernstein and Yang, "Fast constant-time gcd computation and modular inversion" (2019), in the variant of
//! libsecp256k1's `modinv32`, in variable time, since nothing here is secret. Starting with f = p and g = the number, each
//! step halves g, after adding f to it or exchanging the two where g is odd. At the end g is 0 and f is 1 or -1. What
//! happens to f and g happens to d and e as well, which are at first 0 and 1, but modulo p: d times the number is always
//! f, and e times the number is always g. So at the end d, with the sign of f, is the inverse.
//!
//! Thirty steps at a time are found from the lowest 30 bits of f and g, as four factors that are then applied to the whole
//! numbers. A number is nine limbs of 30 bits, of which the last has a sign.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the bounds are said at each function; limbs are taken from the lowest bits"
)]

type Limbs = [i32; 9];

/// The bits of a limb.
pub(super) const BITS: u32 = 30;

/// 30 ones.
const MASK: i32 = (1 << BITS) - 1;

/// p = 2^256 - 2^32 - 977. Its limbs may have signs.
const P: Limbs = [-0x3d1, -4, 0, 0, 0, 0, 0, 0, 1 << 16];

/// The inverse of p modulo 2^30.
const INVERSE_OF_P: i32 = 0x2dda_cacf;

/// The inverse of a number below p; that of zero is zero.
pub(super) fn inverse(number: [u32; 9]) -> [u32; 9] {
    let mut f = P;
    let mut g = number.map(u32::cast_signed);
    let (mut d, mut e): (Limbs, Limbs) = ([0; 9], [1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut eta = -1;
    while g != [0; 9] {
        let Steps { u, v, q, r } = Steps::of(&mut eta, f[0], g[0]);
        (d, e) = (combined_modulo_p(u, &d, v, &e), combined_modulo_p(q, &d, r, &e));
        (f, g) = (combined(u, &f, v, &g), combined(q, &f, r, &g));
    }
    // d is between -2p and p.
    let is_negated = f[8] < 0;
    if d[8] < 0 {
        d = plus_p(&d);
    }
    if is_negated {
        d = negated(&d);
    }
    while d[8] < 0 {
        d = plus_p(&d);
    }
    d.map(i32::cast_unsigned)
}

/// What 30 division steps do to f and g: 2^30 f' = u f + v g and 2^30 g' = q f + r g. |u| + |v| and |q| + |r| are at most
/// 2^30.
struct Steps {
    u: i32,
    v: i32,
    q: i32,
    r: i32,
}

impl Steps {
    /// The steps for the lowest bits of f and g. `eta` is the negation of the paper's δ, and between -600 and 600.
    fn of(eta: &mut i32, f: i32, g: i32) -> Self {
        let (mut u, mut v, mut q, mut r) = (1_i32, 0_i32, 0_i32, 1_i32);
        let (mut f, mut g) = (f.cast_unsigned(), g.cast_unsigned());
        let mut left = BITS;
        loop {
            // All steps in which g is even, but no more than are left.
            let zeros = (g | u32::MAX.checked_shl(left).unwrap_or(0)).trailing_zeros();
            g = g.wrapping_shr(zeros);
            u = u.wrapping_shl(zeros);
            v = v.wrapping_shl(zeros);
            *eta -= zeros.cast_signed();
            left -= zeros;
            if left == 0 {
                return Self { u, v, q, r };
            }
            let exchanges = *eta < 0;
            if exchanges {
                *eta = -*eta;
                (f, g) = (g, f.wrapping_neg());
                (u, q) = (q, u.wrapping_neg());
                (v, r) = (r, v.wrapping_neg());
            }
            // A multiple of f is added that clears several bits of g: no more than may be cleared before the next
            // exchange, and than f's inverse has been computed for.
            let limit = left.min(eta.unsigned_abs() + 1);
            let ones = u32::MAX >> (32 - limit);
            let factor = if exchanges {
                f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & ones & 0b11_1111
            } else {
                let inverse = f.wrapping_add((f.wrapping_add(1) & 4) << 1);
                inverse.wrapping_neg().wrapping_mul(g) & ones & 0b1111
            };
            g = g.wrapping_add(f.wrapping_mul(factor));
            q = q.wrapping_add(u.wrapping_mul(factor.cast_signed()));
            r = r.wrapping_add(v.wrapping_mul(factor.cast_signed()));
        }
    }
}

/// (a x + b y) / 2^30, if 2^30 divides it. A column is below 2^60 and a carry below 2^32.
#[inline(always)]
fn combined(a: i32, x: &Limbs, b: i32, y: &Limbs) -> Limbs {
    let (a, b) = (i64::from(a), i64::from(b));
    shifted(x.iter().zip(y).map(|(x, y)| a * i64::from(*x) + b * i64::from(*y)))
}

/// (a x + b y + m p) / 2^30 modulo p, where m makes the division possible. x and y are between -2p and p, and so is the
/// result. A column is below 2^61.
#[inline(always)]
fn combined_modulo_p(a: i32, x: &Limbs, b: i32, y: &Limbs) -> Limbs {
    // Adds p once for each negative factor's worth, so that the result is again between -2p and p.
    let m = (a & (x[8] >> 31)) + (b & (y[8] >> 31));
    let (a, b) = (i64::from(a), i64::from(b));
    let lowest = (a * i64::from(x[0]) + b * i64::from(y[0])) as i32;
    let m = i64::from(m - (INVERSE_OF_P.wrapping_mul(lowest).wrapping_add(m) & MASK));
    let columns = x.iter().zip(y).zip(P);
    shifted(columns.map(|((x, y), p)| a * i64::from(*x) + b * i64::from(*y) + m * i64::from(p)))
}

/// The sum of columns of weight 2^(30 i), divided by 2^30. The lowest 30 bits are zero.
#[inline(always)]
fn shifted(columns: impl Iterator<Item = i64>) -> Limbs {
    let mut carry = 0;
    let mut limbs = [0; 9];
    let carried = columns.map(|column| {
        carry = (carry >> BITS) + column;
        carry as i32 & MASK
    });
    for (limb, value) in limbs.iter_mut().zip(carried.skip(1)) {
        *limb = value;
    }
    limbs[8] = (carry >> BITS) as i32;
    limbs
}

fn plus_p(number: &Limbs) -> Limbs {
    let mut limbs = number.iter().zip(P).map(|(limb, p)| limb + p);
    carried(std::array::from_fn(|_| limbs.next().unwrap_or(0)))
}

fn negated(number: &Limbs) -> Limbs {
    carried(number.map(|limb| -limb))
}

/// Limbs between 0 and 2^30, except for the last, which has the sign.
fn carried(number: Limbs) -> Limbs {
    let mut carry = 0;
    let mut limbs = number.map(|limb| {
        carry = (carry >> BITS) + limb;
        carry & MASK
    });
    limbs[8] = carry;
    limbs
}

/// The same number, of at most 256 bits, in limbs of so many other bits, 31 at most.
pub(super) fn repacked<const N: usize, const M: usize>(limbs: [u32; N], from: u32, to: u32) -> [u32; M] {
    let mut limbs = limbs.into_iter();
    let (mut bits, mut count) = (0_u64, 0);
    std::array::from_fn(|_| {
        while count < to {
            bits |= u64::from(limbs.next().unwrap_or(0)) << count;
            count += from;
        }
        let limb = (bits & ((1 << to) - 1)) as u32;
        bits >>= to;
        count -= to;
        limb
    })
}
