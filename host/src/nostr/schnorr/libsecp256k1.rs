//! Native signing, verification and shared secrets with libsecp256k1, Bitcoin Core's C library.

use std::cell::RefCell;
use std::sync::LazyLock;

use secp256k1::{All, Keypair, Parity, Secp256k1, SecretKey, XOnlyPublicKey, ecdh};

use crate::nostr::bytes::{PublicKey, Signature};

static CONTEXT: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// How many points each thread caches.
const CACHED_POINTS: usize = 256;

thread_local! {
    /// The points of recently used keys, each in the slot given by its last byte. Computing the point of a key is a
    /// tenth of a verification, and authors usually publish more than once.
    static CACHE: RefCell<Vec<Option<(PublicKey, XOnlyPublicKey)>>> = RefCell::new(vec![None; CACHED_POINTS]);
}

/// The point of a key, if it has one.
fn point(key: &PublicKey) -> Option<XOnlyPublicKey> {
    let read = || XOnlyPublicKey::from_byte_array(key.as_bytes()).ok();
    let [.., slot] = *key.as_bytes();
    let cached = CACHE.try_with(|cached| match cached.borrow_mut().get_mut(usize::from(slot)) {
        Some(Some((cached, point))) if cached == key => Some(*point),
        Some(vacant) => {
            let point = read()?;
            *vacant = Some((*key, point));
            Some(point)
        }
        None => read(),
    });
    cached.unwrap_or_else(|_| read())
}

pub(crate) fn verify(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    let Some(key) = point(public_key) else { return false };
    let signature = secp256k1::schnorr::Signature::from_byte_array(*signature.as_bytes());
    CONTEXT.verify_schnorr(&signature, message, &key).is_ok()
}

#[derive(Clone)]
pub(crate) struct SigningKey(Keypair);

impl SigningKey {
    /// The key with these bytes; `None` if they are zero or beyond the group's order.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_byte_array(bytes).ok()?;
        Some(Self(Keypair::from_secret_key(&CONTEXT, &secret)))
    }

    pub(crate) fn to_bytes(&self) -> [u8; 32] {
        self.0.secret_bytes()
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.x_only_public_key().0.serialize())
    }

    pub(crate) fn sign(&self, message: &[u8; 32]) -> Signature {
        Signature::from_bytes(CONTEXT.sign_schnorr_no_aux_rand(message, &self.0).to_byte_array())
    }

    /// The x coordinate of the product of this key and `with`, taken as the point with an even y; `None` if it is not
    /// a point.
    pub(crate) fn shared_secret(&self, with: &PublicKey) -> Option<[u8; 32]> {
        let with = XOnlyPublicKey::from_byte_array(with.as_bytes()).ok()?.public_key(Parity::Even);
        // x and y: `SharedSecret::new` would hash them, which Nostr does not do.
        ecdh::shared_secret_point(&with, &self.0.secret_key()).first_chunk().copied()
    }
}
