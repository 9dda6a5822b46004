//! Virtual time: the runtime's paused clock plus a date.

use openagents_host::Timestamp;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The virtual clock of a runtime.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    runtime: Handle,
    date: Timestamp,
    began: Instant,
}

impl Clock {
    /// A clock on which it is `date` now.
    pub(super) fn set_to(date: Timestamp, runtime: &Handle) -> Self {
        let _entered = runtime.enter();
        Self { runtime: runtime.clone(), date, began: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        // Outside its runtime, `began` would use the system clock.
        let _entered = self.runtime.enter();
        self.date + self.began.elapsed()
    }

    /// Completes at this time.
    pub(super) async fn reaches(&self, at: Timestamp) {
        tokio::time::sleep(self.now().until(at)).await;
    }
}
