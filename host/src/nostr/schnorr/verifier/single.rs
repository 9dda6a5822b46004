//! One signature verified alone: s·G - e·P is compared with R.

use super::field::Element;
use super::point::{Jacobian, OddMultiples};
use super::scalar::{Digits, Half, Scalar};
use super::{FREQUENT_KEY_WIDTH, GENERATOR_WIDTH, KEY_WIDTH, KeyTables, SharedTables, challenge};
use crate::nostr::bytes::{PublicKey, Signature};

/// Whether `signature` is `public_key`'s signature of `message` (BIP-340).
#[cfg(target_arch = "wasm32")]
pub(in crate::nostr::schnorr) fn verify(
    public_key: &PublicKey,
    message: &[u8; 32],
    signature: &Signature,
) -> bool {
    is_valid::<super::FastestElement>(public_key, message, signature).unwrap_or(false)
}

/// `None` if the key is no point, or a number is out of range.
pub(super) fn is_valid<E: SharedTables>(
    public_key: &PublicKey,
    message: &[u8; 32],
    signature: &Signature,
) -> Option<bool> {
    let (halves, _) = signature.as_bytes().as_chunks::<32>();
    let [r, s] = halves else { return None };
    let x = E::from_bytes(r)?;
    let s = Scalar::from_bytes(s)?;
    let key = E::key_cache().with(|keys| keys.try_borrow_mut().ok()?.tables(public_key))?;
    let minus_e = challenge(r, public_key, message).negated();

    let digits = |parts: [Half; 2], width| parts.map(|part| Digits::of(part, width));
    let [g0, g1] = digits(Half::positive(s.low).parts(), GENERATOR_WIDTH);
    let [g2, g3] = digits(Half::positive(s.high).parts(), GENERATOR_WIDTH);
    let [t0, t1, t2, t3] = &E::generator_tables().0;
    let point = match &*key {
        KeyTables::Halves { multiples, endomorphism } => {
            let [first, second] = digits(minus_e.split(), KEY_WIDTH);
            sum_of_multiples(&[
                (&g0, t0),
                (&g1, t1),
                (&g2, t2),
                (&g3, t3),
                (&first, multiples),
                (&second, endomorphism),
            ])?
        }
        KeyTables::Quarters([lower, upper, lower_endomorphism, upper_endomorphism]) => {
            let [first, second] = minus_e.split().map(|half| digits(half.parts(), FREQUENT_KEY_WIDTH));
            sum_of_multiples(&[
                (&g0, t0),
                (&g1, t1),
                (&g2, t2),
                (&g3, t3),
                (&first[0], lower),
                (&first[1], upper),
                (&second[0], lower_endomorphism),
                (&second[1], upper_endomorphism),
            ])?
        }
    };
    Some(point.is_even_at(&x))
}

/// The sum of the products of scalars, given by their [digits](Digits), and points; `None` is the point at
/// infinity.
fn sum_of_multiples<E: Element>(terms: &[(&Digits, &OddMultiples<E>)]) -> Option<Jacobian<E>> {
    let length = terms.iter().map(|(digits, _)| digits.length()).max().unwrap_or(0);
    let mut sum: Option<Jacobian<E>> = None;
    for place in (0..length).rev() {
        sum = sum.map(|sum| sum.doubled());
        for (digits, multiples) in terms {
            if let Some(point) = digits.at(place).and_then(|digit| multiples.multiple(digit)) {
                sum = match sum {
                    Some(sum) => sum.plus(&point),
                    None => Some(Jacobian::of(&point)),
                };
            }
        }
    }
    sum
}
