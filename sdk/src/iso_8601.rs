//! Times as text: ISO 8601 in UTC with milliseconds, such as `2026-12-01T09:30:00.000Z`.

use chrono::{DateTime, SecondsFormat};
use openagents_host::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// The text of a time. Times that no calendar has become its first.
pub(crate) fn text(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or_default();
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For `#[serde(with = "iso_8601")]`.
pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

/// For `#[serde(with = "iso_8601")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = DateTime::parse_from_rfc3339(&text).map_err(de::Error::custom)?;
    let millis = u64::try_from(time.timestamp_millis()).map_err(de::Error::custom)?;
    Ok(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;

    use super::text;

    #[test]
    fn a_time_is_in_utc_with_milliseconds() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_706_745_600_007, "2024-02-01T00:00:00.007Z"),
            (u64::MAX, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(Timestamp::from_millis(millis)), expected);
        }
    }
}
