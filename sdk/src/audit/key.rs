//! `AuditKey`: the name of an audit record, `audit/<unix milliseconds>.json`.

use openagents_host::Timestamp;

/// What every key begins with.
const PREFIX: &str = "audit/";

/// How many digits of a request's id tell its record from another of the same millisecond.
const SHORT_ID_LENGTH: usize = 8;

/// The longest end of a key that tells it from others of the same millisecond.
const MAX_SUFFIX_LENGTH: usize = 32;

/// The key of an audit record: `audit/1706745600000.json`. If that is taken, the beginning of the request's id follows the
/// time: `audit/1706745600000-0123abcd.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AuditKey(String);

impl AuditKey {
    /// The keys that the record of a request may have, in the order in which they are tried.
    pub(super) fn candidates(at: Timestamp, id: &str) -> [Self; 3] {
        let millis = at.as_millis();
        let short = id.get(..SHORT_ID_LENGTH).unwrap_or(id);
        [
            Self(format!("{PREFIX}{millis}.json")),
            Self(format!("{PREFIX}{millis}-{short}.json")),
            Self(format!("{PREFIX}{millis}-{id}.json")),
        ]
    }

    /// Reads a key; `None` for any other text, such as the name of another file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix(PREFIX)?.strip_suffix(".json")?;
        let (millis, suffix) =
            name.split_once('-').map_or((name, None), |(millis, suffix)| (millis, Some(suffix)));
        let is_time = (1..=16).contains(&millis.len()) && millis.bytes().all(|byte| byte.is_ascii_digit());
        let is_suffix = suffix.is_none_or(|suffix| {
            (1..=MAX_SUFFIX_LENGTH).contains(&suffix.len())
                && suffix.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        (is_time && is_suffix).then(|| Self(text.to_owned()))
    }

    /// The name of the file in the folder `audit/`.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn file_name(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;

    use super::AuditKey;

    #[test]
    fn a_key_is_the_time_and_only_if_that_is_taken_also_the_id() {
        let at = Timestamp::from_millis(1_706_745_600_000);
        let keys = AuditKey::candidates(at, "0123abcd4567");
        let texts = keys.each_ref().map(AuditKey::as_str);
        assert_eq!(
            texts,
            [
                "audit/1706745600000.json",
                "audit/1706745600000-0123abcd.json",
                "audit/1706745600000-0123abcd4567.json"
            ]
        );
        for key in &keys {
            assert_eq!(AuditKey::parse(key.as_str()).as_ref(), Some(key));
        }
        assert_eq!(keys[0].file_name(), "1706745600000.json");
    }

    #[test]
    fn no_other_text_is_a_key() {
        for text in [
            "",
            "audit/",
            "audit/.json",
            "audit/x.json",
            "1706745600000.json",
            "audit/../agent.nsec",
            "audit/1/2.json",
            "audit/1-.json",
            "audit/1-xyz.json",
            "audit/1-2-3.json",
            "audit/12345678901234567.json",
        ] {
            assert_eq!(AuditKey::parse(text), None, "{text}");
        }
    }
}
