//! Retention rules: how long events of certain kinds are kept.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use openagents_host::nostr::{KindClass, MAX_CREATED_AT};
use openagents_host::{Kind, Timestamp};

/// The kinds that have an effect as long as they are stored: deletions (NIP-09) and requests to vanish (NIP-62).
const ALWAYS_KEPT: [Kind; 2] = [Kind(5), Kind(62)];

/// The maximum retention time: a hundred years.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How long events of certain kinds are kept, from when they are stored. All others are kept as described in NIP-01.
///
/// Rules are written as kinds and times, separated by commas or spaces: `7000=1d,5000-5999=12h,1984=0`. A time is a
/// whole number of seconds (`s`), minutes (`m`), hours (`h`) or days (`d`), at most a hundred years. With `0`, events
/// of the kind are broadcast but not stored, like ephemeral ones. Ephemeral kinds can have a time as well.
///
/// ```
/// use std::time::Duration;
///
/// use openagents_host::{Kind, Timestamp};
/// use openagents_relay::RetentionRules;
///
/// let rules: RetentionRules = "7000=1d, 5000-5999=12h, 1984=0".parse()?;
/// assert_eq!(rules.time(Kind(5_050)), Some(Duration::from_secs(12 * 3_600)));
/// assert_eq!(rules.time(Kind(1)), None);
/// assert!(rules.keeps(Kind(7_000)) && !rules.keeps(Kind(1_984)));
/// # Ok::<(), openagents_relay::RetentionError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionRules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    kinds: RangeInclusive<u16>,
    time: Duration,
}

/// Why rules are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// An item has no kinds or no time.
    #[error("`{0}` is not of the form KINDS=TIME, such as 7000=1d or 5000-5999=12h")]
    Form(String),
    /// The kinds cannot be parsed.
    #[error("`{0}` is neither a kind nor a range of kinds, such as 7000 or 5000-5999")]
    Kinds(String),
    /// The time cannot be parsed.
    #[error(
        "`{0}` is not a time: expected a whole number with s, m, h or d, such as 90s or 7d, up to 36500d; or 0 for not at all"
    )]
    Time(String),
    /// Two rules apply to the same kind.
    #[error("there is more than one time for kind {0}")]
    Twice(Kind),
    /// The kind must always be kept.
    #[error(
        "events of kind {0} are always kept, since what they take away could come back without them: leave the kind out"
    )]
    AlwaysKept(Kind),
}

impl RetentionRules {
    /// No rules: everything is kept as described in NIP-01.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds a rule for how long events of these kinds are kept. A zero time means that they are not stored.
    ///
    /// # Errors
    /// When the range is empty, one of the kinds already has a rule or must always be kept, or the time is longer than
    /// a hundred years.
    pub fn keep(mut self, kinds: RangeInclusive<u16>, time: Duration) -> Result<Self, RetentionError> {
        if kinds.is_empty() {
            return Err(RetentionError::Kinds(format!("{}-{}", kinds.start(), kinds.end())));
        }
        if time > MAX_TIME {
            return Err(RetentionError::Time(format!("{}s", time.as_secs())));
        }
        if let Some(kept) = ALWAYS_KEPT.into_iter().find(|kind| kinds.contains(&kind.0)) {
            return Err(RetentionError::AlwaysKept(kept));
        }
        // If two ranges overlap, one begins within the other.
        let begins_in = |other: &RangeInclusive<u16>| other.contains(kinds.start());
        let has_begin_of = |other: &RangeInclusive<u16>| kinds.contains(other.start());
        for rule in &self.0 {
            if begins_in(&rule.kinds) {
                return Err(RetentionError::Twice(Kind(*kinds.start())));
            }
            if has_begin_of(&rule.kinds) {
                return Err(RetentionError::Twice(Kind(*rule.kinds.start())));
            }
        }
        self.0.push(Rule { kinds, time });
        Ok(self)
    }

    /// The retention time of a kind, if it has a rule.
    #[must_use]
    pub fn time(&self, kind: Kind) -> Option<Duration> {
        self.0.iter().find(|rule| rule.kinds.contains(&kind.0)).map(|rule| rule.time)
    }

    /// Whether events of a kind are stored at all.
    #[must_use]
    pub fn keeps(&self, kind: Kind) -> bool {
        match self.time(kind) {
            Some(time) => !time.is_zero(),
            None => kind.class() != KindClass::Ephemeral,
        }
    }

    /// When the retention of an event of this kind that arrives now ends, in Unix seconds.
    pub(crate) fn until(&self, now: Timestamp, kind: Kind) -> Option<u64> {
        let end = now + self.time(kind)?;
        // Rounded up, so that it is kept at least as long as configured.
        Some(end.as_millis().div_ceil(1_000).min(MAX_CREATED_AT))
    }

    /// Whether a kind can have rules.
    pub(crate) fn may_be_for(kind: Kind) -> bool {
        !ALWAYS_KEPT.contains(&kind)
    }
}

impl FromStr for RetentionRules {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        let mut parts = text.split([',', ' ']).filter(|part| !part.is_empty());
        parts.try_fold(Self::none(), |rules, part| {
            let (kinds, time) = part.split_once('=').ok_or_else(|| RetentionError::Form(part.to_owned()))?;
            let kinds = parse_kinds(kinds).ok_or_else(|| RetentionError::Kinds(kinds.to_owned()))?;
            let time = parse_time(time).ok_or_else(|| RetentionError::Time(time.to_owned()))?;
            rules.keep(kinds, time)
        })
    }
}

fn parse_kinds(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let kinds = number(first)?..=number(last)?;
    (!kinds.is_empty()).then_some(kinds)
}

fn parse_time(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let unit = text.chars().next_back()?;
    let count: u64 = number(text.strip_suffix(unit)?)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let time = Duration::from_secs(count.checked_mul(seconds)?);
    (time <= MAX_TIME).then_some(time)
}

/// A number that consists of digits only; `parse` would accept a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::time::Duration;

    use openagents_host::{Kind, Timestamp};
    use proptest::prelude::*;

    use super::RetentionRules;

    fn rules(text: &str) -> Result<RetentionRules, String> {
        text.parse::<RetentionRules>().map_err(|error| error.to_string())
    }

    #[test]
    fn says_how_long_each_kind_is_kept() {
        let rules = rules(" 7000=1d 5000-5001=12h,1984=0,, 20000-29999=5m 9=90s 0=0s ").unwrap();
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3_600));
        for (kind, time, keeps) in [
            (7_000, hours(24), true),
            (5_000, hours(12), true),
            (5_001, hours(12), true),
            (5_002, None, true),
            (1_984, hours(0), false),
            (20_000, Some(Duration::from_secs(300)), true),
            (9, Some(Duration::from_secs(90)), true),
            (0, hours(0), false),
            (1, None, true),
        ] {
            assert_eq!((rules.time(Kind(kind)), rules.keeps(Kind(kind))), (time, keeps), "{kind}");
        }
        assert!(!RetentionRules::none().keeps(Kind(20_000)));
        assert_eq!("".parse(), Ok(RetentionRules::none()));
    }

    #[test]
    fn names_the_part_that_is_wrong() {
        for (text, part) in [
            ("7000=1d,7001", "`7001` is not of the form KINDS=TIME"),
            ("7000 = 1d", "`7000` is not of the form"),
            ("=1d", "`` is neither a kind nor a range"),
            ("65536=1d", "`65536` is neither"),
            ("+7=1d", "`+7` is neither"),
            ("9-7=1d", "`9-7` is neither"),
            ("7-=1d", "`7-` is neither"),
            ("7000=", "`` is not a time"),
            ("7000=5", "`5` is not a time"),
            ("7000=1w", "`1w` is not a time"),
            ("7000=d", "`d` is not a time"),
            ("7000=-1d", "`-1d` is not a time"),
            ("7000=1.5h", "`1.5h` is not a time"),
            ("7000=36501d", "`36501d` is not a time"),
            ("7000=18446744073709551615d", "is not a time"),
            ("7000=1é", "`1é` is not a time"),
            ("7000=1d=2d", "`1d=2d` is not a time"),
            ("7000-7010=1d,7005=1h", "more than one time for kind 7005"),
            ("7005=1h,7000-7010=1d", "more than one time for kind 7005"),
            ("0-9=1d", "events of kind 5 are always kept"),
            ("62=0", "events of kind 62 are always kept"),
        ] {
            let told = rules(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
        for (first, last, time) in [(8, 7, Duration::ZERO), (7, 7, Duration::MAX)] {
            assert!(RetentionRules::none().keep(first..=last, time).is_err(), "{first}-{last}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_rules_or_a_mistake(text in "[0-9,=smhd +-]{0,40}|.{0,40}") {
            let _ = rules(&text);
        }

        #[test]
        fn what_is_written_is_what_holds(
            bounds in proptest::collection::btree_set(63_u16.., 0..12),
            seconds in 0_u64..=86_400 * 36_500,
            kind: u16,
        ) {
            let bounds: Vec<u16> = bounds.into_iter().collect();
            let ranges: Vec<_> = bounds.chunks_exact(2).map(|pair| pair[0]..=pair[1]).collect();
            let text: Vec<_> = ranges
                .iter()
                .map(|range| format!("{}-{}={seconds}s", range.start(), range.end()))
                .collect();
            let rules = rules(&text.join(",")).unwrap();
            let listed = ranges.iter().any(|range| range.contains(&kind));
            prop_assert_eq!(rules.time(Kind(kind)), listed.then_some(Duration::from_secs(seconds)));
        }

        #[test]
        fn nothing_is_kept_shorter_than_configured(now: u64, seconds in 0_u64..=86_400 * 36_500) {
            let now = Timestamp::from_millis(now >> 12);
            let time = Duration::from_secs(seconds);
            let until = RetentionRules::none().keep(1..=1, time).unwrap().until(now, Kind(1)).unwrap();
            let kept = now.until(Timestamp::from_seconds(until));
            prop_assert!(kept >= time && kept < time + Duration::from_secs(1));
        }
    }
}
