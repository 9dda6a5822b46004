//! Detects when nothing can happen until time passes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Notified by the runtime when its thread is about to park, which means that no task can continue. A paused clock
/// advances only after that, and not if this wakes a task.
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

    /// Completes when no task can continue.
    pub(super) async fn reached(&self) {
        self.0.is_reached.store(false, Ordering::Release);
        poll_fn(|context| {
            self.0.waiting.register(context.waker());
            if self.0.is_reached.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
