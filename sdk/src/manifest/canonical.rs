//! Canonical JSON (RFC 8785, JCS): the form of a manifest that is signed.

use serde::Serialize;
use serde_json::{Number, Value};

/// The canonical JSON of a document.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn canonical_json(document: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut json = String::new();
    push_value(&mut json, &serde_json::to_value(document)?)?;
    Ok(json)
}

fn push_value(json: &mut String, value: &Value) -> Result<(), serde_json::Error> {
    match value {
        Value::Null => json.push_str("null"),
        Value::Bool(true) => json.push_str("true"),
        Value::Bool(false) => json.push_str("false"),
        Value::Number(number) => push_number(json, number),
        Value::String(text) => push_text(json, text)?,
        Value::Array(values) => {
            json.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    json.push(',');
                }
                push_value(json, value)?;
            }
            json.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            json.push('{');
            for (position, (name, value)) in members.into_iter().enumerate() {
                if position > 0 {
                    json.push(',');
                }
                push_text(json, name)?;
                json.push(':');
                push_value(json, value)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

/// `serde_json` escapes exactly what JCS does.
fn push_text(json: &mut String, text: &str) -> Result<(), serde_json::Error> {
    json.push_str(&serde_json::to_string(text)?);
    Ok(())
}

/// ECMAScript's `Number::toString`. `serde_json` gives the same shortest digits, but formats them differently. Crates
/// that do both would add 10 KB of tables to the Worker.
fn push_number(json: &mut String, number: &Number) {
    let number = number.as_f64().unwrap_or_default();
    if number == 0.0 {
        json.push('0');
        return;
    }
    if number < 0.0 {
        json.push('-');
    }
    let shortest = Number::from_f64(number.abs()).map(|number| number.to_string()).unwrap_or_default();
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    let length = |text: &str| i32::try_from(text.len()).unwrap_or_default();
    // The position of the decimal point, counted from the first digit.
    let point = length(whole)
        .saturating_add(exponent.parse().unwrap_or_default())
        .saturating_add(length(significant))
        .saturating_sub(length(&all));
    let digits = significant.trim_end_matches('0');
    let zeros = |count: i32| std::iter::repeat_n('0', usize::try_from(count).unwrap_or_default());
    match point {
        1..=21 => match digits.split_at_checked(usize::try_from(point).unwrap_or_default()) {
            Some((whole, "")) => json.push_str(whole),
            Some((whole, fraction)) => json.extend([whole, ".", fraction]),
            None => {
                json.push_str(digits);
                json.extend(zeros(point.saturating_sub(length(digits))));
            }
        },
        -5..=0 => {
            json.push_str("0.");
            json.extend(zeros(point.saturating_neg()));
            json.push_str(digits);
        }
        _ => {
            let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
            json.push_str(first);
            if !rest.is_empty() {
                json.extend([".", rest]);
            }
            let exponent = point.saturating_sub(1);
            json.push_str(if exponent < 0 { "e-" } else { "e+" });
            json.push_str(&exponent.unsigned_abs().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::canonical_json;

    #[test]
    fn writes_numbers_as_ecmascript_does() {
        for (number, expected) in [
            (json!(0), "0"),
            (json!(-0.0), "0"),
            (json!(1), "1"),
            (json!(-1.5), "-1.5"),
            (json!(10), "10"),
            (json!(123_456), "123456"),
            (json!(9_007_199_254_740_991_u64), "9007199254740991"),
            (json!(u64::MAX), "18446744073709552000"),
            (json!(i64::MIN), "-9223372036854776000"),
            (json!(999_999_999_999_999_868_928_f64), "999999999999999900000"),
            (json!(1e20), "100000000000000000000"),
            (json!(1e21), "1e+21"),
            (json!(1.5e300), "1.5e+300"),
            (json!(0.1), "0.1"),
            // Of two that are as near, the even one.
            (json!(133_987_433_076_854.62), "133987433076854.62"),
            (json!(0.000_001), "0.000001"),
            (json!(0.000_001_234), "0.000001234"),
            (json!(1e-7), "1e-7"),
            (json!(5e-324), "5e-324"),
            (json!(333_333_333.333_333_3), "333333333.3333333"),
        ] {
            assert_eq!(canonical_json(&number).unwrap(), expected);
        }
    }

    #[test]
    fn sorts_members_by_utf_16() {
        let document = json!({ "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7 });
        let expected =
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical_json(&document).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn writes_every_number_as_another_implementation_does(bits in any::<u64>(), whole in any::<i64>()) {
            for number in [json!(f64::from_bits(bits)), json!(whole)] {
                prop_assert_eq!(canonical_json(&number).unwrap(), serde_json_canonicalizer::to_string(&number).unwrap());
            }
        }

        #[test]
        fn writes_every_text_as_another_implementation_does(texts in prop::collection::btree_map(any::<String>(), any::<String>(), 0..8)) {
            prop_assert_eq!(canonical_json(&texts).unwrap(), serde_json_canonicalizer::to_string(&texts).unwrap());
        }
    }
}
