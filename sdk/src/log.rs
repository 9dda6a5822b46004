//! Logging: `tracing` on both hosts, with the run that a line is about.

#[cfg(any(target_arch = "wasm32", test))]
mod console;
mod fields;
#[cfg(not(target_arch = "wasm32"))]
mod json;
mod level;

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) use console::ConsoleSubscriber;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use json::JsonLayer;
pub(crate) use level::LogFormat;
#[cfg(target_arch = "wasm32")]
pub(crate) use level::level_filter;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use level::{LevelError, check_filter};
#[cfg(any(target_arch = "wasm32", test))]
pub(crate) use tracing::level_filters::LevelFilter;

/// A warning for the operator.
pub(crate) fn warn(message: std::fmt::Arguments<'_>) {
    tracing::warn!("{message}");
}
