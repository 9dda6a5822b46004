//! The sum of many points, each times a power of two, by affine additions that share their divisions.
//!
//! Affine addition takes 5 products and a square where the one with z takes 8 and 3, but also a division. All additions of
//! a round share one (Montgomery's trick), which makes it three products for each.

use super::super::field::Element;
use super::super::point::{Affine, Jacobian, OddMultiples, inverses};
use super::super::scalar::Digits;

/// The most digits of a number of 128 bits, so that every digit has a row.
const MAX_ROWS: usize = 130;

/// Points to be added up, each with its row; those of row n count 2^n times.
pub(super) struct Rows<E>(Vec<(usize, Affine<E>)>);

impl<E: Element> Rows<E> {
    /// No points, with room for this many.
    pub(super) fn with_capacity(points: usize) -> Self {
        Self(Vec::with_capacity(points))
    }

    /// Adds a point times a scalar, given by its digits, and by the odd multiples of the point.
    pub(super) fn add(&mut self, digits: &Digits, multiples: &OddMultiples<E>) {
        for place in 0..digits.length() {
            if let Some(point) = digits.at(place).and_then(|digit| multiples.multiple(digit)) {
                self.0.push((place, point.reduced()));
            }
        }
    }

    /// Whether the sum of all rows is the point at infinity.
    pub(super) fn sums_to_zero(self) -> bool {
        let mut sums = RowSums::of(&self.0);
        while sums.lengths.iter().any(|length| *length > 1) {
            let Some(halved) = sums.halved() else { return false };
            sums = halved;
        }
        let mut points = sums.points.iter().rev();
        let mut sum: Option<Jacobian<E>> = None;
        for length in sums.lengths.iter().rev() {
            sum = sum.map(|sum| sum.doubled());
            for point in points.by_ref().take(*length) {
                sum = match sum {
                    Some(sum) => sum.plus(point),
                    None => Some(Jacobian::of(point)),
                };
            }
        }
        sum.is_none()
    }
}

/// The points of all rows, one row after another.
struct RowSums<E> {
    points: Vec<Affine<E>>,
    lengths: Vec<usize>,
}

impl<E: Element> RowSums<E> {
    /// Sorts points by their rows.
    fn of(points: &[(usize, Affine<E>)]) -> Self {
        let mut lengths = vec![0_usize; MAX_ROWS];
        for (row, _) in points {
            if let Some(length) = lengths.get_mut(*row) {
                *length = length.saturating_add(1);
            }
        }
        let mut next = 0_usize;
        let mut starts: Vec<usize> = Vec::with_capacity(MAX_ROWS);
        for length in &lengths {
            starts.push(next);
            next = next.saturating_add(*length);
        }
        let Some((_, any)) = points.first() else { return Self { points: Vec::new(), lengths } };
        let mut sorted = vec![*any; points.len()];
        for (row, point) in points {
            let Some(place) = starts.get_mut(*row) else { continue };
            if let Some(slot) = sorted.get_mut(*place) {
                *slot = *point;
            }
            *place = place.saturating_add(1);
        }
        Self { points: sorted, lengths }
    }

    /// Rows of half as many points, each the sum of a pair.
    fn halved(&self) -> Option<Self> {
        let mut pairs: Vec<[Affine<E>; 2]> = Vec::with_capacity(self.points.len() / 2);
        pairs.extend(self.rows().flat_map(|row| row.as_chunks::<2>().0));
        let sums = match sums_of_different(&pairs) {
            Some(sums) => sums,
            None => sums_of_any(&pairs)?,
        };
        let mut sums = sums.into_iter();
        let mut points = Vec::with_capacity(self.points.len().div_ceil(2));
        let mut lengths = Vec::with_capacity(self.lengths.len());
        for row in self.rows() {
            let (pairs, rest) = row.as_chunks::<2>();
            let before = points.len();
            points.extend(sums.by_ref().take(pairs.len()).flatten().chain(rest.first().copied()));
            lengths.push(points.len().saturating_sub(before));
        }
        Some(Self { points, lengths })
    }

    fn rows(&self) -> impl Iterator<Item = &[Affine<E>]> {
        let mut rest = &*self.points;
        self.lengths.iter().map(move |length| {
            let (row, others) = rest.split_at_checked(*length).unwrap_or_default();
            rest = others;
            row
        })
    }
}

/// The sums of points with different `x`, all `Some`; `None` if those of a pair are equal.
fn sums_of_different<E: Element>(pairs: &[[Affine<E>; 2]]) -> Option<Vec<Option<Affine<E>>>> {
    let runs: Vec<E> = pairs.iter().map(|[a, b]| b.x.plus(&a.x.negated())).collect();
    let sums = pairs.iter().zip(inverses(&runs)?).map(|([a, b], inverse)| {
        let slope = b.y.plus(&a.y.negated()).multiply(&inverse);
        Some(third_on_line(&slope, a, &b.x))
    });
    Some(sums.collect())
}

/// The doubles of points.
fn doubles<E: Element>(points: &[Affine<E>]) -> Option<Vec<Affine<E>>> {
    let runs: Vec<E> = points.iter().map(|point| point.y.times(2)).collect();
    let doubles = points.iter().zip(inverses(&runs)?).map(|(point, inverse)| {
        let slope = point.x.square_thrice().multiply(&inverse);
        third_on_line(&slope, point, &point.x)
    });
    Some(doubles.collect())
}

/// The sums of points that may be equal, or opposite: then the sum is the point at infinity, `None`.
fn sums_of_any<E: Element>(pairs: &[[Affine<E>; 2]]) -> Option<Vec<Option<Affine<E>>>> {
    let are_different = |[a, b]: &[Affine<E>; 2]| !a.x.equals(&b.x);
    let are_equal = |pair: &[Affine<E>; 2]| !are_different(pair) && pair[0].y.equals(&pair[1].y);
    let different: Vec<[Affine<E>; 2]> = pairs.iter().copied().filter(are_different).collect();
    let equal: Vec<Affine<E>> = pairs.iter().copied().filter(are_equal).map(|[point, _]| point).collect();
    let mut sums = sums_of_different(&different)?.into_iter();
    let mut doubles = doubles(&equal)?.into_iter();
    let sum = |pair: &[Affine<E>; 2]| {
        if are_different(pair) {
            sums.next().flatten()
        } else if are_equal(pair) {
            doubles.next()
        } else {
            None
        }
    };
    Some(pairs.iter().map(sum).collect())
}

/// The sum of two points of a line: the negation of the third point of the curve on it.
fn third_on_line<E: Element>(slope: &E, a: &Affine<E>, x_of_b: &E) -> Affine<E> {
    let x = slope.square_minus_minus(&a.x, x_of_b);
    let y = slope.multiply_minus(&a.x.plus(&x.negated()), &a.y);
    Affine { x, y }
}

/// The multiples 1, 3, 5, 7 of each point.
pub(super) fn first_odd_multiples<E: Element>(points: &[Affine<E>]) -> Option<Vec<OddMultiples<E>>> {
    // The order of the curve is a large prime, so these multiples of a point differ, and none is opposite to another.
    let twice = doubles(points)?;
    let plus_twice = |points: &[Affine<E>]| -> Option<Vec<Affine<E>>> {
        let pairs: Vec<_> = points.iter().zip(&twice).map(|(point, twice)| [*point, *twice]).collect();
        sums_of_different(&pairs)?.into_iter().collect()
    };
    let thrice = plus_twice(points)?;
    let fives = plus_twice(&thrice)?;
    let sevens = plus_twice(&fives)?;
    let multiples = points.iter().zip(&thrice).zip(fives.iter().zip(&sevens));
    Some(
        multiples
            .map(|((one, three), (five, seven))| OddMultiples::from([*one, *three, *five, *seven]))
            .collect(),
    )
}
