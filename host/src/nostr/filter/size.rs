//! The size of a filter (NIP-01): the number of its values, and the memory that it takes.

use super::{Filter, OneOf};

/// The memory of a search: its text has at most 1,024 bytes, and its words are kept as well.
const SEARCH_BYTES: usize = 4_096;

/// The memory of a text besides its bytes: its `String`, and what the allocator adds.
const TEXT_BYTES: usize = size_of::<String>().saturating_add(16);

/// The memory of a tag name with its list, in a tree.
const TAG_BYTES: usize = 64;

impl Filter {
    /// The number of values in all of its lists.
    #[must_use]
    pub fn value_count(&self) -> usize {
        let lists = [
            self.ids.as_ref().map_or(0, OneOf::len),
            self.authors.as_ref().map_or(0, OneOf::len),
            self.kinds.as_ref().map_or(0, OneOf::len),
        ];
        lists.into_iter().chain(self.tags.values().map(OneOf::len)).fold(0, usize::saturating_add)
    }

    /// Approximately how many bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let lists = [
            self.ids.as_ref().map_or(0, |ids| size_of_val(ids.as_slice())),
            self.authors.as_ref().map_or(0, |authors| size_of_val(authors.as_slice())),
            self.kinds.as_ref().map_or(0, |kinds| size_of_val(kinds.as_slice())),
            self.search.as_ref().map_or(0, |_| SEARCH_BYTES),
        ];
        let texts = self.tags.values().flatten().map(|value| value.len().saturating_add(TEXT_BYTES));
        let names = TAG_BYTES.saturating_mul(self.tags.len());
        lists.into_iter().chain(texts).fold(size_of::<Self>().saturating_add(names), usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use crate::nostr::Filter;

    #[test]
    fn counts_the_values_of_all_lists() {
        let json = format!(
            r##"{{"ids":["{0}"],"authors":["{0}"],"kinds":[1,2],"#t":["a","b","c"]}}"##,
            "ab".repeat(32)
        );
        assert_eq!(Filter::from_json(&json).unwrap().value_count(), 7);
        assert_eq!(Filter::new().limit(5).since(3).value_count(), 0);
    }

    #[test]
    fn its_memory_grows_with_what_it_holds() {
        let empty = Filter::new().memory_bytes();
        let short = Filter::new().tag('t', ["a"; 1]).unwrap().memory_bytes();
        let long = Filter::new().tag('t', ["a".repeat(1_000)]).unwrap().memory_bytes();
        assert!(empty < short && long == short + 999, "{empty} {short} {long}");
        let kinds = Filter::new().kinds(0..1_000).memory_bytes();
        assert_eq!(kinds, empty + 2_000);
    }
}
