//! `ScheduledRun`: has a `#[schedule(once)]` function run at a time of a handler's choice.

use std::time::Duration;

use openagents_host::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::AgentContext;
use crate::engine::ScheduleChange;
use crate::error::JobError;

/// The longest payload, in bytes of JSON.
const MAX_PAYLOAD_BYTES: usize = 100_000;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 512;

impl AgentContext {
    /// A run of the function with `#[schedule(once)]` and this name.
    ///
    /// ```
    /// use openagents_sdk::nostr::{Kind, UnsignedEvent};
    /// use openagents_sdk::prelude::*;
    ///
    /// #[agent(name = "alarm-clock")]
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct AlarmClock;
    ///
    /// #[jobs]
    /// impl AlarmClock {
    ///     /// Publishes a reminder in an hour.
    ///     #[job(kind = 5050)]
    ///     async fn remind(&self, text: Text, customer: Customer, context: JobContext) -> JobResult<String> {
    ///         context.schedule("ring").key(customer.to_hex()).after(Duration::from_secs(3600), &text.into_string())?;
    ///         Ok("I will remind you".to_owned())
    ///     }
    ///
    ///     #[schedule(once)]
    ///     async fn ring(&self, context: AgentContext) -> JobResult<()> {
    ///         let text: String = context.payload()?;
    ///         context.publish(UnsignedEvent::new(Kind(1), text));
    ///         Ok(())
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// It is stored together with the outcome of this run. It runs at least once, also after a restart, and is attempted up
    /// to 5 times, with growing pauses. An agent may have 10,000 scheduled runs.
    pub fn schedule(&self, function: impl Into<String>) -> ScheduledRun {
        ScheduledRun { context: self.clone(), function: function.into(), key: String::new() }
    }

    /// The payload of this run, in a function with `#[schedule(once)]`.
    ///
    /// # Errors
    /// When this is another function, or the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        match self.0.payload.get() {
            Some(json) => Ok(serde_json::from_str(json)?),
            None => Err(ScheduleError::NoPayload.into()),
        }
    }
}

/// A run of a `#[schedule(once)]` function. See [`AgentContext::schedule`].
#[derive(Clone, Debug)]
#[must_use = "it is scheduled by `at` or `after`"]
pub struct ScheduledRun {
    context: AgentContext,
    function: String,
    key: String,
}

impl ScheduledRun {
    /// Tells several runs of the function apart: one with the same key replaces the earlier one. Empty by default. Runs whose
    /// keys begin with a customer's public key in hex are deleted when that customer requests to vanish (NIP-62).
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Schedules the run for this time, with this payload. A time in the past means at once.
    ///
    /// # Errors
    /// When there is no such function, or the key (512 bytes) or the payload (100,000 bytes of JSON) is too long.
    pub fn at<T: Serialize + ?Sized>(self, due: Timestamp, payload: &T) -> Result<(), JobError> {
        let payload = serde_json::to_string(payload)?;
        if payload.len() > MAX_PAYLOAD_BYTES || self.key.len() > MAX_KEY_BYTES {
            return Err(ScheduleError::TooLong { payload: payload.len(), key: self.key.len() }.into());
        }
        self.change(Some((due, payload)))
    }

    /// Schedules the run for this long after now. See [`at`](Self::at).
    ///
    /// # Errors
    /// As for `at`.
    pub fn after<T: Serialize + ?Sized>(self, delay: Duration, payload: &T) -> Result<(), JobError> {
        let due = self.context.host().now() + delay;
        self.at(due, payload)
    }

    /// Cancels the run with this key, if there is one. One that has begun goes on.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn cancel(self) -> Result<(), JobError> {
        self.change(None)
    }

    fn change(self, run: Option<(Timestamp, String)>) -> Result<(), JobError> {
        let Self { context, function, key } = self;
        let known = context.0.one_off_schedules.get().map(Vec::as_slice).unwrap_or_default();
        if !known.contains(&function.as_str()) {
            return Err(ScheduleError::Unknown { function, known: known.join(", ") }.into());
        }
        context.changes().schedules.push(ScheduleChange { function, key, run });
        Ok(())
    }
}

/// A mistake in the code of the agent, for the log.
#[derive(Debug, thiserror::Error)]
enum ScheduleError {
    #[error("no function with `#[schedule(once)]` has the name `{function}`; expected one of: {known}")]
    Unknown { function: String, known: String },
    #[error(
        "the payload of a scheduled run may have {MAX_PAYLOAD_BYTES} bytes of JSON, and its key {MAX_KEY_BYTES}; they have {payload} and {key}"
    )]
    TooLong { payload: usize, key: usize },
    #[error("only a run of a function with `#[schedule(once)]` has a payload")]
    NoPayload,
}
