//! A signature verifier for WebAssembly, several times as fast as `k256` there (`tests/echo` measures both).
//!
//! `k256` uses complete formulas, as is necessary with secrets, and on wasm32 limbs of 52 bits, whose products
//! WebAssembly can compute only with a function call. Verification uses no secrets, so this implementation takes the
//! shortest path for each input:
//!
//! - limbs whose products fit into 64 bits ([`field`]), and formulas with the fewest products ([`point`]);
//! - s·G - e·P as multiples by numbers of 64 and 128 bits, which share their doublings;
//! - cached tables of odd multiples: of G, and of recently used public keys. Preparing a key takes a square root and a
//!   table, which is a third of a verification. Tables of 2^64 times a key that is used often save half of the doublings;
//! - many signatures as one sum ([`batch`]).
//!
//! `docs/verification.md` has the equations and the bounds of all numbers.
//!
//! Signing, which involves a secret, is done by `k256`.

mod batch;
mod field;
mod inverse;
mod point;
mod scalar;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

#[cfg(target_arch = "wasm32")]
pub(crate) use self::batch::verify_all;
use self::field::Element;
use self::point::{Affine, OddMultiples, shifted, sum_of_multiples};
use self::scalar::{Digits, Half, Scalar};
use crate::nostr::bytes::{PublicKey, Signature};

/// The width of G's digits: 256 points in each of its four tables, 74 KB together.
const GENERATOR_WIDTH: u32 = 10;

/// The width of a key's digits: 8 points in each of its two tables.
const KEY_WIDTH: u32 = 5;

/// The width of the digits of a key that is used often: 16 points in each of its four tables.
const FREQUENT_KEY_WIDTH: u32 = 6;

/// The use of a key at which it gets the larger tables. Making them takes as long as a verification, and each use saves
/// a third of one.
const FREQUENT_USES: u32 = 4;

/// Whether `signature` is `public_key`'s signature of `message` (BIP-340).
pub(crate) fn verify(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    is_valid(public_key, message, signature).unwrap_or(false)
}

fn is_valid(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> Option<bool> {
    let (halves, _) = signature.as_bytes().as_chunks::<32>();
    let [r, s] = halves else { return None };
    let x = Element::from_bytes(r)?;
    let s = Scalar::from_bytes(s)?;
    let key = KEY_CACHE.with(|keys| keys.try_borrow_mut().ok()?.tables(public_key))?;
    let minus_e = challenge(r, public_key, message).negated();

    let digits = |parts: [Half; 2], width| parts.map(|part| Digits::of(part, width));
    let [g0, g1] = digits(Half::positive(s.low).parts(), GENERATOR_WIDTH);
    let [g2, g3] = digits(Half::positive(s.high).parts(), GENERATOR_WIDTH);
    let [t0, t1, t2, t3] = &GENERATOR.0;
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

/// BIP-340's e: a tagged hash.
fn challenge(r: &[u8; 32], public_key: &PublicKey, message: &[u8; 32]) -> Scalar {
    static TAGGED: LazyLock<Sha256> = LazyLock::new(|| {
        let tag = Sha256::digest(b"BIP0340/challenge");
        Sha256::new().chain_update(tag).chain_update(tag)
    });
    let hash =
        TAGGED.clone().chain_update(r).chain_update(public_key.as_bytes()).chain_update(message).finalize();
    Scalar::reduced_from(&hash.into())
}

/// The odd multiples of 2^0, 2^64, 2^128 and 2^192 times G.
struct GeneratorTables([OddMultiples; 4]);

static GENERATOR: LazyLock<GeneratorTables> = LazyLock::new(|| {
    let mut point = Affine::generator();
    GeneratorTables(std::array::from_fn(|_| {
        let multiples = OddMultiples::of(&point, 1 << (GENERATOR_WIDTH - 2));
        point = shifted(&point, 64);
        multiples
    }))
});

/// The odd multiples of a key's point P and of its endomorphism λP.
enum KeyTables {
    /// For factors of 128 bits; 1.2 KB.
    Halves { multiples: OddMultiples, endomorphism: OddMultiples },
    /// Of P, 2^64 P, λP and λ 2^64 P, for factors of 64 bits; 4.6 KB.
    Quarters([OddMultiples; 4]),
}

impl KeyTables {
    /// `None` if the key is not a point.
    fn of(public_key: &PublicKey) -> Option<Self> {
        let point = Affine::lift(&Element::from_bytes(public_key.as_bytes())?)?;
        let multiples = OddMultiples::of(&point, 1 << (KEY_WIDTH - 2));
        Some(Self::Halves { endomorphism: multiples.endomorphism(), multiples })
    }

    /// The larger tables of the same key; `None` if these are the larger ones.
    fn quarters(&self) -> Option<Self> {
        let Self::Halves { multiples, .. } = self else { return None };
        let point = multiples.first()?;
        let [lower, upper] =
            [*point, shifted(point, 64)].map(|point| OddMultiples::of(&point, 1 << (FREQUENT_KEY_WIDTH - 2)));
        let endomorphisms = [lower.endomorphism(), upper.endomorphism()];
        let [lower_endomorphism, upper_endomorphism] = endomorphisms;
        Some(Self::Quarters([lower, upper, lower_endomorphism, upper_endomorphism]))
    }
}

/// How many keys a generation of the cache has. Two generations take 1.2 MB at most.
const GENERATION: usize = 128;

/// The tables of the keys that were used last.
#[derive(Default)]
struct KeyCache {
    recent: BTreeMap<PublicKey, CachedKey>,
    /// The previous generation. A key that is not used again in time is dropped with it.
    earlier: BTreeMap<PublicKey, CachedKey>,
}

struct CachedKey {
    tables: Rc<KeyTables>,
    uses: u32,
}

thread_local! {
    static KEY_CACHE: RefCell<KeyCache> = RefCell::default();
}

impl KeyCache {
    fn tables(&mut self, key: &PublicKey) -> Option<Rc<KeyTables>> {
        if let Some(cached) = self.recent.get_mut(key) {
            return Some(cached.used());
        }
        let mut cached = match self.earlier.remove(key) {
            Some(cached) => cached,
            None => CachedKey { tables: Rc::new(KeyTables::of(key)?), uses: 0 },
        };
        let tables = cached.used();
        if self.recent.len() >= GENERATION {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(*key, cached);
        Some(tables)
    }
}

impl CachedKey {
    fn used(&mut self) -> Rc<KeyTables> {
        self.uses = self.uses.saturating_add(1);
        if self.uses == FREQUENT_USES
            && let Some(quarters) = self.tables.quarters()
        {
            self.tables = Rc::new(quarters);
        }
        Rc::clone(&self.tables)
    }
}

#[cfg(test)]
mod tests;
