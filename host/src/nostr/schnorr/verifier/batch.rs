//! Many signatures verified as one sum (BIP-340, "Batch Verification").
//!
//! Each signature holds if s·G - e·P - R is zero. If each of these is multiplied by a factor that nobody could know
//! before, their sum is zero only if all are, except with a probability of about 2^-128. The sum needs one row of
//! doublings for all, and one multiple for all signatures by the same key. `docs/verification.md` has the equations, the
//! bounds, and what a failure can do.
//!
//! If the sum is not zero, each signature is verified alone: halving the batch would be faster for a single forgery, but
//! takes twice as long for many.

mod rows;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use self::rows::{Rows, first_odd_multiples};
use super::point::{Affine, OddMultiples};
use super::scalar::{Digits, Half, Scalar, ScalarSum};
use super::{FREQUENT_KEY_WIDTH, GENERATOR_WIDTH, KEY_WIDTH, KeyTables, SharedTables, challenge};
use crate::nostr::bytes::PublicKey;
use crate::nostr::schnorr::{MIN_BATCH, SignedMessage};

/// The most signatures in a sum. Its points take 9 KB of memory for each.
const MAX_BATCH: usize = 128;

/// The width of an R's digits: 4 points in each of its two tables.
const R_WIDTH: u32 = 4;

/// Which of these signatures are valid, where `is_valid` says that of one alone.
pub(super) fn verify_all<E: SharedTables>(
    signatures: &[SignedMessage<'_>],
    is_valid: impl Fn(&SignedMessage<'_>) -> bool,
) -> Vec<bool> {
    let batches = signatures.len().div_ceil(MAX_BATCH).max(1);
    let size = signatures.len().div_ceil(batches).max(1);
    signatures.chunks(size).flat_map(|batch| verify_batch::<E>(batch, &is_valid)).collect()
}

fn verify_batch<E: SharedTables>(
    signatures: &[SignedMessage<'_>],
    is_valid: impl Fn(&SignedMessage<'_>) -> bool,
) -> Vec<bool> {
    let batch = if signatures.len() < MIN_BATCH { None } else { Batch::<E>::of(signatures) };
    match batch {
        Some(batch) if batch.holds() => {
            let mut valid = vec![false; signatures.len()];
            for term in &batch.terms {
                if let Some(valid) = valid.get_mut(term.number) {
                    *valid = true;
                }
            }
            valid
        }
        _ => signatures.iter().map(is_valid).collect(),
    }
}

/// Signatures that are well-formed, to be summed.
struct Batch<E> {
    terms: Vec<Term<E>>,
    keys: Vec<Rc<KeyTables<E>>>,
}

/// A signature in a batch.
struct Term<E> {
    /// Its place among all signatures.
    number: usize,
    /// The place of its key among those of the batch.
    key: usize,
    s: Scalar,
    e: Scalar,
    /// The odd multiples of R and of λR.
    r: [OddMultiples<E>; 2],
    /// The factor is the first plus λ times the second.
    factor: [u64; 2],
}

impl<E: SharedTables> Batch<E> {
    /// Leaves out what has no R, no key, or numbers beyond their range, and therefore is not valid. `None` if there is no
    /// secret for the factors.
    fn of(signatures: &[SignedMessage<'_>]) -> Option<Self> {
        let mut keys: Vec<Rc<KeyTables<E>>> = Vec::new();
        let mut places: BTreeMap<&PublicKey, usize> = BTreeMap::new();
        let (mut parsed, mut all_x) = (Vec::new(), Vec::new());
        for (number, signed) in signatures.iter().enumerate() {
            let (halves, _) = signed.signature.as_bytes().as_chunks::<32>();
            let [r, s] = halves else { continue };
            let (Some(x), Some(s)) = (E::from_bytes(r), Scalar::from_bytes(s)) else { continue };
            let tables = E::key_cache().with(|cache| cache.try_borrow_mut().ok()?.tables(signed.public_key));
            let Some(tables) = tables else { continue };
            let key = *places.entry(signed.public_key).or_insert(keys.len());
            match keys.get_mut(key) {
                // They may have become larger.
                Some(known) => *known = tables,
                None => keys.push(tables),
            }
            parsed.push((number, key, s, challenge(r, signed.public_key, signed.message)));
            all_x.push(x);
        }
        let lifted = parsed.into_iter().zip(Affine::lift_all(&all_x));
        let (parsed, points): (Vec<_>, Vec<Affine<E>>) =
            lifted.filter_map(|(parsed, r)| Some((parsed, r?))).unzip();
        let factors = factors(parsed.iter().map(|(_, _, s, e)| (s, e)))?;
        let multiples = first_odd_multiples(&points)?;
        let terms =
            parsed.into_iter().zip(factors).zip(multiples).map(|(((number, key, s, e), factor), r)| {
                let endomorphism = r.endomorphism();
                Term { number, key, s, e, factor, r: [r, endomorphism] }
            });
        Some(Self { terms: terms.collect(), keys })
    }

    /// Whether the sum of factor · (e·P + R - s·G) is zero.
    fn holds(&self) -> bool {
        let mut of_generator = [ScalarSum::default(); 2];
        let mut of_keys = vec![[ScalarSum::default(); 2]; self.keys.len()];
        for term in &self.terms {
            for (sum, factor) in of_generator.iter_mut().zip(term.factor) {
                sum.add_product(factor, term.s);
            }
            for (sum, factor) in of_keys.get_mut(term.key).into_iter().flatten().zip(term.factor) {
                sum.add_product(factor, term.e);
            }
        }
        let whole = |[first, second]: [ScalarSum; 2]| first.reduced().plus_lambda_times(second.reduced());
        let mut rows = Rows::with_capacity(64_usize.saturating_mul(self.terms.len().saturating_add(1)));
        let generator = whole(of_generator).negated();
        let parts = [generator.low, generator.high].map(|half| Half::positive(half).parts());
        for (part, multiples) in parts.as_flattened().iter().zip(&E::generator_tables().0) {
            rows.add(&Digits::of(*part, GENERATOR_WIDTH), multiples);
        }
        for (sums, tables) in of_keys.into_iter().zip(&self.keys) {
            let halves = whole(sums).split();
            match &**tables {
                KeyTables::Halves { multiples, endomorphism } => {
                    for (half, multiples) in halves.into_iter().zip([multiples, endomorphism]) {
                        rows.add(&Digits::of(half, KEY_WIDTH), multiples);
                    }
                }
                KeyTables::Quarters(tables) => {
                    for (part, multiples) in halves.map(Half::parts).as_flattened().iter().zip(tables) {
                        rows.add(&Digits::of(*part, FREQUENT_KEY_WIDTH), multiples);
                    }
                }
            }
        }
        for term in &self.terms {
            for (factor, multiples) in term.factor.into_iter().zip(&term.r) {
                rows.add(&Digits::of(Half::positive(factor.into()), R_WIDTH), multiples);
            }
        }
        rows.sums_to_zero()
    }
}

/// A factor for each signature, of 128 bits. Nobody can choose signatures that suit them: they depend on a secret of this
/// process and on all signatures of the batch; e is a hash of R, key and message. `None` if there is no secret.
fn factors<'a>(signatures: impl Iterator<Item = (&'a Scalar, &'a Scalar)>) -> Option<Vec<[u64; 2]>> {
    static SECRET: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok().map(|()| secret)
    });
    let mut all = Sha256::new_with_prefix((*SECRET)?);
    let mut count = 0_u64;
    for (s, e) in signatures {
        all.update(s.to_bytes());
        all.update(e.to_bytes());
        count = count.saturating_add(1);
    }
    let seed = all.finalize();
    let factor = |number: u64| {
        let hash: [u8; 32] =
            Sha256::new_with_prefix(seed).chain_update(number.to_be_bytes()).finalize().into();
        match hash.as_chunks::<8>().0 {
            [first, second, ..] => Some([first, second].map(|word| u64::from_be_bytes(*word))),
            _ => None,
        }
    };
    (0..count).map(factor).collect()
}

#[cfg(test)]
mod tests;
