//! The driving condition: which conditions of a filter can find rows through an index, the most selective first.

use openagents_host::nostr::KindClass;

use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::tag::TagName;

/// The condition whose index finds the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Driver {
    Ids,
    Tag(TagName),
    Authors,
    Kinds,
    Time,
}

/// How many candidates are compared. The other conditions only filter the rows. Each candidate binds up to five
/// values, and a statement may have a hundred.
const MAX_PROBED: usize = 16;

/// The rows of each candidate are counted up to this number. Few conditions that are worth driving by have more, and
/// counting this many costs less than a bad choice.
pub(in crate::store) const MAX_PROBED_ROWS: u64 = 256;

impl Driver {
    /// The conditions that can find the rows of a filter, the one that probably finds the fewest first.
    pub(in crate::store) fn candidates(filter: &Filter) -> Vec<Self> {
        if filter.ids.is_some() {
            return vec![Self::Ids];
        }
        let mut tags: Vec<(TagName, usize)> =
            filter.tags.iter().map(|(name, values)| (*name, values.len())).collect();
        tags.sort_by_key(|(name, values)| (TagSelectivity::of(*name), *values));
        let mut candidates: Vec<Self> = tags.iter().map(|(name, _)| Self::Tag(*name)).collect();
        let pointing =
            tags.iter().filter(|(name, _)| TagSelectivity::of(*name) != TagSelectivity::Anywhere).count();
        if filter.authors.is_some() {
            candidates.insert(pointing, Self::Authors);
        } else if filter.kinds.is_some() && pointing == 0 {
            // The index by author includes the kind, so next to authors kinds never drive. The index by tag includes
            // it as well, and a tag that refers to one thing is rarer than a kind.
            candidates.push(Self::Kinds);
        }
        candidates.truncate(MAX_PROBED);
        if candidates.is_empty() {
            candidates.push(Self::Time);
        }
        candidates
    }

    /// The condition that is most likely to find few rows, if it is a tag that refers to an event. Its rows can be
    /// read without comparing other conditions, provided that there are few.
    pub(in crate::store) fn probably_rare(filter: &Filter) -> Option<Self> {
        let first = Self::candidates(filter).into_iter().next()?;
        matches!(first, Self::Tag(name) if TagSelectivity::of(name) == TagSelectivity::Event).then_some(first)
    }

    /// The most rows that this condition can find, if the filter alone determines it.
    pub(in crate::store) fn known_rows(self, filter: &Filter) -> Option<u64> {
        let rows = match self {
            Self::Ids => filter.ids.as_ref()?.len(),
            Self::Authors => {
                let (authors, kinds) = (filter.authors.as_ref()?, filter.kinds.as_ref()?);
                // There is one version for each pair of author and kind.
                if !kinds.iter().all(|kind| kind.class() == KindClass::Replaceable) {
                    return None;
                }
                authors.len().checked_mul(kinds.len())?
            }
            Self::Tag(_) | Self::Kinds | Self::Time => return None,
        };
        let rows = u64::try_from(rows).ok()?;
        (self == Self::Ids || rows < MAX_PROBED_ROWS).then_some(rows)
    }
}

/// What a tag usually refers to. The fewer events share a value, the earlier the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TagSelectivity {
    /// An event or an address.
    Event,
    /// A person or a thing; some of them have many events.
    One,
    /// No single thing. A topic, for example, is shared by more events than one author writes.
    Anywhere,
}

impl TagSelectivity {
    const fn of(name: TagName) -> Self {
        match name.letter() {
            'e' | 'E' | 'a' | 'A' | 'q' => Self::Event,
            'd' | 'p' | 'P' | 'i' | 'I' => Self::One,
            _ => Self::Anywhere,
        }
    }
}
