//! Strict JSON that every reader understands in the same way (I-JSON, RFC 7493), so that it can be signed.
//!
//! If an object has a duplicate key, some readers take the first value and others the last; and some round an integer
//! beyond 2^53. A signature of such a document would cover two meanings.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The largest integer that every reader represents exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A JSON value without duplicate keys and without integers that some readers round.
pub(super) struct StrictJson(pub(super) Value);

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys and with integers within ±2^53")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        exact(value, value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        exact(value, value.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(StrictJson(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, StrictJson(value))) = object.next_entry::<String, _>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

fn exact<E: Error>(value: impl Into<Value> + fmt::Display, magnitude: u64) -> Result<Value, E> {
    if magnitude > MAX_INTEGER {
        return Err(E::custom(format_args!("the integer {value} is outside ±2^53")));
    }
    Ok(value.into())
}
