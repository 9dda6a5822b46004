//! `LOG_LEVEL` and `LOG_FORMAT`: which log lines are written, and how.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// The accepted levels.
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// The text is not a log level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LevelError {
    #[error("`{0}` is not a log level: expected {LEVELS}")]
    Level(String),
    #[cfg(not(target_arch = "wasm32"))]
    #[error("`{0}` is not a log filter: expected {LEVELS}, or levels of modules as in `warn,my_agent=debug`")]
    Filter(String),
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json"),
        }
    }
}

/// The most detailed level that is written.
pub(crate) fn level_filter(text: &str) -> Result<LevelFilter, LevelError> {
    // `LevelFilter` reads numbers too.
    let is_word = text.chars().all(|character| character.is_ascii_alphabetic()) && !text.is_empty();
    let level = if is_word { text.parse().ok() } else { None };
    level.ok_or_else(|| LevelError::Level(text.to_owned()))
}

/// Fails if this is not a level, or a list of levels and of modules with levels. Elsewhere, any word is read as the name
/// of a module, so a misspelt level would silence everything.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn check_filter(text: &str) -> Result<(), LevelError> {
    let is_level = |text: &str| level_filter(text.trim()).is_ok();
    for directive in text.split(',') {
        let is_fitting = match directive.rsplit_once('=') {
            // The fields of a span may have any value: `[job{kind=5050}]=debug`.
            Some((target, level)) => !target.trim().is_empty() && is_level(level),
            None => is_level(directive),
        };
        if !is_fitting {
            let text = text.to_owned();
            return Err(if text.contains([',', '=']) {
                LevelError::Filter(text)
            } else {
                LevelError::Level(text)
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::{check_filter, level_filter};

    #[test]
    fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
        assert_eq!(level_filter("debug"), Ok(LevelFilter::DEBUG));
        assert_eq!(level_filter("OFF"), Ok(LevelFilter::OFF));
        for wrong in ["verbose", "warning", "", "3", "info "] {
            let told = level_filter(wrong).unwrap_err().to_string();
            assert!(told.contains("off, error, warn, info, debug or trace"), "{told}");
        }
    }

    #[test]
    fn a_filter_has_a_level_for_each_module() {
        for filter in [
            "warn",
            "INFO",
            "warn,openagents_relay=debug",
            "off, my_agent::model=trace",
            "[job{kind=5050}]=debug",
        ] {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for wrong in ["verbose", "my_agent", "warn,my_agent", "my_agent=verbose", "=debug", "", "warn,"] {
            let told = check_filter(wrong).unwrap_err().to_string();
            assert!(told.contains("off, error, warn, info, debug or trace"), "{told}");
        }
    }
}
