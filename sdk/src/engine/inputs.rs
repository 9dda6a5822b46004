//! Job chaining (NIP-90): waits for the outputs of other jobs that a request takes as inputs, and for its blobs.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{BlobHash, Event, EventId, PublicKey, Sql, SqlError, Timestamp};

use super::JobEngine;
use super::blob_inputs::BLOB_TIMEOUT;
use super::intake::requests::ReadableRequest;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::look_ups::LookUpScope;
use super::message::Effect;
use super::vocabulary::{JobOutput, MAX_OUTPUT};
use crate::nip90::{InputKind, JobRequest, JobResultEvent, Status, result_kind};

/// The longest result that a row can hold, as JSON.
const MAX_RESULT: usize = 1_900_000;

/// How long a job waits for the output of another job.
pub(super) const INPUT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// How long a job waits for another job or result that is neither on record nor on any relay that was searched. Anyone
/// can name an id that does not exist.
const UNKNOWN_INPUT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The pause before relays are queried again if no answer came.
const RELAY_RETRY_INTERVAL: Duration = Duration::from_secs(4 * 60);

/// The most external relays that are queried for the inputs of one job.
const MAX_RELAYS: usize = 8;

/// How much longer a job pauses between look-ups for each waiting job of its customer, and for each of anybody: the more
/// jobs wait, the less often each is looked up.
const PAUSE_PER_JOB_OF_CUSTOMER: Duration = Duration::from_millis(50);
const PAUSE_PER_JOB: Duration = Duration::from_millis(10);

impl<S: Sql> JobEngine<S> {
    /// Puts a received job on hold if it has `job` inputs without output, or names blobs. Returns whether it does.
    pub(super) fn await_inputs(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<bool, SqlError> {
        let mut missing = None;
        for input in readable.request.inputs.iter().filter(|input| input.kind == InputKind::Job) {
            let Ok(event) = EventId::from_hex(&input.data) else { continue };
            self.want_output(&job.id, &event)?;
            missing.get_or_insert(event);
        }
        let names_blobs = self.want_blobs(job, readable)?;
        if missing.is_none() && !names_blobs {
            return Ok(false);
        }
        self.jobs.advance(&job.id, job.state, JobState::AwaitingInput, Some(now))?;
        let Some(missing) = missing else {
            self.jobs.wait_until(&job.id, now + BLOB_TIMEOUT)?;
            return Ok(true);
        };
        self.jobs.wait_until(&job.id, now + UNKNOWN_INPUT_TIMEOUT)?;
        let text = format!("waiting for the output of job {missing}");
        self.send_status(now, job, readable, &Status::Processing, Some(&text))?;
        Ok(true)
    }

    /// Records that a job needs an output.
    pub(super) fn want_output(&self, job: &EventId, event: &EventId) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO job_input (job, event) VALUES (?, ?) ON CONFLICT DO NOTHING",
            values![job, event],
        )
    }

    pub(super) fn find_outputs(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<(), SqlError> {
        let (mut is_wanted, mut are_known, mut is_complete) = (false, true, true);
        let outputs = self.missing_outputs(&job.id)?;
        let waits_for_outputs = !outputs.is_empty();
        for event in outputs {
            match self.own_output(&event, &job.customer)? {
                OwnOutput::Ready(result) => {
                    self.found_result(&job.id, &event, &result)?;
                    continue;
                }
                OwnOutput::Never(reason) => {
                    let text = format!("job {event}, which is an input of this job, {reason}");
                    return self.end_with_error(now, job, readable, JobState::Failed, &text);
                }
                // The end of that job makes this one due.
                OwnOutput::Pending => {
                    is_complete = false;
                    continue;
                }
                OwnOutput::Published => {}
                OwnOutput::NoOwnJob => are_known = false,
            }
            is_wanted = true;
        }
        is_wanted |= !self.missing_blobs(&job.id)?.is_empty();
        if !is_wanted && is_complete {
            return self.inputs_complete(now, job);
        }
        if are_known && waits_for_outputs {
            self.jobs.wait_until(&job.id, job.received_at + INPUT_TIMEOUT)?;
        }
        if !is_wanted {
            return self.jobs.postpone(&job.id, job.received_at + INPUT_TIMEOUT);
        }
        // Longer than other retry intervals, since many relays may be queried, and many jobs may come first.
        let retry = now + RELAY_RETRY_INTERVAL;
        self.jobs.postpone(&job.id, job.deadline.map_or(retry, |deadline| deadline.min(retry)))?;
        self.look_ups.add(LookUpScope::OwnRelay, job.customer, job.id);
        Ok(())
    }

    /// Starts the look-ups whose turn it is.
    pub(super) fn start_look_ups(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        while let Some((scope, id)) = self.look_ups.start_next(now) {
            let (mut wanted, mut relays, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
            if let Some((job, readable)) = self.waiting_job(&id, JobState::AwaitingInput)? {
                wanted = self.wanted_outputs(&job)?;
                blobs = self.missing_blobs(&id)?;
                if scope == LookUpScope::AllRelays {
                    relays = self.relays_with(&wanted, &job, &readable);
                }
            }
            if wanted.is_empty() && blobs.is_empty() {
                self.look_ups.ended(&id);
            } else {
                effects.push(Effect::Resolve { job: id, wanted, relays, blobs });
            }
        }
        Ok(())
    }

    /// The outputs that a job still needs from relays.
    fn wanted_outputs(&self, job: &JobRow) -> Result<Vec<EventId>, SqlError> {
        let mut wanted = Vec::new();
        for event in self.missing_outputs(&job.id)? {
            if matches!(self.own_output(&event, &job.customer)?, OwnOutput::NoOwnJob | OwnOutput::Published) {
                wanted.push(event);
            }
        }
        Ok(wanted)
    }

    /// The external relays that may have these outputs: those that the request names for them, those where its answer
    /// goes, and the one where it was seen.
    fn relays_with(&self, wanted: &[EventId], job: &JobRow, readable: &ReadableRequest) -> Vec<String> {
        let is_wanted = |id: EventId| wanted.contains(&id);
        let inputs = readable.request.inputs.iter().filter(|input| input.kind == InputKind::Job);
        let hints = inputs
            .filter(|input| EventId::from_hex(&input.data).is_ok_and(is_wanted))
            .filter_map(|input| input.relay.as_ref());
        self.external_relays(hints.chain(&readable.request.relays).chain(&job.source), MAX_RELAYS)
    }

    /// The outputs that a job still needs.
    fn missing_outputs(&self, job: &EventId) -> Result<Vec<EventId>, SqlError> {
        let missing = self.sql.rows::<(EventId,)>(
            "SELECT event FROM job_input WHERE job = ? AND result IS NULL",
            values![job],
        )?;
        Ok(missing.into_iter().map(|(event,)| event).collect())
    }

    /// Handles the events that the relays returned, and the blobs that were found. `scope` says which relays were queried.
    pub(super) fn resolved(
        &mut self,
        now: Timestamp,
        id: &EventId,
        events: &[Event],
        blobs: &[BlobHash],
        scope: Option<LookUpScope>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingInput)? else { return Ok(()) };
        let mut is_complete = !self.note_blobs(now, &job, &readable, blobs)?;
        let outputs = self.missing_outputs(id)?;
        let mut are_known = !outputs.is_empty();
        for wanted in outputs {
            let own = self.own_output(&wanted, &job.customer)?;
            let may_use = |event: &&Event| match own {
                OwnOutput::NoOwnJob => true,
                // Of a job of its own, an agent believes nobody but itself.
                OwnOutput::Published => event.pubkey == self.keys.public_key(),
                OwnOutput::Ready(_) | OwnOutput::Pending | OwnOutput::Never(_) => false,
            };
            let is_output = |event: &&Event| {
                self.output_of(&wanted, event, &job.customer)
                    .is_some_and(|content| content.len() <= MAX_OUTPUT)
            };
            let mut results = candidates_for(&wanted, events).into_iter().filter(may_use).filter(is_output);
            match results.find_map(result_json) {
                Some(result) => self.found_result(id, &wanted, &result)?,
                None => {
                    is_complete = false;
                    are_known &= !matches!(own, OwnOutput::NoOwnJob) || is_known(&wanted, events);
                }
            }
        }
        if is_complete {
            return self.inputs_complete(now, &job);
        }
        let known_until = are_known.then(|| job.received_at + INPUT_TIMEOUT);
        if let Some(deadline) = known_until {
            self.jobs.wait_until(id, deadline)?;
        }
        let wanted = self.wanted_outputs(&job)?;
        if scope == Some(LookUpScope::OwnRelay)
            && !wanted.is_empty()
            && !self.relays_with(&wanted, &job, &readable).is_empty()
        {
            self.look_ups.add(LookUpScope::AllRelays, job.customer, *id);
            return Ok(());
        }
        let next = now + self.pause_between_look_ups(now, &job);
        let due = known_until.or(job.deadline).map_or(next, |deadline| next.min(deadline));
        // Unless it has become due meanwhile, because the output is now stored.
        self.jobs.defer(id, now, due)
    }

    /// The pause before a job's inputs are looked up again. Jobs that arrived together are not due together.
    fn pause_between_look_ups(&self, now: Timestamp, job: &JobRow) -> Duration {
        let waited = job.received_at.until(now);
        let pause = waited.div_f32(3.0).clamp(Duration::from_secs(1), Duration::from_secs(80));
        let (of_customer, of_all) = self.unfinished.waiting(&job.customer);
        let times =
            |pause: Duration, jobs: u64| pause.saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX));
        let crowd = times(PAUSE_PER_JOB_OF_CUSTOMER, of_customer).max(times(PAUSE_PER_JOB, of_all));
        // Another part each time, different for each job.
        let [high, low, ..] = *job.id.as_bytes();
        let [.., upper, lower] = now.as_millis().to_be_bytes();
        let mixed = u16::from_be_bytes([high, low]).wrapping_add(u16::from_be_bytes([upper, lower]));
        let part = f32::from(mixed) / 65_536.0;
        pause.mul_f32(0.5 + part / 2.0).max(crowd.mul_f32(0.5 + part))
    }

    /// What the agent's own records say about the output of a job.
    fn own_output(&self, wanted: &EventId, customer: &PublicKey) -> Result<OwnOutput, SqlError> {
        let Some(own) = self.jobs.find(wanted)? else { return Ok(OwnOutput::NoOwnJob) };
        if !own.state.is_final() {
            return Ok(OwnOutput::Pending);
        }
        if own.state != JobState::Done {
            return Ok(OwnOutput::Never("has no result"));
        }
        // An earlier release did not store results.
        let Some(json) = self.jobs.answer(wanted)? else { return Ok(OwnOutput::Published) };
        let result = Event::from_json(&json).ok().and_then(|event| event.verify().ok());
        let Some(result) = result.filter(|result| result.pubkey == self.keys.public_key()) else {
            return Ok(OwnOutput::Never("has a result on record that is damaged"));
        };
        Ok(match self.output_of(wanted, &result, customer) {
            Some(_) => OwnOutput::Ready(json),
            None => OwnOutput::Never("has an encrypted result for another customer"),
        })
    }

    /// The output in an event, if it is the result of the job `wanted` and may be used in a job of this customer.
    fn output_of(&self, wanted: &EventId, event: &Event, customer: &PublicKey) -> Option<String> {
        let result = JobResultEvent::from_event(event)?;
        if result.request != *wanted && event.id != *wanted {
            return None;
        }
        if !result.encrypted {
            return Some(result.content);
        }
        let me = self.keys.public_key();
        if event.pubkey == me {
            // This agent's own result, encrypted for its customer. It may only be used in a job of the same customer.
            let whose = result.customer.filter(|whose| whose == customer)?;
            return self.keys.decrypt(&whose, &result.content).ok().map(|(plaintext, _)| plaintext);
        }
        // A result that this agent received as a customer may only be used in the agent's own jobs.
        result.customer.filter(|whose| *whose == me && *customer == me)?;
        self.keys.decrypt(&event.pubkey, &result.content).ok().map(|(plaintext, _)| plaintext)
    }

    /// Fails a job that has waited too long for its inputs.
    pub(super) fn give_up_inputs(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<(), SqlError> {
        let were_known = job.deadline.is_some_and(|deadline| deadline >= job.received_at + INPUT_TIMEOUT);
        let text = match self.missing_blobs(&job.id)?.first() {
            Some(blob) => format!(
                "the blob {}, which is an input of this job, is not at its URL and was not uploaded here within {} s of the request",
                blob.hash,
                job.received_at.until(now).as_secs()
            ),
            None if were_known => "the job that is an input of this job had no output in time".to_owned(),
            None => {
                "the job that is an input of this job was not found on any relay that was searched".to_owned()
            }
        };
        self.end_with_error(now, job, readable, JobState::Failed, &text)
    }

    fn found_result(&self, job: &EventId, event: &EventId, result: &str) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job_input SET result = ? WHERE job = ? AND event = ?",
            values![result, job, event],
        )
    }

    fn inputs_complete(&mut self, now: Timestamp, job: &JobRow) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET deadline = NULL WHERE id = ?", values![&job.id])?;
        // A job with a price was ready before.
        let next = if job.price.is_some() { JobState::Queued } else { JobState::Received };
        if self.jobs.advance(&job.id, JobState::AwaitingInput, next, Some(now))? {
            self.unfinished.advance(&job.customer, JobState::AwaitingInput, next);
        }
        Ok(())
    }

    /// Makes the jobs that wait for this job's output due at once.
    pub(super) fn wake_dependents(&self, now: Timestamp, done: &EventId) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET due = ? WHERE state = 'awaiting_input'
             AND id IN (SELECT job FROM job_input WHERE event = ? AND result IS NULL)",
            values![now, done],
        )
    }

    /// The outputs that a job takes as inputs. `None` if a result on record does not verify; then the job waits until it
    /// has been looked up again.
    pub(super) fn outputs_for(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<Option<Vec<JobOutput>>, SqlError> {
        if !readable.request.inputs.iter().any(|input| input.kind == InputKind::Job) {
            return Ok(Some(Vec::new()));
        }
        let rows = self.sql.rows::<(EventId, Option<String>)>(
            "SELECT event, result FROM job_input WHERE job = ?",
            values![&job.id],
        )?;
        let (mut outputs, mut damaged) = (Vec::new(), Vec::new());
        for (event, result) in rows {
            match result.and_then(|json| self.verified_output(&event, &json, &job.customer)) {
                Some(content) => outputs.push(JobOutput { event, content }),
                None => damaged.push(event),
            }
        }
        if damaged.is_empty() {
            return Ok(Some(outputs));
        }
        for event in damaged {
            self.sql.execute(
                "UPDATE job_input SET result = NULL WHERE job = ? AND event = ?",
                values![&job.id, &event],
            )?;
        }
        if self.jobs.advance(&job.id, job.state, JobState::AwaitingInput, Some(now))? {
            self.unfinished.advance(&job.customer, job.state, JobState::AwaitingInput);
            self.jobs.wait_until(&job.id, now + UNKNOWN_INPUT_TIMEOUT)?;
        }
        Ok(None)
    }

    /// The output in a result on record, whose id and signature are verified.
    fn verified_output(&self, wanted: &EventId, json: &str, customer: &PublicKey) -> Option<String> {
        let result = Event::from_json(json).ok()?.verify().ok()?;
        self.output_of(wanted, &result, customer)
    }
}

/// The output of a job that may be one of this agent's own.
enum OwnOutput {
    /// The agent has no such job.
    NoOwnJob,
    /// The job is unfinished.
    Pending,
    /// Its result, as JSON.
    Ready(String),
    /// The job is done, and its result is on the agent's relay only.
    Published,
    /// There is no output and there will be none; says why.
    Never(&'static str),
}

/// The events that may be the wanted output, in the order in which they were found: the named result itself, or the
/// results of the named request by providers that the request was for. A time that others claim decides nothing,
/// except that no result is older than its request.
fn candidates_for<'a>(wanted: &EventId, events: &'a [Event]) -> Vec<&'a Event> {
    let named =
        events.iter().find(|event| event.id == *wanted && JobResultEvent::from_event(event).is_some());
    if let Some(named) = named {
        return vec![named];
    }
    // Without the request, its providers are unknown, and anyone could have published a result.
    let Some(request) = request_of(wanted, events) else { return Vec::new() };
    let fits = |event: &&Event| {
        event.kind == result_kind(request.kind())
            && event.created_at >= request.event.created_at
            && request.is_for(&event.pubkey)
    };
    events.iter().filter(fits).collect()
}

/// A result as JSON, unless it is too long for a row.
fn result_json(result: &Event) -> Option<String> {
    serde_json::to_string(result).ok().filter(|json| json.len() <= MAX_RESULT)
}

/// Whether relays have the wanted event, or an event that repeats it.
fn is_known(wanted: &EventId, events: &[Event]) -> bool {
    events.iter().any(|event| event.id == *wanted) || request_of(wanted, events).is_some()
}

/// The request with this id, found on its own or repeated in a result; its id and signature are verified.
fn request_of(wanted: &EventId, events: &[Event]) -> Option<JobRequest> {
    let repeated = events.iter().filter_map(|event| JobResultEvent::from_event(event)?.request_event);
    let requests = events.iter().cloned().chain(repeated).filter(|event| event.id == *wanted);
    requests.into_iter().find_map(|event| JobRequest::from_event(event.verify().ok()?).ok())
}
