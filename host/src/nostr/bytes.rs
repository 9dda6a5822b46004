//! Event ids, public keys and signatures: bytes of a fixed length, lowercase hex in JSON (NIP-01).

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not lowercase hex of the right length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lowercase hex characters")]
pub struct HexError {
    expected: usize,
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// From its bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Reads lowercase hex of exactly the right length.
            ///
            /// # Errors
            /// When the text is anything else; uppercase hex is refused, as NIP-01 demands.
            pub fn from_hex(hex: &str) -> Result<Self, HexError> {
                let mut bytes = [0; $length];
                match base16ct::lower::decode(hex, &mut bytes) {
                    Ok(decoded) if decoded.len() == $length => Ok(Self(bytes)),
                    _ => Err(HexError { expected: $length * 2 }),
                }
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Lowercase hex.
            #[must_use]
            pub fn to_hex(&self) -> String {
                base16ct::lower::encode_string(&self.0)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut hex = [0; $length * 2];
                f.write_str(base16ct::lower::encode_str(&self.0, &mut hex).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut hex = [0; $length * 2];
                let hex = base16ct::lower::encode_str(&self.0, &mut hex).map_err(serde::ser::Error::custom)?;
                serializer.serialize_str(hex)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Hex;
                impl Visitor<'_> for Hex {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} lowercase hex characters", $length * 2)
                    }

                    fn visit_str<E: de::Error>(self, hex: &str) -> Result<$name, E> {
                        $name::from_hex(hex).map_err(|_| E::invalid_value(de::Unexpected::Str(hex), &self))
                    }
                }
                deserializer.deserialize_str(Hex)
            }
        }
    };
}

fixed_bytes! {
    /// An event's id: the SHA-256 of its canonical serialization.
    EventId, 32
}

fixed_bytes! {
    /// The public key of an event's author: an x-only secp256k1 key (BIP-340).
    PublicKey, 32
}

fixed_bytes! {
    /// The SHA-256 of a blob, by which Blossom servers know it (BUD-01).
    BlobHash, 32
}

fixed_bytes! {
    /// A Schnorr signature (BIP-340) of an event's id.
    Signature, 64
}
