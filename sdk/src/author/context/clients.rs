//! The job clients of one run, by relay.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use futures_util::lock::Mutex;

use crate::client::JobClient;

/// The clients of one run, by the address of their relay; that of the agent's own is not known to it.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) connected: Mutex<BTreeMap<Option<String>, JobClient>>,
    /// The kinds that this agent does not work on before this run has ended.
    blocked: OnceLock<Vec<u16>>,
}

impl Clients {
    /// Says which kinds the agent does not work on before this run has ended.
    pub(crate) fn block(&self, kinds: Vec<u16>) {
        let _ = self.blocked.set(kinds);
    }

    pub(crate) fn is_blocked(&self, kind: u16) -> bool {
        self.blocked.get().is_some_and(|kinds| kinds.contains(&kind))
    }
}
