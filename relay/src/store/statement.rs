//! A builder for SQL statements: text and bound values.

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::Value;

/// Up to this many values of a condition are bound one by one.
const MAX_BOUND_SINGLY: usize = 8;

/// Up to this many values are bound as [rows](Statement::rows) of a table: parsing a list takes longer than looking up
/// this many values.
pub(super) const MAX_ROWS: usize = 32;

/// Once this many values are bound, further ones are bound as lists: a statement may bind a hundred.
const MAX_VALUES: usize = 40;

/// A statement under construction. Its text depends on which conditions there are and, up to a small number, on how
/// many values each has, but not on the values. So there are few distinct texts, and both hosts cache prepared
/// statements.
#[derive(Debug, Default)]
pub(super) struct Statement {
    text: String,
    values: Vec<OwnedValue>,
}

impl Statement {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        self.values.iter().map(OwnedValue::value).collect()
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Puts text without bound values around the statement.
    pub(super) fn enclose(&mut self, before: &str, after: &str) {
        self.text = format!("{before}{}{after}", self.text);
    }

    pub(super) fn integer(&mut self, value: u64) -> &mut Self {
        self.values.push(OwnedValue::Integer(value.min(MAX_CREATED_AT)));
        self
    }

    pub(super) fn text_value(&mut self, value: String) -> &mut Self {
        self.values.push(OwnedValue::Text(value));
        self
    }

    /// The condition that a column has one of these numbers, without use of an index.
    pub(super) fn is_one_of_integers(
        &mut self,
        column: &str,
        values: impl ExactSizeIterator<Item = u64>,
    ) -> &mut Self {
        if self.has_room_for(values.len()) {
            self.is_one_of(column, values.map(|value| OwnedValue::Integer(value.min(MAX_CREATED_AT))))
        } else {
            self.push(column).push(" IN (SELECT value FROM json_each(?))");
            self.text_value(json_list(values.map(|value| value.to_string())))
        }
    }

    /// A table of these values, in its `column1`. It is padded with NULLs, which equal nothing, to keep the number of
    /// distinct texts small.
    pub(super) fn rows<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a [u8]>) -> &mut Self {
        let rows = values.len().next_power_of_two();
        let values = values.map(|value| OwnedValue::Blob(value.to_vec()));
        for (number, value) in values.chain(std::iter::repeat(OwnedValue::Null)).take(rows).enumerate() {
            self.push(if number == 0 { "(VALUES (?)" } else { ", (?)" });
            self.values.push(value);
        }
        self.push(")")
    }

    /// Binds the values of a part and returns its text, which may then be used several times. Anything pushed before
    /// must be bound in the same way.
    pub(super) fn bind(&mut self, part: Self) -> String {
        let mut pieces = part.text.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (number, piece) in (self.values.len().saturating_add(1)..).zip(pieces) {
            text.push('?');
            text.push_str(&number.to_string());
            text.push_str(piece);
        }
        self.values.extend(part.values);
        text
    }

    /// The condition that a column has one of these values, without use of an index.
    pub(super) fn is_one_of_bytes<'a>(
        &mut self,
        column: &str,
        values: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> &mut Self {
        if self.has_room_for(values.len()) {
            self.is_one_of(column, values.map(|value| OwnedValue::Blob(value.to_vec())))
        } else {
            self.push(column).push(" IN (SELECT unhex(value) FROM json_each(?))");
            self.text_value(json_list(values.map(hex_string)))
        }
    }

    /// Whether this many values can be bound one by one. `IN` builds a temporary table each time a statement runs,
    /// which takes longer than many whole statements.
    pub(super) fn has_room_for(&self, values: usize) -> bool {
        (1..=MAX_BOUND_SINGLY).contains(&values) && self.values.len().saturating_add(values) <= MAX_VALUES
    }

    fn is_one_of(&mut self, column: &str, values: impl ExactSizeIterator<Item = OwnedValue>) -> &mut Self {
        let last = values.len();
        for (number, value) in (1..).zip(values) {
            // The unary plus keeps SQLite from turning `OR` into `IN`.
            self.push(if number == 1 { "(+" } else { " OR +" }).push(column).push(" = ?");
            self.values.push(value);
            if number == last {
                self.push(")");
            }
        }
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.values.push(OwnedValue::Blob(bytes.to_vec()));
        self
    }
}

/// A bound value, owned by the statement.
#[derive(Clone, Debug, PartialEq)]
enum OwnedValue {
    Integer(u64),
    Text(String),
    Blob(Vec<u8>),
    Null,
}

impl OwnedValue {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Integer(integer) => (*integer).into(),
            Self::Text(text) => text.into(),
            Self::Blob(bytes) => bytes.as_slice().into(),
            Self::Null => Value::Null,
        }
    }
}

/// Bytes as a JSON string of hex.
pub(super) fn hex_string(bytes: &[u8]) -> String {
    let mut string = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    string.push('"');
    string.push_str(&base16ct::lower::encode_string(bytes));
    string.push('"');
    string
}

/// A JSON list, which is bound as one value: a statement may bind only a hundred.
pub(super) fn json_list<T: AsRef<str>>(values: impl Iterator<Item = T>) -> String {
    let mut list = String::from("[");
    for value in values {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(value.as_ref());
    }
    list.push(']');
    list
}
