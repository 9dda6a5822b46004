//! Parses prices: `1000 msat`, `21 sat`, `free`.

use syn::LitStr;

use crate::mistakes::Mistakes;

/// Parses a price in msat; anything else is a mistake.
pub(crate) fn read(literal: &LitStr, mistakes: &mut Mistakes) -> Option<u64> {
    let text = literal.value();
    let price = parse(&text);
    if price.is_none() {
        let message = format!("`{text}` is not a price; write \"1000 msat\", \"21 sat\" or \"free\"");
        mistakes.at(literal, message);
    }
    price
}

fn parse(text: &str) -> Option<u64> {
    if text == "free" {
        return Some(0);
    }
    let (number, unit) = text.split_once(' ')?;
    let msat: u64 = match unit {
        "msat" => 1,
        "sat" => 1_000,
        _ => return None,
    };
    let is_plain = number.chars().all(|character| character.is_ascii_digit());
    // A price of zero must be written as `free`.
    number.parse::<u64>().ok().filter(|number| is_plain && *number > 0)?.checked_mul(msat)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_an_amount_and_its_unit() {
        assert_eq!(parse("1000 msat"), Some(1_000));
        assert_eq!(parse("21 sat"), Some(21_000));
        assert_eq!(parse("free"), Some(0));
    }

    #[test]
    fn reads_nothing_else() {
        for text in [
            "",
            "21",
            "sat",
            " sat",
            "21sat",
            "21  sat",
            "21 sats",
            "0 sat",
            "-1 sat",
            "+1 sat",
            "1.5 sat",
            "21 SAT",
            "Free",
            "1_000 msat",
            "18446744073709551615 sat",
            "99999999999999999999 msat",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
