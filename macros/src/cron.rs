//! Validates cron expressions with the crate that also computes their times at run time.

use chrono::{DateTime, Utc};
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Validates a cron expression of five fields, and that it ever matches.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let form = "`cron` must have five fields, in UTC: minute, hour, day of the month, month, day of the week, as in \"0 3 * * *\"";
    let fields = text.split_whitespace().count();
    if fields != 5 {
        let hint = match text.trim() {
            "@yearly" | "@annually" => "; write \"0 0 1 1 *\"",
            "@monthly" => "; write \"0 0 1 * *\"",
            "@weekly" => "; write \"0 0 * * SUN\"",
            "@daily" | "@midnight" => "; write \"0 0 * * *\"",
            "@hourly" => "; write \"0 * * * *\"",
            _ => return Err(format!("{form}; this one has {fields}")),
        };
        return Err(format!("{form}{hint}"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| format!("{form}; {}", reason(error)))?;
    match cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false) {
        Ok(_) => Ok(()),
        Err(_) => Err("this `cron` never matches: there is no such day".to_owned()),
    }
}

fn reason(error: CronError) -> String {
    let reason = match error {
        CronError::InvalidPattern(reason)
        | CronError::IllegalCharacters(reason)
        | CronError::ComponentError(reason) => reason,
        other => other.to_string(),
    };
    let reason = reason.trim_start_matches("CronPattern contains ").trim_end_matches('.');
    let mut letters = reason.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_five_fields() {
        for text in ["0 3 * * *", "*/5 * * * *", "0 9-17/2 * JAN,JUL MON-FRI", "0 0 L * *", "0 0 29 2 *"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for (text, reason) in [
            ("", "this one has 0"),
            ("0 0 3 * * *", "this one has 6"),
            ("@daily", "write \"0 0 * * *\""),
            ("61 * * * *", "number out of bounds"),
            ("0 24 * * *", "number out of bounds"),
            ("a b c d e", "illegal character 'A' in part 'A'"),
            ("5-3 * * * *", "range out of bounds"),
            ("é * * * *", "illegal character"),
            ("0 0 30 2 *", "never matches"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.ends_with(reason) || error.contains(reason), "{text}: {error}");
        }
    }
}
