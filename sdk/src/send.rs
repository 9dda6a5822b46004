//! `MaybeSend` and `Shareable`: `Send` and `Sync` where the host has threads. Natively they are required; a Worker
//! has one thread.

/// A type that concurrent handlers can share: `Send + Sync` natively, any type on a Worker, which has one thread.
#[cfg(not(target_arch = "wasm32"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared between threads",
    note = "`&self` handlers run concurrently, so an agent must be `Send` and `Sync`"
)]
pub trait Shareable: Send + Sync {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync> Shareable for T {}

/// A type that concurrent handlers can share: `Send + Sync` natively, any type on a Worker, which has one thread.
#[cfg(target_arch = "wasm32")]
pub trait Shareable {}

#[cfg(target_arch = "wasm32")]
impl<T> Shareable for T {}

/// A type that can move between threads: `Send` natively, any type on a Worker.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// A type that can move between threads: `Send` natively, any type on a Worker.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}
