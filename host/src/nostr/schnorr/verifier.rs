//! A signature verifier of our own: for WebAssembly, where it is several times as fast as `k256` (`tests/echo` measures
//! both), and natively for batches of signatures (feature `batch-verification`).
//!
//! `k256` uses complete formulas, as is necessary with secrets, and on wasm32 limbs of 52 bits, whose products
//! WebAssembly can compute only with a function call. Verification uses no secrets, so this implementation takes the
//! shortest path for each input:
//!
//! - limbs whose products the machine can compute ([`field29`], [`field52`]), and formulas with the fewest products ([`point`]);
//! - s·G - e·P as multiples by numbers of 64 and 128 bits, which share their doublings;
//! - cached tables of odd multiples: of G, and of recently used public keys. Preparing a key takes a square root and a
//!   table, which is a third of a verification. Tables of 2^64 times a key that is used often save half of the doublings;
//! - many signatures as one sum ([`batch`]).
//!
//! `docs/verification.md` has the equations and the bounds of all numbers.
//!
//! Signing, which involves a secret, is not done here.

mod batch;
mod field;
#[cfg(any(target_arch = "wasm32", test))]
mod field29;
#[cfg(not(target_arch = "wasm32"))]
mod field52;
mod inverse;
mod point;
mod scalar;
#[cfg(any(target_arch = "wasm32", test))]
mod single;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;
use std::thread::LocalKey;

use sha2::{Digest, Sha256};

use self::field::Element;
#[cfg(any(target_arch = "wasm32", test))]
use self::field29::Element29;
#[cfg(not(target_arch = "wasm32"))]
use self::field52::Element52;
// The form of numbers that is fastest on this machine.
#[cfg(target_arch = "wasm32")]
use self::field29::Element29 as FastestElement;
#[cfg(not(target_arch = "wasm32"))]
use self::field52::Element52 as FastestElement;
use self::point::{Affine, OddMultiples, shifted};
use self::scalar::Scalar;
#[cfg(target_arch = "wasm32")]
pub(super) use self::single::verify;
use super::SignedMessage;
use crate::nostr::bytes::PublicKey;

/// The width of G's digits: 256 points in each of its four tables, 74 KB together.
const GENERATOR_WIDTH: u32 = 10;

/// The width of a key's digits: 8 points in each of its two tables.
const KEY_WIDTH: u32 = 5;

/// The width of the digits of a key that is used often: 16 points in each of its four tables.
const FREQUENT_KEY_WIDTH: u32 = 6;

/// The use of a key at which it gets the larger tables. Making them takes as long as a verification, and each use saves
/// a third of one.
const FREQUENT_USES: u32 = 4;

/// Which of these signatures are valid: as one sum if they are enough, and if it fails, by what `is_valid` says of each.
pub(super) fn verify_all(
    signatures: &[SignedMessage<'_>],
    is_valid: impl Fn(&SignedMessage<'_>) -> bool,
) -> Vec<bool> {
    batch::verify_all::<FastestElement>(signatures, is_valid)
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
struct GeneratorTables<E>([OddMultiples<E>; 4]);

impl<E: Element> GeneratorTables<E> {
    fn new() -> Self {
        let mut point = Affine::generator();
        Self(std::array::from_fn(|_| {
            let multiples = OddMultiples::of(&point, 1 << (GENERATOR_WIDTH - 2));
            point = shifted(&point, 64);
            multiples
        }))
    }
}

/// The tables that all verifications with one form of numbers share.
trait SharedTables: Element {
    fn generator_tables() -> &'static GeneratorTables<Self>;

    fn key_cache() -> &'static LocalKey<RefCell<KeyCache<Self>>>;
}

#[cfg(any(target_arch = "wasm32", test))]
impl SharedTables for Element29 {
    fn generator_tables() -> &'static GeneratorTables<Self> {
        static TABLES: LazyLock<GeneratorTables<Element29>> = LazyLock::new(GeneratorTables::new);
        &TABLES
    }

    fn key_cache() -> &'static LocalKey<RefCell<KeyCache<Self>>> {
        thread_local! {
            static KEYS: RefCell<KeyCache<Element29>> = RefCell::default();
        }
        &KEYS
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl SharedTables for Element52 {
    fn generator_tables() -> &'static GeneratorTables<Self> {
        static TABLES: LazyLock<GeneratorTables<Element52>> = LazyLock::new(GeneratorTables::new);
        &TABLES
    }

    fn key_cache() -> &'static LocalKey<RefCell<KeyCache<Self>>> {
        thread_local! {
            static KEYS: RefCell<KeyCache<Element52>> = RefCell::default();
        }
        &KEYS
    }
}

/// The odd multiples of a key's point P and of its endomorphism λP.
enum KeyTables<E> {
    /// For factors of 128 bits; 1.2 KB.
    Halves { multiples: OddMultiples<E>, endomorphism: OddMultiples<E> },
    /// Of P, 2^64 P, λP and λ 2^64 P, for factors of 64 bits; 4.6 KB.
    Quarters([OddMultiples<E>; 4]),
}

impl<E: Element> KeyTables<E> {
    /// `None` if the key is not a point.
    fn of(public_key: &PublicKey) -> Option<Self> {
        let point = Affine::lift(&E::from_bytes(public_key.as_bytes())?)?;
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
struct KeyCache<E> {
    recent: BTreeMap<PublicKey, CachedKey<E>>,
    /// The previous generation. A key that is not used again in time is dropped with it.
    earlier: BTreeMap<PublicKey, CachedKey<E>>,
}

struct CachedKey<E> {
    tables: Rc<KeyTables<E>>,
    uses: u32,
}

impl<E> Default for KeyCache<E> {
    fn default() -> Self {
        Self { recent: BTreeMap::new(), earlier: BTreeMap::new() }
    }
}

impl<E: Element> KeyCache<E> {
    fn tables(&mut self, key: &PublicKey) -> Option<Rc<KeyTables<E>>> {
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

impl<E: Element> CachedKey<E> {
    fn used(&mut self) -> Rc<KeyTables<E>> {
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
