//! Detects that only the passing of time can make progress.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Told by the runtime that its thread is about to park, which it does when no task can go on. A paused clock moves on only
/// after that, and not if somebody is woken by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle(Arc<IdleState>);

#[derive(Debug, Default)]
struct IdleState {
    is_reached: AtomicBool,
    waiting: AtomicWaker,
}

impl Idle {
    /// The runtime's thread is about to park.
    pub(super) fn parks(&self) {
        self.0.is_reached.store(true, Ordering::Release);
        self.0.waiting.wake();
    }

    /// Completes when no task can go on.
    pub(super) async fn reached(&self) {
        self.0.is_reached.store(false, Ordering::Release);
        poll_fn(|context| {
            self.0.waiting.register(context.waker());
            if self.0.is_reached.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
