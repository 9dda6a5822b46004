//! The values that are bound to a statement, and the rows that it returns.

use super::SqlError;
use crate::nostr::{BlobHash, EventId, Kind, PublicKey};
use crate::time::Timestamp;

/// One value, bound to a `?` or read from a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `NULL`.
    Null,
    /// An integer within ±2^53.
    Integer(i64),
    /// A floating point number.
    Real(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl Value<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $into:expr;)*) => {
        $(impl<'a> From<$from> for Value<'a> {
            fn from($value: $from) -> Self { $into }
        })*
    };
}

value_from! {
    i64 => |value| Self::Integer(value);
    i32 => |value| Self::Integer(value.into());
    u32 => |value| Self::Integer(value.into());
    u16 => |value| Self::Integer(value.into());
    u64 => |value| Self::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    usize => |value| Self::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    bool => |value| Self::Integer(value.into());
    f64 => |value| Self::Real(value);
    Timestamp => |value| value.as_millis().into();
    Kind => |value| value.0.into();
    &'a str => |value| Self::Text(value);
    &'a String => |value| Self::Text(value);
    &'a [u8] => |value| Self::Blob(value);
    &'a EventId => |value| Self::Blob(value.as_bytes());
    &'a PublicKey => |value| Self::Blob(value.as_bytes());
    &'a BlobHash => |value| Self::Blob(value.as_bytes());
}

impl<'a, T: Into<Self>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The columns of the current row, as provided by a host.
pub trait Columns {
    /// The number of columns.
    fn count(&self) -> usize;

    /// The value of a column, starting at 0; `NULL` beyond the last.
    ///
    /// # Errors
    /// When the value cannot be represented (text that is not UTF-8).
    fn value(&self, index: usize) -> Result<Value<'_>, SqlError>;
}

/// A row, valid until the next one is read.
#[derive(Clone, Copy)]
pub struct Row<'r>(&'r dyn Columns);

impl<'r> Row<'r> {
    /// A row of these columns.
    pub fn new(columns: &'r dyn Columns) -> Self {
        Self(columns)
    }

    /// The number of columns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// The value of a column of any type, starting at 0; `NULL` beyond the last.
    ///
    /// # Errors
    /// When the value cannot be represented (text that is not UTF-8).
    pub fn value(&self, index: usize) -> Result<Value<'r>, SqlError> {
        self.0.value(index)
    }

    /// The value of one column, starting at 0.
    ///
    /// # Errors
    /// When it has another type.
    pub fn column<T: Column<'r>>(&self, index: usize) -> Result<T, SqlError> {
        let value = self.0.value(index)?;
        T::from_value(value).ok_or_else(|| SqlError::Column {
            index,
            expected: T::EXPECTED,
            found: value.name(),
        })
    }
}

/// A type that a column can be read as.
pub trait Column<'r>: Sized {
    /// The expected type, for the error message.
    const EXPECTED: &'static str;

    /// The value, if it has this type.
    fn from_value(value: Value<'r>) -> Option<Self>;
}

macro_rules! column {
    ($($type:ty, $expected:literal, $pattern:pat => $value:expr;)*) => {
        $(impl<'r> Column<'r> for $type {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: Value<'r>) -> Option<Self> {
                match value { $pattern => $value, _ => None }
            }
        })*
    };
}

column! {
    i64, "an integer", Value::Integer(integer) => Some(integer);
    u64, "a positive integer", Value::Integer(integer) => integer.try_into().ok();
    u32, "a positive integer below 2^32", Value::Integer(integer) => integer.try_into().ok();
    u16, "a positive integer below 2^16", Value::Integer(integer) => integer.try_into().ok();
    bool, "0 or 1", Value::Integer(integer @ (0 | 1)) => Some(integer == 1);
    &'r str, "text", Value::Text(text) => Some(text);
    String, "text", Value::Text(text) => Some(text.to_owned());
    &'r [u8], "bytes", Value::Blob(bytes) => Some(bytes);
    Vec<u8>, "bytes", Value::Blob(bytes) => Some(bytes.to_vec());
    EventId, "32 bytes", Value::Blob(bytes) => bytes.try_into().ok();
    PublicKey, "32 bytes", Value::Blob(bytes) => bytes.try_into().ok();
    BlobHash, "32 bytes", Value::Blob(bytes) => bytes.try_into().ok();
    Timestamp, "milliseconds", Value::Integer(integer) => integer.try_into().ok().map(Timestamp::from_millis);
    Kind, "a kind", Value::Integer(integer) => integer.try_into().ok().map(Kind);
}

impl Column<'_> for f64 {
    const EXPECTED: &'static str = "a number";

    // A Durable Object does not distinguish number types: 1.0 is returned as the integer 1.
    #[expect(clippy::cast_precision_loss, reason = "integers of the port are within ±2^53")]
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Real(real) => Some(real),
            Value::Integer(integer) => Some(integer as Self),
            _ => None,
        }
    }
}

impl<'r, T: Column<'r>> Column<'r> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: Value<'r>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A type that a whole row can be read as: a tuple of its columns.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// When a column is of another type.
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError>;
}

macro_rules! from_row {
    ($(($($type:ident $index:literal),+))*) => {
        $(impl<$($type: for<'r> Column<'r>),+> FromRow for ($($type,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
                Ok(($(row.column::<$type>($index)?,)+))
            }
        })*
    };
}

from_row! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
