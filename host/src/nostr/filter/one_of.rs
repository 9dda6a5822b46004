//! The list of values in a condition of a filter.

use std::borrow::Borrow;

use serde::Serialize;

/// Values of which one must match, sorted and without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOf<T>(Box<[T]>);

impl<T> OneOf<T> {
    /// Whether the value is one of them.
    #[must_use]
    pub fn contains<Q>(&self, value: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.binary_search_by(|own| own.borrow().cmp(value)).is_ok()
    }

    /// The values in ascending order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The values in ascending order.
    #[must_use]
    pub const fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The only value, if there is exactly one.
    #[must_use]
    pub const fn only(&self) -> Option<&T> {
        match &*self.0 {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no values, so that nothing can match.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Ord> FromIterator<T> for OneOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self(values.into())
    }
}

impl<'a, T> IntoIterator for &'a OneOf<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}
