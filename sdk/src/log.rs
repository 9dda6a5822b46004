//! Warnings for the operator: `tracing` natively, the console on a Worker.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn warn(message: std::fmt::Arguments<'_>) {
    tracing::warn!("{message}");
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn warn(message: std::fmt::Arguments<'_>) {
    ::worker::console_warn!("{message}");
}
