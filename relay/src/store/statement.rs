//! A SQL statement under construction: its text and its values.

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::Value;

/// Up to so many values of a condition are bound one by one.
const MAX_BOUND_SINGLY: usize = 8;

/// Up to so many are [rows](Statement::rows) of a table: to take a list apart takes longer than to look up what is in
/// it.
pub(super) const MAX_ROWS: usize = 32;

/// With more than these, nothing but lists is bound: a statement may have a hundred.
const MAX_VALUES: usize = 40;

/// A statement that is put together. Its text depends on which conditions there are and how many values each has, up to
/// a few, not on the values: few texts, which both hosts keep prepared.
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

    /// Puts text without values around it.
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

    /// The condition that a column, which no index is asked for, has one of these numbers.
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

    /// A table of these values, in its `column1`. It is filled up with NULL, which equals nothing, so that there are
    /// few texts.
    pub(super) fn rows<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a [u8]>) -> &mut Self {
        let rows = values.len().next_power_of_two();
        let values = values.map(|value| OwnedValue::Blob(value.to_vec()));
        for (number, value) in values.chain(std::iter::repeat(OwnedValue::Null)).take(rows).enumerate() {
            self.push(if number == 0 { "(VALUES (?)" } else { ", (?)" });
            self.values.push(value);
        }
        self.push(")")
    }

    /// Takes over what is bound in a part, and hands back its text, which can then stand in several places. What is
    /// pushed before has to come from parts as well.
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

    /// The condition that a column, which no index is asked for, has one of these values.
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

    /// Whether these values can be bound one by one. `IN` makes a table of its values each time a statement is run,
    /// which takes longer than many a statement.
    pub(super) fn has_room_for(&self, values: usize) -> bool {
        (1..=MAX_BOUND_SINGLY).contains(&values) && self.values.len().saturating_add(values) <= MAX_VALUES
    }

    fn is_one_of(&mut self, column: &str, values: impl ExactSizeIterator<Item = OwnedValue>) -> &mut Self {
        let last = values.len();
        for (number, value) in (1..).zip(values) {
            // Without the sign, SQLite makes `IN` of `OR`.
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

/// A value that a statement owns until it has run.
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

/// A list of JSON values. It is one bound value, of which a statement may have only a hundred.
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
