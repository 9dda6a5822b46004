//! Dates of HTTP headers, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).

use crate::time::Timestamp;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const SECONDS_PER_DAY: u64 = 86_400;

/// The last second of the year 9999: a date has four digits for the year.
const MAX_SECONDS: u64 = 253_402_300_799;

/// Formats a date, to the second. A later year than 9999 is formatted as the end of 9999.
///
/// ```
/// use openagents_host::Timestamp;
/// use openagents_host::http::date;
///
/// let written = date::format(Timestamp::from_seconds(784_111_777));
/// assert_eq!(written, "Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(date::parse(&written), Some(Timestamp::from_seconds(784_111_777)));
/// ```
#[must_use]
pub fn format(time: Timestamp) -> String {
    let seconds = time.as_seconds().min(MAX_SECONDS);
    let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let weekday = name(&WEEKDAYS, days % 7);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", name(&MONTHS, month))
}

/// Parses a date as written by [`format()`]. `None` for anything else, including the two obsolete forms: clients
/// repeat the dates that this server sends.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let day = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = parts.next()?.parse().ok()?;
    let mut time = parts.next()?.split(':').map(|number| number.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let days = days_from_civil(year, u64::try_from(month).ok()?, day)?;
    let seconds = days
        .checked_mul(SECONDS_PER_DAY)?
        .checked_add(hour.checked_mul(3_600)?)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?;
    // A component that is out of range or out of place would be formatted differently.
    let time = Timestamp::from_seconds(seconds);
    (format(time) == text).then_some(time)
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

/// Year, month (from 0) and day of the month, from the number of days since 1970.
///
/// Years start in March here, so that the leap day is the last day of a year.
/// <https://howardhinnant.github.io/date_algorithms.html>
#[expect(clippy::arithmetic_side_effects, reason = "`days` is below four million")]
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, month, day)
}

/// The number of days since 1970 of a year, month (from 0) and day of the month; `None` before 1970 or after 9999.
#[expect(clippy::arithmetic_side_effects, reason = "all numbers are bounded first")]
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || month > 11 || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month < 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::{MAX_SECONDS, Timestamp, format, parse};

    #[test]
    fn rejects_days_that_do_not_exist_and_other_forms() {
        for text in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 1900 00:00:00 GMT",
            "Fri, 31 Apr 2026 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ends_with_the_year_9999() {
        assert_eq!(format(Timestamp::from_millis(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn agrees_with_the_crate_httpdate(seconds in 0..=MAX_SECONDS) {
            let written = format(Timestamp::from_seconds(seconds));
            let oracle = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(&written, &oracle);
            prop_assert_eq!(parse(&written), Some(Timestamp::from_seconds(seconds)));
        }

        #[test]
        fn reading_never_panics(text in "[A-Z][a-z]{2}, [0-9]{1,20} [A-Z][a-z]{2} [0-9]{1,20} [0-9:]{0,30} GMT|.*") {
            let _ = parse(&text);
        }
    }
}
