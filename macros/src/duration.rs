//! Parses durations: `500ms`, `60s`, `10m`, `1h`, `7d`.

use std::ops::RangeInclusive;
use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

use crate::mistakes::Mistakes;

/// The accepted range of a duration argument.
pub(crate) struct Limits {
    /// The argument's name.
    pub(crate) name: &'static str,
    /// The shortest and the longest duration, as text.
    pub(crate) range: RangeInclusive<&'static str>,
    /// Why it cannot be longer, to be appended to the error; or empty.
    pub(crate) reason: &'static str,
}

impl Limits {
    /// Parses a duration within the range; anything else is a mistake.
    pub(crate) fn read(&self, literal: &LitStr, mistakes: &mut Mistakes) -> Option<Duration> {
        let text = literal.value();
        let Some(duration) = parse(&text) else {
            let message =
                format!("`{text}` is not a duration; write a number and a unit: 500ms, 60s, 10m, 1h, 7d");
            mistakes.at(literal, message);
            return None;
        };
        let (name, shortest, longest) = (self.name, self.range.start(), self.range.end());
        if parse(shortest).is_some_and(|shortest| duration < shortest) {
            mistakes.at(literal, format!("`{name}` must be from {shortest} to {longest}"));
            return None;
        }
        if parse(longest).is_some_and(|longest| duration > longest) {
            mistakes.at(literal, format!("`{name}` must be from {shortest} to {longest}{}", self.reason));
            return None;
        }
        Some(duration)
    }
}

/// The expression for a duration.
pub(crate) fn tokens(duration: Duration) -> TokenStream {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#milliseconds))
}

/// Parses a whole number followed by a unit.
fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quote::ToTokens;
    use syn::parse_quote;

    use super::{Limits, parse};
    use crate::mistakes::Mistakes;

    #[test]
    fn reads_a_number_and_a_unit() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("60s"), Some(Duration::from_secs(60)));
        assert_eq!(parse("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse("1h"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse("7d"), Some(Duration::from_secs(604_800)));
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

    #[test]
    fn holds_durations_to_their_limits() {
        let limits = Limits { name: "every", range: "1s"..="1d", reason: ": because" };
        let mut mistakes = Mistakes::default();
        assert_eq!(limits.read(&parse_quote!("1s"), &mut mistakes), Some(Duration::from_secs(1)));
        assert_eq!(limits.read(&parse_quote!("24h"), &mut mistakes), Some(Duration::from_secs(86_400)));
        assert_eq!(mistakes.to_token_stream().to_string(), "");
        assert_eq!(limits.read(&parse_quote!("999ms"), &mut mistakes), None);
        assert_eq!(limits.read(&parse_quote!("25h"), &mut mistakes), None);
        let told = mistakes.to_token_stream().to_string();
        assert!(told.contains("\"`every` must be from 1s to 1d\"") && told.contains("1d: because"), "{told}");
    }
}
