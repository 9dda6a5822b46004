//! What running handlers have around them in a native process.

use std::sync::OnceLock;

use async_trait::async_trait;
use openagents_host::outgoing::Reach;
use openagents_host::{Event, Keys};
use openagents_relay::Filter;
use openagents_relay::native::RelayHandle;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Mailbox;
use crate::engine::{Input, Inquiry, Lease, Report};
use crate::error::JobError;
use crate::surroundings::Surroundings;

pub(super) struct NativeSurroundings {
    keys: Keys,
    reach: Reach,
    reports: mpsc::UnboundedSender<Input>,
    // Both come to be after the agent that they are for.
    mailbox: OnceLock<Mailbox>,
    relay: OnceLock<RelayHandle>,
}

impl NativeSurroundings {
    pub(super) fn new(keys: Keys, reach: Reach, reports: mpsc::UnboundedSender<Input>) -> Self {
        Self { keys, reach, reports, mailbox: OnceLock::new(), relay: OnceLock::new() }
    }

    pub(super) fn ask_through(&self, mailbox: Mailbox) {
        let _ = self.mailbox.set(mailbox);
    }

    pub(super) fn read_from(&self, relay: RelayHandle) {
        let _ = self.relay.set(relay);
    }

}

#[async_trait]
impl Surroundings for NativeSurroundings {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.reports.send(Input::Reported { lease, report });
    }

    async fn inquire(&self, inquiry: Inquiry) -> Result<Value, JobError> {
        match self.mailbox.get() {
            Some(mailbox) => Ok(mailbox.inquire(inquiry).await?),
            None => Err(starting()),
        }
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        match self.relay.get() {
            Some(relay) => Ok(relay.query(filters).await?),
            None => Err(starting()),
        }
    }
}

fn starting() -> JobError {
    JobError::retry("the agent is still starting")
}
