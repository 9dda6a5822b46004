//! `LOG_LEVEL` and `LOG_FORMAT` of a Worker. Natively they are options too: see `native/serve.rs`.

use super::error::SettingError;
use super::names::{LOG_FORMAT, LOG_LEVEL};
use super::variables::{VariableReader, form};
use crate::log::{LevelFilter, LogFormat, level_filter};

/// Which log lines are written, and how.
pub(crate) fn log_settings(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(LevelFilter, LogFormat), SettingError> {
    let variables = VariableReader(&variable);
    let level = variables.text(LOG_LEVEL).map_or(Ok(LevelFilter::INFO), |text| level_filter(&text));
    let level = level.map_err(|_| form(LOG_LEVEL, "off, error, warn, info, debug or trace"))?;
    let format = variables.text(LOG_FORMAT).map_or(Ok(LogFormat::default()), |text| text.parse());
    Ok((level, format.map_err(|expected| form(LOG_FORMAT, expected))?))
}
