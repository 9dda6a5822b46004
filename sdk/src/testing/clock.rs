//! Virtual time: the runtime's paused clock, with a date.

use openagents_host::Timestamp;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Tells what time it is on a runtime.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    runtime: Handle,
    date: Timestamp,
    began: Instant,
}

impl Clock {
    /// It is `date` now on this runtime.
    pub(super) fn set_to(date: Timestamp, runtime: &Handle) -> Self {
        let _entered = runtime.enter();
        Self { runtime: runtime.clone(), date, began: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        // Outside of its runtime it would be the system's clock.
        let _entered = self.runtime.enter();
        self.date + self.began.elapsed()
    }

    /// Completes at this time.
    pub(super) async fn reaches(&self, at: Timestamp) {
        tokio::time::sleep(self.now().until(at)).await;
    }
}
