//! `JobState`: the states of a job, and the transitions between them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The state of a job. The database stores its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// Stored; its inputs and its price are being determined.
    Received,
    /// Waiting for the output of another job.
    AwaitingInput,
    /// Waiting for the customer's payment.
    AwaitingPayment,
    /// Waiting to run.
    Queued,
    /// A handler is running.
    Running,
    /// Finished with a result.
    Done,
    /// Finished with an error.
    Failed,
    /// Refused with a reason.
    Rejected,
    /// Cancelled by the customer.
    Cancelled,
}

impl JobState {
    #[cfg(test)]
    pub(super) const ALL: [Self; 9] = [
        Self::Received,
        Self::AwaitingInput,
        Self::AwaitingPayment,
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
    ];

    /// The state's name, as in `awaiting_payment`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::AwaitingInput => "awaiting_input",
            Self::AwaitingPayment => "awaiting_payment",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the state is final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Rejected | Self::Cancelled)
    }

    /// Whether a job may go from this state to `next`. Inputs come before the price, which may depend on them, and
    /// the price before the run.
    pub(crate) const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Received => matches!(
                next,
                Self::AwaitingInput
                    | Self::AwaitingPayment
                    | Self::Queued
                    | Self::Rejected
                    | Self::Failed
                    | Self::Cancelled
            ),
            Self::AwaitingInput => matches!(
                next,
                Self::Received | Self::Queued | Self::Failed | Self::Rejected | Self::Cancelled
            ),
            // It is paid for before it runs, or afterwards.
            Self::AwaitingPayment => {
                matches!(next, Self::Queued | Self::Done | Self::Failed | Self::Cancelled)
            }
            // A job that was interrupted too often fails without another run, and one with an input that does not verify
            // waits for it again.
            Self::Queued => {
                matches!(next, Self::Running | Self::AwaitingInput | Self::Failed | Self::Cancelled)
            }
            Self::Running => matches!(
                next,
                Self::Queued | Self::AwaitingPayment | Self::Done | Self::Failed | Self::Cancelled
            ),
            Self::Done | Self::Failed | Self::Rejected | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The database holds an unknown state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a job state")]
pub struct UnknownState(String);

impl Serialize for JobState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<'de> serde::Deserialize<'de> for JobState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Ok(match word {
            "received" => Self::Received,
            "awaiting_input" => Self::AwaitingInput,
            "awaiting_payment" => Self::AwaitingPayment,
            "queued" => Self::Queued,
            "running" => Self::Running,
            "done" => Self::Done,
            "failed" => Self::Failed,
            "rejected" => Self::Rejected,
            "cancelled" => Self::Cancelled,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::JobState;

    #[test]
    fn reads_every_state_as_it_was_written() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("waiting".parse::<JobState>().is_err());
    }

    #[test]
    fn leads_from_every_state_to_an_end_and_from_an_end_nowhere() {
        for state in JobState::ALL {
            let next: Vec<_> = JobState::ALL.into_iter().filter(|next| state.may_become(*next)).collect();
            assert_eq!(state.is_final(), next.is_empty(), "{state}");
            assert!(state.is_final() || next.contains(&JobState::Cancelled), "{state} can be cancelled");
        }
    }

    #[test]
    fn works_only_on_what_was_queued() {
        for state in JobState::ALL {
            assert_eq!(state.may_become(JobState::Running), state == JobState::Queued, "{state}");
            let has_run = matches!(state, JobState::Running | JobState::AwaitingPayment);
            assert_eq!(state.may_become(JobState::Done), has_run, "{state}");
        }
    }
}
