//! Parameters in the query string of a URL.

use openagents_host::http::{Response, StatusCode, response};
use url::form_urlencoded;

/// The first value with this name in a query string.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A number within the database's range, or the error response.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, Response> {
    let Some(text) = value(query, name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number < 1 << 53);
    number.map(Some).ok_or_else(|| {
        let reason = format!("`{name}` must be a whole number below 2^53.");
        response::error(StatusCode::BAD_REQUEST, &reason)
    })
}

/// The requested number of list entries.
pub(super) fn limit(query: &str, default: usize, max: usize) -> Result<usize, Response> {
    let limit = number(query, "limit")?;
    Ok(limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(max).clamp(1, max)))
}
