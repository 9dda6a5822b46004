//! The job clients of one run, one for each relay.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use futures_util::lock::Mutex;

use crate::client::JobClient;

/// The job clients of one run, by relay address; `None` stands for the agent's own relay.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) connected: Mutex<BTreeMap<Option<String>, JobClient>>,
    /// The job kinds that this agent cannot start before this run has ended.
    blocked: OnceLock<Vec<u16>>,
}

impl Clients {
    /// Sets the job kinds that this agent cannot start before this run has ended.
    pub(crate) fn block(&self, kinds: Vec<u16>) {
        let _ = self.blocked.set(kinds);
    }

    pub(crate) fn is_blocked(&self, kind: u16) -> bool {
        self.blocked.get().is_some_and(|kinds| kinds.contains(&kind))
    }
}
