//! Permits that limit how much work of one type is done at once. A semaphore for both hosts; Tokio's is native only.

use std::sync::Arc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use futures_util::lock::Mutex;

/// A pool of permits. Clones share it.
#[derive(Clone)]
pub(super) struct Permits(Arc<Pool>);

struct Pool {
    free: Mutex<UnboundedReceiver<()>>,
    returned: UnboundedSender<()>,
}

/// A permit; dropping it returns it to the pool.
pub(super) struct Permit(UnboundedSender<()>);

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        let (returned, free) = unbounded();
        for _ in 0..count {
            let _ = returned.unbounded_send(());
        }
        Self(Arc::new(Pool { free: Mutex::new(free), returned }))
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> Permit {
        self.0.free.lock().await.next().await;
        Permit(self.0.returned.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let _ = self.0.unbounded_send(());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::Permits;

    #[tokio::test]
    async fn gives_no_more_permits_than_there_are() {
        let permits = Permits::new(2);
        let (first, _second) = (permits.acquire().await, permits.acquire().await);
        let mut third = Box::pin(permits.acquire());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_permit_is_not_lost_with_whoever_waited_for_it() {
        let permits = Permits::new(1);
        let held = permits.acquire().await;
        let mut waiting = Box::pin(permits.acquire());
        assert!((&mut waiting).now_or_never().is_none());
        drop((waiting, held));
        assert!(permits.acquire().now_or_never().is_some());
    }
}
