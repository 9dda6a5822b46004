//! Tests of the verifier with both forms of numbers: field, scalars, points and whole signatures.

#![expect(clippy::arithmetic_side_effects, reason = "numbers modulo something do not overflow")]

use ::k256::elliptic_curve::ff::PrimeField as _;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::field::Element;
use super::scalar::{Digits, Half, Scalar};
use super::single::is_valid;
use super::{FREQUENT_USES, GENERATION, KeyTables, SharedTables};
use crate::nostr::bytes::{EventId, PublicKey, Signature};
use crate::nostr::schnorr::{VECTORS, libsecp256k1};

/// Makes a test of each of these functions for each form of numbers.
macro_rules! with_both_forms {
    ($($test:ident)*) => {
        mod of_29_bits {
            $(#[test] fn $test() { super::$test::<crate::nostr::schnorr::verifier::Element29>(); })*
        }
        mod of_52_bits {
            $(#[test] fn $test() { super::$test::<crate::nostr::schnorr::verifier::Element52>(); })*
        }
    };
}
pub(super) use with_both_forms;

with_both_forms! {
    agrees_with_the_vectors_of_bip340
    agrees_with_libsecp256k1_on_signatures_and_on_each_with_one_bit_changed
    verifies_the_signatures_of_the_keys_closest_to_zero
    remembers_no_more_keys_than_two_generations
    a_key_that_is_used_often_has_larger_tables_until_it_is_forgotten
    the_inverses_of_the_numbers_at_either_end_are_those_by_power
    an_inverse_is_the_one_by_power
    numbers_follow_the_laws_of_a_field
    the_largest_limbs_do_not_overflow
    takes_only_numbers_below_the_modulus
}

fn verify<E: SharedTables>(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    is_valid::<E>(public_key, message, signature).unwrap_or(false)
}

fn config() -> ProptestConfig {
    ProptestConfig::with_source_file(file!())
}

fn hash(number: u64) -> [u8; 32] {
    Sha256::digest(number.to_be_bytes()).into()
}

fn agrees_with_the_vectors_of_bip340<E: SharedTables>() {
    for (index, (key, message, signature, valid)) in VECTORS.iter().enumerate() {
        let key = PublicKey::from_hex(key).unwrap();
        let message = EventId::from_hex(message).unwrap();
        let signature = Signature::from_hex(signature).unwrap();
        // The second time, the key is cached, and the last times it has its larger tables.
        for _ in 0..2 * FREQUENT_USES {
            assert_eq!(verify::<E>(&key, message.as_bytes(), &signature), *valid, "vector {index}");
        }
    }
}

fn agrees_with_libsecp256k1_on_signatures_and_on_each_with_one_bit_changed<E: SharedTables>() {
    for number in 0..400 {
        // Every other use of a key is with its larger tables.
        let keys = libsecp256k1::SigningKey::from_bytes(&hash(number / 8)).unwrap();
        let (key, message) = (keys.public_key(), hash(1_000_000 + number));
        let signature = keys.sign(&message);
        assert!(verify::<E>(&key, &message, &signature), "{number}");

        let bit = usize::try_from(number * 7919 % 1024).unwrap();
        let mut all = [&key.as_bytes()[..], &message, signature.as_bytes()].concat();
        all[bit / 8] ^= 1 << (bit % 8);
        let key = PublicKey::from_bytes(all[..32].try_into().unwrap());
        let message = all[32..64].try_into().unwrap();
        let signature = Signature::from_bytes(all[64..].try_into().unwrap());
        assert!(!libsecp256k1::verify(&key, &message, &signature));
        assert!(!verify::<E>(&key, &message, &signature), "{number}, bit {bit}");
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
fn verifies_the_signatures_of_the_keys_closest_to_zero<E: SharedTables>() {
    for secret in secrets_closest_to_zero() {
        let keys = libsecp256k1::SigningKey::from_bytes(&secret).unwrap();
        for number in 0..20 {
            let message = hash(number);
            assert!(verify::<E>(&keys.public_key(), &message, &keys.sign(&message)), "{secret:?}, {number}");
        }
    }
}

fn remembers_no_more_keys_than_two_generations<E: SharedTables>() {
    for number in 0..5 * GENERATION as u64 {
        let keys = libsecp256k1::SigningKey::from_bytes(&hash(number)).unwrap();
        assert!(verify::<E>(&keys.public_key(), &[7; 32], &keys.sign(&[7; 32])));
    }
    E::key_cache().with_borrow(|keys| {
        assert!(keys.recent.len() <= GENERATION && keys.earlier.len() <= GENERATION);
        assert!(keys.recent.len() + keys.earlier.len() >= GENERATION);
    });
}

fn a_key_that_is_used_often_has_larger_tables_until_it_is_forgotten<E: SharedTables>() {
    let keys = libsecp256k1::SigningKey::from_bytes(&hash(1)).unwrap();
    let has_larger = |uses| {
        (0..uses).for_each(|_| assert!(verify::<E>(&keys.public_key(), &[7; 32], &keys.sign(&[7; 32]))));
        E::key_cache().with_borrow_mut(|cache| {
            matches!(*cache.tables(&keys.public_key()).unwrap(), KeyTables::Quarters(_))
        })
    };
    assert!(!has_larger(FREQUENT_USES - 2));
    assert!(has_larger(1));
    for number in 0..3 * GENERATION as u64 {
        let others = libsecp256k1::SigningKey::from_bytes(&hash(10 + number)).unwrap();
        assert!(verify::<E>(&others.public_key(), &[7; 32], &others.sign(&[7; 32])));
    }
    assert!(!has_larger(0));
}

fn the_inverses_of_the_numbers_at_either_end_are_those_by_power<E: Element>() {
    for distance in 0..200 {
        let number: E = small(distance);
        for number in [number, number.negated().multiply(&E::ONE)] {
            assert!(number.inverse().equals(&number.inverse_by_power()), "{distance}");
        }
    }
    assert!(small::<E>(0).inverse().is_zero());
}

fn small<E: Element>(number: u8) -> E {
    let mut bytes = [0; 32];
    bytes[31] = number;
    E::from_any_bytes(&bytes)
}

fn element<E: Element>(number: u64) -> E {
    E::from_any_bytes(&hash(number))
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

fn an_inverse_is_the_one_by_power<E: Element>() {
    proptest!(config(), |(number: [u8; 32], power in 0..256_u32)| {
        let two = E::ONE.times(2).multiply(&E::ONE);
        let power = (0..power).fold(E::ONE, |product, _| product.multiply(&two));
        for number in [E::from_any_bytes(&number), power] {
            prop_assert!(number.inverse().equals(&number.inverse_by_power()));
        }
    });
}

fn numbers_follow_the_laws_of_a_field<E: Element>() {
    proptest!(config(), |(a: u64, b: u64, c: u64)| {
        let (a, b, c): (E, E, E) = (element(a), element(b), element(c));
        let one = E::ONE;
        let distributed = E::sum_of_products(&a, &b, &a, &c);
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
    });
}

fn the_largest_limbs_do_not_overflow<E: Element>() {
    proptest!(config(), |(a in 0..4_u8, b in 0..4_u8)| {
        let negated = |number| element::<E>(number).negated();
        let largest = |number: u8| negated(number.into()).plus(&negated(7)).plus(&negated(8));
        let (x, y) = (largest(a), element::<E>(b.into()));
        let apart = [a.into(), 7, 8].map(|part| negated(part).multiply(&y));
        let sum = apart[0].plus(&apart[1]).plus(&apart[2]).multiply(&E::ONE);
        prop_assert!(x.multiply(&y).equals(&sum));
    });
}

fn takes_only_numbers_below_the_modulus<E: Element>() {
    proptest!(config(), |(last: u8)| {
        // p ends in fffffffe fffffc2f.
        let mut number = [0xff; 32];
        number[27] = 0xfe;
        number[30] = 0xfc;
        number[31] = last;
        prop_assert_eq!(E::from_bytes(&number).is_some(), last < 0x2f);
        prop_assert!(E::from_bytes(&bytes(last, 0xff)).is_some() == (last < 0xff));
    });
}

proptest! {
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
