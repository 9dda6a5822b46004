//! Jobs that wait for a price, for the outputs of other jobs, or for a payment.

use std::time::Duration;

use openagents_host::{EventId, Sql, SqlError, Timestamp};

use super::intake::requests::{ReadableRequest, UnreadableRequest};
use super::job_state::JobState;
use super::jobs::JobRow;
use super::payment::NO_INVOICE;
use super::{Effect, JobEngine};

/// The pause before the host is asked again if no answer came.
const HOST_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The most waiting jobs processed in one alarm.
const MAX_JOBS_PER_ALARM: usize = 16;

impl<S: Sql> JobEngine<S> {
    /// Requests from the host what waiting jobs need, and fails those that waited too long.
    pub(super) fn advance_waiting_jobs(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        for id in self.jobs.waiting(now, MAX_JOBS_PER_ALARM)? {
            let Some(job) = self.jobs.find(&id)? else { continue };
            let readable = match self.requests.on_record(&id) {
                Ok(readable) => readable,
                Err(UnreadableRequest::Sql(error)) => return Err(error),
                Err(UnreadableRequest::Damaged(reason)) => {
                    effects.push(self.give_up_damaged(now, &job, &reason)?);
                    continue;
                }
            };
            let is_late = job.deadline.is_some_and(|deadline| deadline <= now);
            self.jobs.postpone(&id, now + HOST_RETRY_INTERVAL)?;
            match job.state {
                JobState::Received => effects.extend(self.ask_price(now, &job, &readable)?),
                JobState::AwaitingInput if is_late => self.give_up_inputs(now, &job, &readable)?,
                JobState::AwaitingInput => self.find_outputs(now, &job, &readable)?,
                JobState::AwaitingPayment => {
                    let invoice = self.invoices.find(&id)?;
                    if is_late && invoice.is_none() {
                        self.end_with_error(now, &job, &readable, JobState::Failed, NO_INVOICE)?;
                    } else {
                        effects.push(self.call_wallet(&job, invoice));
                    }
                }
                JobState::Queued
                | JobState::Running
                | JobState::Done
                | JobState::Failed
                | JobState::Rejected
                | JobState::Cancelled => {}
            }
        }
        Ok(())
    }

    /// Ends a job whose stored request cannot be read any more, for example because the agent's key has changed.
    pub(super) fn give_up_damaged(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        reason: &str,
    ) -> Result<Effect, SqlError> {
        self.end_silently(now, job, JobState::Failed)?;
        Ok(Effect::Warn(format!("the request {} cannot be read, so its job is dropped: {reason}", job.id)))
    }

    /// A job that is still in this state, with its request.
    pub(super) fn waiting_job(
        &mut self,
        id: &EventId,
        state: JobState,
    ) -> Result<Option<(JobRow, std::sync::Arc<ReadableRequest>)>, SqlError> {
        let Some(job) = self.jobs.find(id)?.filter(|job| job.state == state) else { return Ok(None) };
        match self.requests.on_record(id) {
            Ok(readable) => Ok(Some((job, readable))),
            Err(UnreadableRequest::Sql(error)) => Err(error),
            // It is ended when it is due next.
            Err(UnreadableRequest::Damaged(_)) => Ok(None),
        }
    }
}
