//! Tests of the verifier for WebAssembly: field, scalars, points and whole signatures.

#![expect(clippy::arithmetic_side_effects, reason = "numbers modulo something do not overflow")]

use ::k256::elliptic_curve::ff::PrimeField as _;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::field::Element;
use super::scalar::{Digits, Half, Scalar};
use super::{FREQUENT_USES, GENERATION, KEY_CACHE, KeyTables, verify};
use crate::nostr::bytes::{EventId, PublicKey, Signature};
use crate::nostr::schnorr::{VECTORS, libsecp256k1};

fn hash(number: u64) -> [u8; 32] {
    Sha256::digest(number.to_be_bytes()).into()
}

#[test]
fn agrees_with_the_vectors_of_bip340() {
    for (index, (key, message, signature, valid)) in VECTORS.iter().enumerate() {
        let key = PublicKey::from_hex(key).unwrap();
        let message = EventId::from_hex(message).unwrap();
        let signature = Signature::from_hex(signature).unwrap();
        // The second time, the key is cached, and the last times it has its larger tables.
        for _ in 0..2 * FREQUENT_USES {
            assert_eq!(verify(&key, message.as_bytes(), &signature), *valid, "vector {index}");
        }
    }
}

#[test]
fn agrees_with_libsecp256k1_on_signatures_and_on_each_with_one_bit_changed() {
    for number in 0..400 {
        // Every other use of a key is with its larger tables.
        let keys = libsecp256k1::SigningKey::from_bytes(&hash(number / 8)).unwrap();
        let (key, message) = (keys.public_key(), hash(1_000_000 + number));
        let signature = keys.sign(&message);
        assert!(verify(&key, &message, &signature), "{number}");

        let bit = usize::try_from(number * 7919 % 1024).unwrap();
        let mut all = [&key.as_bytes()[..], &message, signature.as_bytes()].concat();
        all[bit / 8] ^= 1 << (bit % 8);
        let key = PublicKey::from_bytes(all[..32].try_into().unwrap());
        let message = all[32..64].try_into().unwrap();
        let signature = Signature::from_bytes(all[64..].try_into().unwrap());
        assert!(!libsecp256k1::verify(&key, &message, &signature));
        assert!(!verify(&key, &message, &signature), "{number}, bit {bit}");
    }
}

/// The secret keys 1 to 19, and the order minus 1.
pub(super) fn secrets_closest_to_zero() -> impl Iterator<Item = [u8; 32]> {
    let mut last = [0xff; 32];
    last[15] = 0xfe;
    last[16..].copy_from_slice(&0xbaae_dce6_af48_a03b_bfd2_5e8c_d036_4140_u128.to_be_bytes());
    let small = (1..20_u8).map(|number| {
        let mut secret = [0; 32];
        secret[31] = number;
        secret
    });
    small.chain([last])
}

/// The point of key 1 is the generator, so sums meet points that they have already added; the point of the order minus
/// 1 is its negation.
#[test]
fn verifies_the_signatures_of_the_keys_closest_to_zero() {
    for secret in secrets_closest_to_zero() {
        let keys = libsecp256k1::SigningKey::from_bytes(&secret).unwrap();
        for number in 0..20 {
            let message = hash(number);
            assert!(verify(&keys.public_key(), &message, &keys.sign(&message)), "{secret:?}, {number}");
        }
    }
}

#[test]
fn remembers_no_more_keys_than_two_generations() {
    for number in 0..5 * GENERATION as u64 {
        let keys = libsecp256k1::SigningKey::from_bytes(&hash(number)).unwrap();
        assert!(verify(&keys.public_key(), &[7; 32], &keys.sign(&[7; 32])));
    }
    KEY_CACHE.with_borrow(|keys| {
        assert!(keys.recent.len() <= GENERATION && keys.earlier.len() <= GENERATION);
        assert!(keys.recent.len() + keys.earlier.len() >= GENERATION);
    });
}

#[test]
fn a_key_that_is_used_often_has_larger_tables_until_it_is_forgotten() {
    let keys = libsecp256k1::SigningKey::from_bytes(&hash(1)).unwrap();
    let has_larger = |uses| {
        (0..uses).for_each(|_| assert!(verify(&keys.public_key(), &[7; 32], &keys.sign(&[7; 32]))));
        KEY_CACHE.with_borrow_mut(|cache| {
            matches!(*cache.tables(&keys.public_key()).unwrap(), KeyTables::Quarters(_))
        })
    };
    assert!(!has_larger(FREQUENT_USES - 2));
    assert!(has_larger(1));
    for number in 0..3 * GENERATION as u64 {
        let others = libsecp256k1::SigningKey::from_bytes(&hash(10 + number)).unwrap();
        assert!(verify(&others.public_key(), &[7; 32], &others.sign(&[7; 32])));
    }
    assert!(!has_larger(0));
}

#[test]
fn the_inverses_of_the_numbers_at_either_end_are_those_by_power() {
    for distance in 0..200 {
        let number = small(distance);
        for number in [number, number.negated().multiply(&Element::ONE)] {
            assert!(number.inverse().equals(&number.inverse_by_power()), "{distance}");
        }
    }
    assert!(small(0).inverse().is_zero());
}

fn small(number: u8) -> Element {
    let mut bytes = [0; 32];
    bytes[31] = number;
    Element::from_any_bytes(&bytes)
}

fn element(number: u64) -> Element {
    Element::from_any_bytes(&hash(number))
}

/// The scalar λ of the endomorphism.
fn lambda() -> ::k256::Scalar {
    let bytes = [
        0x5363_ad4c_c05c_30e0_a526_1c02_8812_645a_u128.to_be_bytes(),
        0x122e_22ea_2081_6678_df02_967c_1b23_bd72_u128.to_be_bytes(),
    ];
    ::k256::Scalar::from_repr(bytes.concat().as_slice().try_into().unwrap()).unwrap()
}

fn bytes(first: u8, rest: u8) -> [u8; 32] {
    let mut bytes = [rest; 32];
    bytes[0] = first;
    bytes
}

proptest! {
    #[test]
    fn an_inverse_is_the_one_by_power(number: [u8; 32], power in 0..256_u32) {
        let two = Element::ONE.times(2).multiply(&Element::ONE);
        let power = (0..power).fold(Element::ONE, |product, _| product.multiply(&two));
        for number in [Element::from_any_bytes(&number), power] {
            prop_assert!(number.inverse().equals(&number.inverse_by_power()));
        }
    }

    #[test]
    fn numbers_follow_the_laws_of_a_field(a: u64, b: u64, c: u64) {
        let (a, b, c) = (element(a), element(b), element(c));
        let one = Element::ONE;
        let distributed = Element::sum_of_products(&a, &b, &a, &c);
        prop_assert!(a.multiply(&b.plus(&c)).equals(&distributed));
        prop_assert!(a.multiply(&b).multiply(&c).equals(&b.multiply(&c).multiply(&a)));
        prop_assert!(a.multiply(&a).equals(&a.square()));
        prop_assert!(a.square().times(3).multiply(&one).equals(&a.square_thrice()));
        prop_assert!(a.multiply(&a.inverse()).equals(&one));
        prop_assert!(a.plus(&a.negated()).multiply(&one).is_zero());
        prop_assert!(a.multiply_minus(&b, &b.multiply(&a)).is_zero());
        prop_assert!(a.square_minus_times(&a.square(), 1).is_zero());
        let minus_c = c.negated().multiply(&one);
        prop_assert!(a.square_minus_minus_twice(&b, &c).equals(
            &a.square_minus_times(&b, 1).plus(&minus_c).plus(&minus_c).multiply(&one)));
        prop_assert!(a.square().square_root().is_some_and(|root| root.equals(&a) || root.negated().multiply(&one).equals(&a)));
        // -1 has no square root, so of a number and its negation exactly one has a root.
        prop_assert!(a.square().negated().multiply(&one).square_root().is_none());
    }

    #[test]
    fn the_largest_limbs_do_not_overflow(a in 0..4_u8, b in 0..4_u8) {
        let largest = |number| element(u64::from(number)).negated().plus(&element(7).negated()).plus(&element(8).negated());
        let (x, y) = (largest(a), element(u64::from(b)));
        let apart = [element(u64::from(a)), element(7), element(8)].map(|part| part.negated().multiply(&y));
        let sum = apart[0].plus(&apart[1]).plus(&apart[2]).multiply(&Element::ONE);
        prop_assert!(x.multiply(&y).equals(&sum));
    }

    #[test]
    fn takes_only_numbers_below_the_modulus(last: u8) {
        // p ends in fffffffe fffffc2f.
        let mut number = [0xff; 32];
        number[27] = 0xfe;
        number[30] = 0xfc;
        number[31] = last;
        prop_assert_eq!(Element::from_bytes(&number).is_some(), last < 0x2f);
        prop_assert!(Element::from_bytes(&bytes(last, 0xff)).is_some() == (last < 0xff));
    }

    #[test]
    fn splits_every_scalar_into_halves(high: u128, low: u128, near: u8) {
        for (high, low) in [(high, low), (0, near.into()), (u128::MAX - 1, low), (u128::MAX, low)] {
            let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat().try_into().unwrap();
            let scalar = Scalar::reduced_from(&bytes);
            prop_assert_eq!(scalar.negated().negated(), scalar);
            let [first, second] = scalar.split().map(|half| {
                let magnitude = ::k256::Scalar::from(half.magnitude);
                if half.is_negative { -magnitude } else { magnitude }
            });
            let bytes: [u8; 32] = [scalar.high.to_be_bytes(), scalar.low.to_be_bytes()].concat().try_into().unwrap();
            let expected = ::k256::Scalar::from_repr(bytes.into()).unwrap();
            prop_assert_eq!(first + lambda() * second, expected);
        }
    }

    #[test]
    fn digits_add_up(magnitude: u128, is_negative: bool, width in 2..12_u32) {
        for magnitude in [magnitude, magnitude >> 64, u128::MAX, 0] {
            let digits = Digits::of(Half { is_negative, magnitude }, width);
            // Summed modulo 2^128, which keeps all lower bits.
            let sum = (0..digits.length()).rev().fold(0_i128, |sum, place| {
                sum.wrapping_shl(1).wrapping_add(digits.at(place).unwrap_or(0).into())
            });
            let expected = if is_negative { magnitude.wrapping_neg() } else { magnitude };
            prop_assert_eq!(sum.cast_unsigned(), expected);
            for digit in (0..digits.length()).filter_map(|place| digits.at(place)) {
                prop_assert!(digit % 2 != 0 && digit.unsigned_abs() < 1 << (width - 1));
            }
        }
    }
}
