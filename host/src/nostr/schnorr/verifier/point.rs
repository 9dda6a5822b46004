//! Points of the curve y² = x³ + 7, and their multiples.

use super::field::Element;

/// A point other than the one at infinity. The coordinates have magnitude 1, a negated point's `y` magnitude 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine<E> {
    pub(super) x: E,
    pub(super) y: E,
}

/// The coordinates of the generator G.
const GENERATOR: [[u8; 32]; 2] = [
    [
        0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02,
        0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
    ],
    [
        0x48, 0x3a, 0xda, 0x77, 0x26, 0xa3, 0xc4, 0x65, 0x5d, 0xa4, 0xfb, 0xfc, 0x0e, 0x11, 0x08, 0xa8, 0xfd,
        0x17, 0xb4, 0x48, 0xa6, 0x85, 0x54, 0x19, 0x9c, 0x47, 0xd0, 0x8f, 0xfb, 0x10, 0xd4, 0xb8,
    ],
];

/// A cube root of 1. Multiplying `x` by it multiplies the point by λ, which allows a scalar to be split in two halves.
const BETA: [u8; 32] = [
    0x7a, 0xe9, 0x6a, 0x2b, 0x65, 0x7c, 0x07, 0x10, 0x6e, 0x64, 0x47, 0x9e, 0xac, 0x34, 0x34, 0xe9, 0x9c,
    0xf0, 0x49, 0x75, 0x12, 0xf5, 0x89, 0x95, 0xc1, 0x39, 0x6c, 0x28, 0x71, 0x95, 0x01, 0xee,
];

/// p - 7.
const MINUS_SEVEN: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xfc, 0x28,
];

impl<E: Element> Affine<E> {
    pub(super) fn generator() -> Self {
        let [x, y] = &GENERATOR;
        Self { x: E::from_any_bytes(x), y: E::from_any_bytes(y) }
    }

    /// The point with this `x` and an even `y`, if there is one (BIP-340's `lift_x`).
    pub(super) fn lift(x: &E) -> Option<Self> {
        Some(Self::even(x, &square_of_y(x).square_root()?))
    }

    /// The same for many at once.
    pub(super) fn lift_all(all_x: &[E]) -> Vec<Option<Self>> {
        let squares: Vec<E> = all_x.iter().map(square_of_y).collect();
        let (fours, rest) = squares.as_chunks::<4>();
        let roots = fours.iter().flat_map(E::square_roots).chain(rest.iter().map(E::square_root));
        all_x.iter().zip(roots).map(|(x, root)| root.map(|root| Self::even(x, &root))).collect()
    }

    /// The point with this `x`, and this `y` or its negation.
    fn even(x: &E, y: &E) -> Self {
        Self { x: *x, y: if y.is_odd() { y.negated().carried() } else { *y } }
    }

    pub(super) fn negated(&self) -> Self {
        Self { x: self.x, y: self.y.negated() }
    }

    /// The same point; a negated point's `y` is reduced to magnitude 1.
    pub(super) fn reduced(&self) -> Self {
        Self { x: self.x, y: self.y.carried() }
    }

    /// λ times the point.
    fn endomorphism(&self) -> Self {
        Self { x: self.x.multiply(&E::from_any_bytes(&BETA)), y: self.y }
    }
}

/// x³ + 7.
fn square_of_y<E: Element>(x: &E) -> E {
    x.square().multiply_minus(x, &E::from_any_bytes(&MINUS_SEVEN))
}

/// A point as (x / z², y / z³), which adds and doubles without division; the coordinates have magnitude 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jacobian<E> {
    x: E,
    y: E,
    z: E,
}

impl<E: Element> Jacobian<E> {
    pub(super) fn of(point: &Affine<E>) -> Self {
        let Affine { x, y } = point.reduced();
        Self { x, y, z: E::ONE }
    }

    /// Twice the point. No point has y = 0, whose double would be the point at infinity.
    pub(super) fn doubled(&self) -> Self {
        let yy = self.y.square();
        let xyy = self.x.multiply(&yy);
        let slope = self.x.square_thrice();
        let x = slope.square_minus_times(&xyy, 8);
        let y = slope.multiply_minus_times(&xyy.times(4).plus(&x.negated()), &yy.square(), 8);
        let z = self.y.times(2).multiply(&self.z);
        Self { x, y, z }
    }

    /// The sum; `None` is the point at infinity.
    pub(super) fn plus(&self, other: &Affine<E>) -> Option<Self> {
        let zz = self.z.square();
        let across = other.x.multiply_minus(&zz, &self.x);
        let up = other.y.multiply_minus(&self.z.multiply(&zz), &self.y);
        if across.is_zero() {
            return up.is_zero().then(|| self.doubled());
        }
        let square = across.square();
        let cube = across.multiply(&square);
        let v = self.x.multiply(&square);
        let x = up.square_minus_minus_twice(&cube, &v);
        let y = E::sum_of_products(&up, &v.plus(&x.negated()), &cube, &self.y.negated());
        let z = self.z.multiply(&across);
        Some(Self { x, y, z })
    }

    /// Whether this is the point with this `x` and an even `y`.
    #[cfg(any(target_arch = "wasm32", test))]
    pub(super) fn is_even_at(&self, x: &E) -> bool {
        let inverse = self.z.inverse();
        let square = inverse.square();
        self.x.multiply(&square).equals(x) && !self.y.multiply(&square.multiply(&inverse)).is_odd()
    }
}

/// The odd multiples 1, 3, 5 … of a point.
#[derive(Debug)]
pub(super) struct OddMultiples<E>(Vec<Affine<E>>);

impl<E> From<[Affine<E>; 4]> for OddMultiples<E> {
    fn from(multiples: [Affine<E>; 4]) -> Self {
        Self(multiples.into())
    }
}

impl<E: Element> OddMultiples<E> {
    /// The first `count` odd multiples; at least one.
    pub(super) fn of(point: &Affine<E>, count: usize) -> Self {
        // On the isomorphic curve where twice the point has z = 1, every step is the addition of an affine point.
        let step = Jacobian::of(point).doubled();
        let zz = step.z.square();
        let first =
            Jacobian { x: point.x.multiply(&zz), y: point.y.multiply(&zz.multiply(&step.z)), z: E::ONE };
        let step_there = Affine { x: step.x, y: step.y };
        // The order of the curve is a large prime, so no sum of so few points is at infinity.
        let there = std::iter::successors(Some(first), |multiple| multiple.plus(&step_there)).take(count);
        let here = there.map(|multiple| Jacobian { z: multiple.z.multiply(&step.z), ..multiple });
        Self(affine(&here.collect::<Vec<_>>()))
    }

    /// λ times each multiple.
    pub(super) fn endomorphism(&self) -> Self {
        Self(self.0.iter().map(Affine::endomorphism).collect())
    }

    /// The point itself.
    pub(super) fn first(&self) -> Option<&Affine<E>> {
        self.0.first()
    }

    /// An odd multiple from the table, or the negation of one.
    #[inline]
    pub(super) fn multiple(&self, odd: i16) -> Option<Affine<E>> {
        let point = self.0.get(usize::from(odd.unsigned_abs() >> 1))?;
        Some(if odd < 0 { point.negated() } else { *point })
    }
}

/// Converts points to z = 1 with a single division. No z is zero.
fn affine<E: Element>(points: &[Jacobian<E>]) -> Vec<Affine<E>> {
    let all_z: Vec<E> = points.iter().map(|point| point.z).collect();
    let inverses = inverses(&all_z).unwrap_or_default();
    let affine = points.iter().zip(inverses).map(|(point, inverse)| {
        let square = inverse.square();
        Affine { x: point.x.multiply(&square), y: point.y.multiply(&square.multiply(&inverse)) }
    });
    affine.collect()
}

/// The inverses of numbers of at most magnitude 3, with a single division; `None` if one of them is zero.
pub(super) fn inverses<E: Element>(numbers: &[E]) -> Option<Vec<E>> {
    // Each entry is the product of all numbers before it.
    let mut product = E::ONE;
    let mut inverses: Vec<E> = numbers
        .iter()
        .map(|number| {
            let next = product.multiply(number);
            std::mem::replace(&mut product, next)
        })
        .collect();
    if product.is_zero() {
        return None;
    }
    let mut inverse = product.inverse();
    for (before, number) in inverses.iter_mut().zip(numbers).rev() {
        *before = before.multiply(&inverse);
        inverse = inverse.multiply(number);
    }
    Some(inverses)
}

/// 2^places times a point.
pub(super) fn shifted<E: Element>(point: &Affine<E>, places: u32) -> Affine<E> {
    let mut shifted = Jacobian::of(point);
    for _ in 0..places {
        shifted = shifted.doubled();
    }
    affine(&[shifted]).first().copied().unwrap_or(*point)
}
