//! Tests of batches: what they refuse is what libsecp256k1 refuses, whatever is wrong and wherever.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use ::k256::elliptic_curve::ff::PrimeField as _;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{Batch, MAX_BATCH, factors, verify_all};
use crate::nostr::bytes::{EventId, PublicKey, Signature};
use crate::nostr::schnorr::verifier::scalar::Scalar;
use crate::nostr::schnorr::verifier::tests::{secrets_closest_to_zero, with_both_forms};
use crate::nostr::schnorr::verifier::{Element29, Element52, SharedTables, challenge};
use crate::nostr::schnorr::{MIN_BATCH, SignedMessage, VECTORS, libsecp256k1};

with_both_forms! {
    batches_of_every_size_hold_with_new_and_with_known_keys
    more_than_a_batch_are_several
    the_vectors_of_bip340_have_their_outcome_among_others
    the_same_signature_many_times_holds
    the_keys_closest_to_zero_hold
    two_forgeries_that_cancel_each_other_do_not_hold
    a_signature_whose_r_is_odd_does_not_hold
}

/// A signature that can be changed.
#[derive(Clone, Debug)]
struct Signed {
    public_key: [u8; 32],
    message: [u8; 32],
    signature: [u8; 64],
}

fn hash(number: u64) -> [u8; 32] {
    Sha256::digest(number.to_be_bytes()).into()
}

fn signed(secret: &[u8; 32], message: [u8; 32]) -> Signed {
    let keys = libsecp256k1::SigningKey::from_bytes(secret).unwrap();
    let signature = *keys.sign(&message).as_bytes();
    Signed { public_key: *keys.public_key().as_bytes(), message, signature }
}

/// So many signatures by so many authors.
fn many(count: usize, authors: u64, seed: u64) -> Vec<Signed> {
    (0..count as u64)
        .map(|number| signed(&hash(seed * 1_000 + number % authors), hash(seed ^ (number << 32))))
        .collect()
}

fn with_items<T>(all: &[Signed], use_them: impl FnOnce(&[SignedMessage<'_>]) -> T) -> T {
    let parts: Vec<_> = all
        .iter()
        .map(|one| (PublicKey::from_bytes(one.public_key), one.message, Signature::from_bytes(one.signature)))
        .collect();
    let items: Vec<_> = parts
        .iter()
        .map(|(public_key, message, signature)| SignedMessage { public_key, message, signature })
        .collect();
    use_them(&items)
}

fn expected(all: &[Signed]) -> Vec<bool> {
    with_items(all, |items| items.iter().map(is_valid_alone).collect())
}

fn is_valid_alone(signed: &SignedMessage<'_>) -> bool {
    libsecp256k1::verify(signed.public_key, signed.message, signed.signature)
}

fn found<E: SharedTables>(all: &[Signed]) -> Vec<bool> {
    with_items(all, |items| verify_all::<E>(items, is_valid_alone))
}

/// Whether the sum over those that are well-formed is zero.
fn holds<E: SharedTables>(all: &[Signed]) -> bool {
    with_items(all, |items| Batch::<E>::of(items).unwrap().holds())
}

fn forget_keys<E: SharedTables>() {
    E::key_cache().with_borrow_mut(|cache| {
        cache.recent.clear();
        cache.earlier.clear();
    });
}

fn batches_of_every_size_hold_with_new_and_with_known_keys<E: SharedTables>() {
    for size in [0, 1, 2, 3, 7, 8, 9, 16, 31, 64] {
        for authors in [1, 5, 1_000] {
            let all = many(size, authors, 6);
            forget_keys::<E>();
            for _ in 0..2 {
                assert!(holds::<E>(&all), "{size} by {authors}");
                assert_eq!(found::<E>(&all), vec![true; size], "{size} by {authors}");
            }
        }
    }
}

fn more_than_a_batch_are_several<E: SharedTables>() {
    let mut all = many(2 * MAX_BATCH + 1, 3, 7);
    all[MAX_BATCH].message[0] ^= 1;
    assert_eq!(found::<E>(&all), expected(&all));
}

fn the_vectors_of_bip340_have_their_outcome_among_others<E: SharedTables>() {
    let good = many(2 * MIN_BATCH, 5, 8);
    for (index, (key, message, signature, valid)) in VECTORS.iter().enumerate() {
        let vector = Signed {
            public_key: *PublicKey::from_hex(key).unwrap().as_bytes(),
            message: *EventId::from_hex(message).unwrap().as_bytes(),
            signature: *Signature::from_hex(signature).unwrap().as_bytes(),
        };
        let place = index % good.len();
        let mut all = good.clone();
        all.insert(place, vector.clone());
        let mut outcomes = vec![true; all.len()];
        outcomes[place] = *valid;
        assert_eq!(found::<E>(&all), outcomes, "vector {index}");
        assert_eq!(found::<E>(&vec![vector; MIN_BATCH]), [*valid; MIN_BATCH], "only vector {index}");
    }
}

/// All rows then add points to themselves.
fn the_same_signature_many_times_holds<E: SharedTables>() {
    let all = vec![signed(&hash(1), hash(2)); 40];
    assert!(holds::<E>(&all));
    let mut forged = all;
    forged[7].signature[63] ^= 1;
    assert!(!holds::<E>(&forged));
    assert_eq!(found::<E>(&forged), expected(&forged));
}

/// The points of these keys are in the tables of G, or the negations of such points.
fn the_keys_closest_to_zero_hold<E: SharedTables>() {
    let all: Vec<_> =
        secrets_closest_to_zero().map(|secret| signed(&secret, hash(secret[31].into()))).collect();
    assert!(holds::<E>(&all));
    assert_eq!(found::<E>(&all), vec![true; all.len()]);
}

/// Without factors, or with the same factor for both, s + 1 in one and s - 1 in the other would hold.
fn two_forgeries_that_cancel_each_other_do_not_hold<E: SharedTables>() {
    let mut all = many(MIN_BATCH, 3, 9);
    assert!(holds::<E>(&all));
    step(&mut all[2].signature[32..], true);
    assert!(!holds::<E>(&all));
    step(&mut all[5].signature[32..], false);
    assert!(!holds::<E>(&all));
    assert_eq!(found::<E>(&all), expected(&all));
}

/// BIP-340 takes the point with the even y for R.
fn a_signature_whose_r_is_odd_does_not_hold<E: SharedTables>() {
    let key = ::k256::schnorr::SigningKey::from_slice(&hash(1)).unwrap();
    let public_key = PublicKey::from_bytes(key.verifying_key().to_bytes().into());
    let message = hash(2);
    for (nonce, is_odd) in (1..20_u64).map(hash).flat_map(|nonce| [(nonce, false), (nonce, true)]) {
        let point = ::k256::schnorr::SigningKey::from_slice(&nonce).unwrap();
        let r: [u8; 32] = point.verifying_key().to_bytes().into();
        let e = ::k256::Scalar::from_repr(challenge(&r, &public_key, &message).to_bytes().into()).unwrap();
        // The nonce of the point with the even y.
        let k = **point.as_nonzero_scalar();
        let s = if is_odd { -k } else { k } + e * **key.as_nonzero_scalar();
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s.to_bytes());
        let mut all = many(MIN_BATCH, 3, 10);
        all[4] = Signed { public_key: *public_key.as_bytes(), message, signature };
        assert_eq!(holds::<E>(&all), !is_odd);
        assert_eq!(found::<E>(&all), expected(&all));
    }
}

#[test]
fn the_factors_differ_and_depend_on_every_signature() {
    let scalar = |number| Scalar::reduced_from(&hash(number));
    let of = |numbers: [u64; 3]| {
        let pairs = numbers.map(|number| (scalar(number), scalar(number + 100)));
        factors(pairs.iter().map(|(s, e)| (s, e))).unwrap()
    };
    let mut all = [of([1, 2, 3]), of([1, 2, 4]), of([0, 2, 3])].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9);
    assert_eq!(of([1, 2, 3]), of([1, 2, 3]));
}

fn step(number: &mut [u8], up: bool) {
    for byte in number.iter_mut().rev() {
        let (next, carry) = if up { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        *byte = next;
        if !carry {
            break;
        }
    }
}

/// What is done to a batch.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    FlipKey(usize),
    FlipMessage(usize),
    FlipR(usize),
    FlipS(usize),
    SwapMessages,
    TakeR,
    TakeS,
    TakeKey,
    LargestR,
    LargestS,
    NoS,
    CancelOut,
    Repeat,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation::*;
    let bit = 0..256_usize;
    prop_oneof![
        bit.clone().prop_map(FlipKey),
        bit.clone().prop_map(FlipMessage),
        bit.clone().prop_map(FlipR),
        bit.prop_map(FlipS),
        Just(SwapMessages),
        Just(TakeR),
        Just(TakeS),
        Just(TakeKey),
        Just(LargestR),
        Just(LargestS),
        Just(NoS),
        Just(CancelOut),
        Just(Repeat),
    ]
}

fn mutate(all: &mut [Signed], mutation: Mutation, at: usize, other: usize) {
    let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
    let source = all[other].clone();
    match mutation {
        Mutation::FlipKey(bit) => flip(&mut all[at].public_key, bit),
        Mutation::FlipMessage(bit) => flip(&mut all[at].message, bit),
        Mutation::FlipR(bit) => flip(&mut all[at].signature[..32], bit),
        Mutation::FlipS(bit) => flip(&mut all[at].signature[32..], bit),
        Mutation::SwapMessages => {
            all[other].message = all[at].message;
            all[at].message = source.message;
        }
        Mutation::TakeR => all[at].signature[..32].copy_from_slice(&source.signature[..32]),
        Mutation::TakeS => all[at].signature[32..].copy_from_slice(&source.signature[32..]),
        Mutation::TakeKey => all[at].public_key = source.public_key,
        Mutation::LargestR => all[at].signature[..32].fill(0xff),
        Mutation::LargestS => all[at].signature[32..].fill(0xff),
        Mutation::NoS => all[at].signature[32..].fill(0),
        Mutation::CancelOut => {
            step(&mut all[at].signature[32..], true);
            step(&mut all[other].signature[32..], false);
        }
        Mutation::Repeat => all[at] = source,
    }
}

/// Whether a batch has these outcomes, where the sum itself accepts nothing else.
fn agrees<E: SharedTables>(all: &[Signed], expected: &[bool], is_known: bool) -> Result<(), TestCaseError> {
    if !is_known {
        forget_keys::<E>();
    }
    prop_assert_eq!(found::<E>(all), expected);
    // What is left out of the sum is not valid either.
    let in_sum = with_items(all, |items| {
        let batch = Batch::<E>::of(items).unwrap();
        let numbers: Vec<usize> = batch.terms.iter().map(|term| term.number).collect();
        (batch.holds(), numbers)
    });
    let (holds, numbers) = in_sum;
    prop_assert_eq!(holds, numbers.iter().all(|number| expected[*number]));
    prop_assert!((0..all.len()).all(|number| !expected[number] || numbers.contains(&number)));
    Ok(())
}

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(500), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_batch_refuses_exactly_what_libsecp256k1_refuses(
        seed in 0..1_000_u64,
        count in MIN_BATCH..20_usize,
        authors in 1..24_u64,
        is_known: bool,
        mutations in prop::collection::vec((mutation(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let mut all = many(count, authors, seed);
        for (mutation, at, other) in mutations {
            mutate(&mut all, mutation, at.index(count), other.index(count));
        }
        let expected = expected(&all);
        agrees::<Element29>(&all, &expected, is_known)?;
        agrees::<Element52>(&all, &expected, is_known)?;
    }
}
