//! Durations as text: `500ms`, `60s`, `10m`, `1h`.

use std::time::Duration;

/// Reads a whole number followed by its unit; nothing when it is something else.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn reads_a_number_and_a_unit() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("60s"), Some(Duration::from_secs(60)));
        assert_eq!(parse("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse("1h"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
    }

    #[test]
    fn reads_nothing_else() {
        for text in [
            "",
            "60",
            "s",
            "5 parsecs",
            "60 s",
            " 60s",
            "-1s",
            "1.5s",
            "1m30s",
            "٣s",
            "60S",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("18446744073709551615h"), None, "overflow");
    }
}
