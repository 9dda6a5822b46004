//! The rows of a Durable Object's database, copied out of JavaScript.

use ::worker::js_sys::{Array, ArrayBuffer, Uint8Array};
use ::worker::wasm_bindgen::{JsCast, JsValue};

use crate::port::sql::{Columns, MAX_INTEGER, SqlError, Value};

/// The values of a row, copied out of JavaScript.
#[derive(Default)]
pub(super) struct RawRow(Vec<Owned>);

enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl RawRow {
    /// Replaces the row before.
    pub(super) fn read(&mut self, columns: &Array) -> Result<(), SqlError> {
        self.0.clear();
        for index in 0..columns.length() {
            self.0.push(owned(&columns.get(index))?);
        }
        Ok(())
    }
}

impl Columns for RawRow {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn value(&self, index: usize) -> Result<Value<'_>, SqlError> {
        Ok(match self.0.get(index) {
            None | Some(Owned::Null) => Value::Null,
            Some(Owned::Integer(integer)) => Value::Integer(*integer),
            Some(Owned::Real(real)) => Value::Real(*real),
            Some(Owned::Text(text)) => Value::Text(text),
            Some(Owned::Blob(bytes)) => Value::Blob(bytes),
        })
    }
}

/// The most common types are tried first: each test is a call into JavaScript.
fn owned(value: &JsValue) -> Result<Owned, SqlError> {
    if let Some(number) = value.as_f64() {
        return Ok(integer(number).map_or(Owned::Real(number), Owned::Integer));
    }
    if let Some(text) = value.as_string() {
        return Ok(Owned::Text(text));
    }
    if value.is_null() {
        return Ok(Owned::Null);
    }
    match value.dyn_ref::<ArrayBuffer>() {
        Some(buffer) => Ok(Owned::Blob(Uint8Array::new(buffer).to_vec())),
        None => Err(SqlError::Statement(
            "the runtime gave a value of a type that SQLite does not have".to_owned(),
        )),
    }
}

/// The number if it is an integer that JavaScript can tell from its neighbours.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "within ±2^53 both are exact"
)]
fn integer(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_INTEGER as f64).then_some(number as i64)
}
