//! Numbers modulo p = 2^256 - 2^32 - 977, the coordinates of the curve's points: what does not depend on their limbs.
//!
//! A number is a few limbs, of 29 bits in WebAssembly ([`Element29`](super::field29::Element29)) and of 52 bits natively
//! ([`Element52`](super::field52::Element52)).
//!
//! The result of a multiplication has *magnitude* 1. In a sum, magnitudes add up. The magnitudes of two factors may have a
//! product of at most 6, and so may the sum of two products that are reduced together. Each form of limbs says what that
//! means for them.

use std::fmt::Debug;

/// A number modulo p.
pub(super) trait Element: Copy + Debug + 'static {
    /// A product of two of these before its reduction.
    type Columns: ProductColumns<Self>;

    /// The limbs, the lowest first.
    type Limbs: PartialEq;

    const ONE: Self;

    /// The number with these 32 bytes, big-endian, modulo p, of magnitude 1.
    fn from_any_bytes(bytes: &[u8; 32]) -> Self;

    fn limbs(&self) -> Self::Limbs;

    /// The limbs of a number of magnitude 1 after reduction below p, which makes them unique.
    fn normalized(&self) -> Self::Limbs;

    /// Whether a number of magnitude 1 is zero.
    fn is_zero(&self) -> bool;

    /// Whether a number of magnitude 1 is odd.
    fn is_odd(&self) -> bool;

    /// The sum; the magnitudes add up.
    fn plus(&self, other: &Self) -> Self;

    /// A small multiple; the magnitude is multiplied as well.
    fn times(&self, factor: u32) -> Self;

    /// The negation of a number of magnitude 1; it has magnitude 2.
    fn negated(&self) -> Self;

    /// The same number, of magnitude 1, if this one has at most magnitude 2.
    fn carried(&self) -> Self;

    /// The inverse of a number of magnitude 1; that of zero is zero.
    fn inverse(&self) -> Self;

    /// The number with these 32 bytes, big-endian; `None` if it is not below p.
    fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let element = Self::from_any_bytes(bytes);
        (element.normalized() == element.limbs()).then_some(element)
    }

    /// Whether two numbers of magnitude 1 are equal.
    fn equals(&self, other: &Self) -> bool {
        self.normalized() == other.normalized()
    }

    /// The product.
    #[inline(never)]
    fn multiply(&self, other: &Self) -> Self {
        Self::Columns::product(self, other).reduced()
    }

    /// The product minus a number of magnitude 1.
    #[inline(never)]
    fn multiply_minus(&self, other: &Self, minus: &Self) -> Self {
        Self::Columns::product(self, other).minus(minus, 1).reduced()
    }

    /// `self` times `other` minus `times` (8 at most) times `minus`, which has magnitude 1.
    #[inline(never)]
    fn multiply_minus_times(&self, other: &Self, minus: &Self, times: u32) -> Self {
        Self::Columns::product(self, other).minus(minus, times).reduced()
    }

    /// The sum of two products.
    #[inline(never)]
    fn sum_of_products(a: &Self, b: &Self, c: &Self, d: &Self) -> Self {
        Self::Columns::product(a, b).plus(&Self::Columns::product(c, d)).reduced()
    }

    /// The square of a number of at most magnitude 2.
    #[inline(never)]
    fn square(&self) -> Self {
        Self::Columns::square(self).reduced()
    }

    /// Three times the square of a number of magnitude 1.
    #[inline(never)]
    fn square_thrice(&self) -> Self {
        Self::Columns::square(self).thrice().reduced()
    }

    /// The square of a number of at most magnitude 2, minus `times` (8 at most) times a number of magnitude 1.
    #[inline(never)]
    fn square_minus_times(&self, minus: &Self, times: u32) -> Self {
        Self::Columns::square(self).minus(minus, times).reduced()
    }

    /// The square of a number of at most magnitude 2, minus one number of magnitude 1 and twice another.
    #[inline(never)]
    fn square_minus_minus_twice(&self, once: &Self, twice: &Self) -> Self {
        Self::Columns::square(self).minus(once, 1).minus(twice, 2).reduced()
    }

    /// The square of a number of at most magnitude 2, minus two numbers of magnitude 1.
    #[inline(never)]
    fn square_minus_minus(&self, a: &Self, b: &Self) -> Self {
        Self::Columns::square(self).minus(a, 1).minus(b, 1).reduced()
    }

    /// The [inverse](Self::inverse) as a power, to compare with.
    #[cfg(test)]
    fn inverse_by_power(&self) -> Self {
        // The power p - 2, whose bits are 223 ones, 0, 22 ones, 0000, 1, 0, 11, 0, 1.
        let n1 = Lanes([*self]);
        let Ones { n2, n22, n223 } = Ones::of(&n1);
        let power =
            n223.squared(23).multiply(&n22).squared(5).multiply(&n1).squared(3).multiply(&n2).squared(2);
        let Lanes([inverse]) = power.multiply(&n1);
        inverse
    }

    /// A square root of a number of magnitude 1, if it has one.
    fn square_root(&self) -> Option<Self> {
        let [root] = Self::square_roots(&[*self]);
        root
    }

    /// Square roots of several numbers of magnitude 1, where they have one. They take less time together: a processor
    /// begins a product before it has finished others on which it does not depend.
    fn square_roots<const N: usize>(numbers: &[Self; N]) -> [Option<Self>; N] {
        // The power (p + 1) / 4, whose bits are 223 ones, 0, 22 ones, 0000, 11, 00.
        let Ones { n2, n22, n223 } = Ones::of(&Lanes(*numbers));
        let Lanes(roots) = n223.squared(23).multiply(&n22).squared(6).multiply(&n2).squared(2);
        let mut numbers = numbers.iter();
        roots.map(|root| numbers.next().is_some_and(|number| root.square().equals(number)).then_some(root))
    }
}

/// A product before reduction, as columns: sums of the products of limbs that have the same weight.
pub(super) trait ProductColumns<E: Element>: Sized {
    fn product(a: &E, b: &E) -> Self;

    fn square(a: &E) -> Self;

    fn thrice(self) -> Self;

    fn plus(self, other: &Self) -> Self;

    /// Subtracts a number of magnitude 1 a few times, by adding a multiple of p that is large enough.
    fn minus(self, element: &E, times: u32) -> Self;

    /// The number reduced to magnitude 1.
    fn reduced(self) -> E;
}

/// Several numbers, with which the same is done.
#[derive(Clone, Copy)]
struct Lanes<E, const N: usize>([E; N]);

impl<E: Element, const N: usize> Lanes<E, N> {
    /// The numbers squared this many times.
    fn squared(&self, times: u32) -> Self {
        let mut power = *self;
        for _ in 0..times {
            power.0.iter_mut().for_each(|number| *number = number.square());
        }
        power
    }

    fn multiply(&self, other: &Self) -> Self {
        let mut product = *self;
        product.0.iter_mut().zip(&other.0).for_each(|(number, other)| *number = number.multiply(other));
        product
    }
}

/// Powers of numbers whose exponents are runs of ones, named by their length.
struct Ones<E, const N: usize> {
    n2: Lanes<E, N>,
    n22: Lanes<E, N>,
    n223: Lanes<E, N>,
}

impl<E: Element, const N: usize> Ones<E, N> {
    fn of(n1: &Lanes<E, N>) -> Self {
        let n2 = n1.squared(1).multiply(n1);
        let n3 = n2.squared(1).multiply(n1);
        let n6 = n3.squared(3).multiply(&n3);
        let n9 = n6.squared(3).multiply(&n3);
        let n11 = n9.squared(2).multiply(&n2);
        let n22 = n11.squared(11).multiply(&n11);
        let n44 = n22.squared(22).multiply(&n22);
        let n88 = n44.squared(44).multiply(&n44);
        let n176 = n88.squared(88).multiply(&n88);
        let n220 = n176.squared(44).multiply(&n44);
        let n223 = n220.squared(3).multiply(&n3);
        Self { n2, n22, n223 }
    }
}
