//! Verification for WebAssembly, several times as fast as `k256` there (`tests/echo` measures both).
//!
//! `k256` uses formulas that hold for all points, as one must with secrets, and on wasm32 limbs of 52 bits, whose products
//! WebAssembly can only make in a call. Verification knows no secrets, so this one takes the shortest way for the numbers
//! at hand:
//!
//! - limbs whose products fit into 64 bits ([`field`]), and formulas with the fewest of them ([`point`]);
//! - s·G - e·P as four multiples by numbers of 128 bits, with one row of doublings for all;
//! - tables of G's odd multiples, made once, and of those of the authors that were seen last: an author's key is a square
//!   root and a table away from being usable, which is a third of a verification.
//!
//! Many signatures could be verified together, as one sum with random factors. Each then still needs a square root
//! for its R, a table, and 66 additions beside its share of the doublings: two thirds of what it costs alone, once a good
//! many are gathered. A Durable Object is given its messages one by one, so that the first of them would have to wait for
//! the others, and one forged signature sends all back to be verified alone. It is not worth that.
//!
//! Signing, which does know a secret, is `k256`'s.

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
    let key = KEYS.with(|keys| keys.try_borrow_mut().ok()?.tables(public_key))?;
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

/// BIP-340's e: a hash that is tagged with its purpose.
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
    /// Those of 2^128 times G.
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
    /// None if the key is no point's.
    fn of(public_key: &PublicKey) -> Option<Self> {
        let point = Affine::lift(&Element::from_bytes(public_key.as_bytes())?)?;
        let multiples = OddMultiples::of(&point, 1 << (KEY_WIDTH - 2));
        Some(Self { endomorphism: multiples.endomorphism(), multiples })
    }
}

/// How many keys a generation has: 1.2 KB each.
const GENERATION: usize = 128;

/// The tables of the keys that were used last.
#[derive(Default)]
struct Keys {
    recent: BTreeMap<PublicKey, Rc<KeyTables>>,
    /// Those of the generation before. Who is not asked for in time goes with it.
    earlier: BTreeMap<PublicKey, Rc<KeyTables>>,
}

thread_local! {
    static KEYS: RefCell<Keys> = RefCell::default();
}

impl Keys {
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
