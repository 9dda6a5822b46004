//! Changes of the stored state by an operator.

use openagents_host::{Sql, SqlError, Timestamp};
use openagents_relay::management::Token;
use serde::Serialize;
use serde_json::Value;

use super::JobEngine;
use super::vocabulary::StateSnapshot;

/// A change of the stored state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StateChange {
    /// Changes one field.
    Set { field: String, value: Value },
    /// Makes one field that of a new agent.
    ResetField { field: String },
    /// Makes all fields those of a new agent.
    Reset,
}

/// A state to be stored, as JSON, with the `state_version` of its form; none if the agent starts with its default.
pub(crate) type NewState = Option<(u32, String)>;

/// Makes the state after a change, or says why it cannot be.
pub(crate) type ChangeState = fn(&StateSnapshot, &StateChange) -> Result<NewState, String>;

/// What became of an operator's wish to change the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum ManualStateChange {
    /// It is changed.
    Done,
    /// A run that may change the state is in progress.
    Running,
    /// The event that authorizes it was used before.
    UsedToken,
    /// The field is unknown, or cannot have this value.
    Refused(String),
}

impl<S: Sql> JobEngine<S> {
    /// Changes the stored state. A token authorizes one change only.
    pub(super) fn change_by_hand(
        &mut self,
        now: Timestamp,
        token: &Token,
        change: &StateChange,
    ) -> Result<ManualStateChange, SqlError> {
        if self.running.values().any(|running| running.exclusive) {
            return Ok(ManualStateChange::Running);
        }
        let new = match (self.spec.change_state)(&self.state.snapshot(), change) {
            Ok(new) => new,
            Err(reason) => return Ok(ManualStateChange::Refused(reason)),
        };
        if !self.use_token(now, token)? {
            return Ok(ManualStateChange::UsedToken);
        }
        self.state.replace(new.as_ref().map(|(form, json)| (*form, json.as_str())), now)?;
        Ok(ManualStateChange::Done)
    }
}
