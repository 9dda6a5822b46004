//! A signature verifier for WebAssembly, several times as fast as `k256` there (`tests/echo` measures both).
//!
//! `k256` uses complete formulas, as is necessary with secrets, and on wasm32 limbs of 52 bits, whose products
//! WebAssembly can compute only with a function call. Verification uses no secrets, so this implementation takes the
//! shortest path for each input:
//!
//! - limbs whose products fit into 64 bits ([`field`]), and formulas with the fewest products ([`point`]);
//! - s·G - e·P as four multiples by numbers of 128 bits, which share their doublings;
//! - cached tables of odd multiples: of G, and of recently used public keys. Preparing a key takes a square root and a
//!   table, which is a third of a verification.
//!
//! Many signatures could be verified together as one sum with random factors. But each would still need a square root
//! for its R, a table, and 66 additions, in addition to its share of the doublings: two thirds of the cost of a single
//! verification, for large batches. A Durable Object receives its messages one by one, so the first would have to wait
//! for the others, and one forged signature would force all to be verified alone. It is not worth that.
//!
//! Signing, which involves a secret, is done by `k256`.

mod field;
mod point;
mod scalar;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use self::field::Element;
use self::point::{Affine, OddMultiples, shifted, sum_of_multiples};
use self::scalar::{Digits, Half, Scalar};
use crate::nostr::bytes::{PublicKey, Signature};

/// The width of G's digits: 256 points in each of its two tables, 37 KB together.
const GENERATOR_WIDTH: u32 = 10;

/// The width of a key's digits: 8 points in each of its two tables.
const KEY_WIDTH: u32 = 5;

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

    let [first, second] = minus_e.split().map(|half| Digits::of(half, KEY_WIDTH));
    let [low, high] = [s.low, s.high].map(|half| Digits::of(Half::positive(half), GENERATOR_WIDTH));
    let point = sum_of_multiples(&[
        (&low, &GENERATOR.multiples),
        (&high, &GENERATOR.shifted),
        (&first, &key.multiples),
        (&second, &key.endomorphism),
    ])?;
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

struct GeneratorTables {
    multiples: OddMultiples,
    /// The multiples of 2^128 times G.
    shifted: OddMultiples,
}

static GENERATOR: LazyLock<GeneratorTables> = LazyLock::new(|| {
    let count = 1 << (GENERATOR_WIDTH - 2);
    let generator = Affine::generator();
    GeneratorTables {
        multiples: OddMultiples::of(&generator, count),
        shifted: OddMultiples::of(&shifted(&generator), count),
    }
});

struct KeyTables {
    multiples: OddMultiples,
    endomorphism: OddMultiples,
}

impl KeyTables {
    /// `None` if the key is not a point.
    fn of(public_key: &PublicKey) -> Option<Self> {
        let point = Affine::lift(&Element::from_bytes(public_key.as_bytes())?)?;
        let multiples = OddMultiples::of(&point, 1 << (KEY_WIDTH - 2));
        Some(Self { endomorphism: multiples.endomorphism(), multiples })
    }
}

/// How many keys a generation of the cache has, at 1.2 KB each.
const GENERATION: usize = 128;

/// The tables of the keys that were used last.
#[derive(Default)]
struct KeyCache {
    recent: BTreeMap<PublicKey, Rc<KeyTables>>,
    /// The previous generation. A key that is not used again in time is dropped with it.
    earlier: BTreeMap<PublicKey, Rc<KeyTables>>,
}

thread_local! {
    static KEY_CACHE: RefCell<KeyCache> = RefCell::default();
}

impl KeyCache {
    fn tables(&mut self, key: &PublicKey) -> Option<Rc<KeyTables>> {
        if let Some(tables) = self.recent.get(key) {
            return Some(Rc::clone(tables));
        }
        let tables = match self.earlier.remove(key) {
            Some(tables) => tables,
            None => Rc::new(KeyTables::of(key)?),
        };
        if self.recent.len() >= GENERATION {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(*key, Rc::clone(&tables));
        Some(tables)
    }
}

#[cfg(test)]
mod tests;
