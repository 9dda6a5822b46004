//! Reading a struct from a JSON object, and from nothing else.
//!
//! A derived `Deserialize` also reads a struct from an array of its fields' values. No protocol here means that.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A value read from a JSON object.
///
/// ```
/// use openagents_host::JsonObject;
///
/// #[derive(serde::Deserialize)]
/// struct Name {
///     name: String,
/// }
///
/// let JsonObject(Name { name }) = serde_json::from_str(r#"{"name":"Ada"}"#).unwrap();
/// assert_eq!(name, "Ada");
/// assert!(serde_json::from_str::<JsonObject<Name>>(r#"["Ada"]"#).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonObject<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}
