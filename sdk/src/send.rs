//! `Send` and `Sync` where the host has threads: required natively, absent on a Worker, which has one thread.

/// What several handlers may use at a time. Natively that means threads, so it is `Send + Sync`; a Worker has one
/// thread, and there everything is shareable.
#[cfg(not(target_arch = "wasm32"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared between threads",
    note = "`&self` handlers run side by side, so an agent must be `Send` and `Sync`"
)]
pub trait Shareable: Send + Sync {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync> Shareable for T {}

/// What several handlers may use at a time: on a Worker, which has one thread, everything.
#[cfg(target_arch = "wasm32")]
pub trait Shareable {}

#[cfg(target_arch = "wasm32")]
impl<T> Shareable for T {}

/// What can be moved between threads: natively it must, on a Worker it need not.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// What can be moved between threads: natively it must, on a Worker it need not.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}
