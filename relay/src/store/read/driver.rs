//! The conditions of a filter that can find its rows by an index, the most selective first.

use openagents_host::nostr::KindClass;

use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::tag::TagName;

/// The condition by which rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Driver {
    Ids,
    Tag(TagName),
    Authors,
    Kinds,
    Time,
}

/// How many conditions are compared: the others take part as what sorts out. Each binds up to five values, of which a
/// statement may have a hundred.
const MAX_PROBED: usize = 16;

/// How far the rows of a condition are counted to compare it with another: further than most conditions reach that are
/// worth driving by, and less work than what is saved.
pub(in crate::store) const MAX_PROBED_ROWS: u64 = 256;

impl Driver {
    /// The conditions that can find the rows of a filter: the one that is likely to find the fewest first.
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
            // An author's index has the kinds in it: with authors, kinds never drive. Tags have the kind in theirs too,
            // and one that points at one thing is rarer than a kind.
            candidates.push(Self::Kinds);
        }
        candidates.truncate(MAX_PROBED);
        if candidates.is_empty() {
            candidates.push(Self::Time);
        }
        candidates
    }

    /// The condition that most likely finds few rows, so that they are read without a look at other conditions, if they
    /// turn out to be few.
    pub(in crate::store) fn small_result_of_likely_rarest(filter: &Filter) -> Option<Self> {
        let first = Self::candidates(filter).into_iter().next()?;
        matches!(first, Self::Tag(name) if TagSelectivity::of(name) == TagSelectivity::Event).then_some(first)
    }

    /// How many rows this condition finds at most, where the filter alone says it.
    pub(in crate::store) fn known_rows(self, filter: &Filter) -> Option<u64> {
        let rows = match self {
            Self::Ids => filter.ids.as_ref()?.len(),
            Self::Authors => {
                let (authors, kinds) = (filter.authors.as_ref()?, filter.kinds.as_ref()?);
                // Of each there is one version.
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

/// What a tag usually names: the fewer events share a value, the earlier it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TagSelectivity {
    /// One event, or one address.
    Event,
    /// One person or thing, of which some are busy.
    One,
    /// Nothing of the kind. A topic is shared by many events, more than an author writes.
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
