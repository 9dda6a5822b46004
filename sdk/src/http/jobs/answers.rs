//! `JobAnswers`: what the relay has for a job, and what that means.

use std::sync::Arc;

use openagents_host::http::StatusCode;
use openagents_host::{Event, EventId, PublicKey};
use serde_json::{Value, json};

use crate::http::problem::Problem;
use crate::nip90::{FEEDBACK, Feedback, Status};

/// The kinds of results (NIP-90).
const RESULTS: std::ops::RangeInclusive<u16> = 6_000..=6_999;

/// An answer of the agent to a job request: feedback or a result.
#[derive(Clone, Debug)]
pub(super) struct JobAnswer {
    pub(super) event: Event,
    /// The event as the relay sent it.
    pub(super) json: Arc<str>,
    /// `None` for a result.
    feedback: Option<Feedback>,
}

impl JobAnswer {
    /// Reads an event; `None` if it is no answer of this agent to this request.
    pub(super) fn read(json: Arc<str>, request: EventId, agent: PublicKey) -> Option<Self> {
        let event = Event::from_json(&json).ok().filter(|event| event.pubkey == agent)?;
        let is_about_request = || event.tag_values("e").any(|id| id == request.to_hex());
        let feedback = match event.kind {
            FEEDBACK => Some(Feedback::from_event(&event).filter(|feedback| feedback.request == request)?),
            kind if RESULTS.contains(&kind.0) && is_about_request() => None,
            _ => return None,
        };
        Some(Self { event, json, feedback })
    }

    pub(super) const fn is_result(&self) -> bool {
        self.feedback.is_none()
    }

    fn has_status(&self, status: &Status) -> bool {
        self.feedback.as_ref().is_some_and(|feedback| feedback.status == *status)
    }

    /// Whether no other answer follows: a result or an error.
    pub(super) fn is_final(&self) -> bool {
        self.is_result() || self.has_status(&Status::Error)
    }

    pub(super) fn requires_payment(&self) -> bool {
        self.has_status(&Status::PaymentRequired)
    }

    /// The order in which answers were given, as far as their times tell: of the same second, a demand for payment comes last
    /// before what is final.
    fn order(&self) -> (u64, bool, bool, EventId) {
        (self.event.created_at, self.is_final(), self.requires_payment(), self.event.id)
    }
}

/// The answers to a job request so far.
#[derive(Debug)]
pub(super) struct JobAnswers {
    /// Whether the relay has the request.
    pub(super) has_request: bool,
    answers: Vec<JobAnswer>,
}

impl JobAnswers {
    pub(super) const fn new(has_request: bool) -> Self {
        Self { has_request, answers: Vec::new() }
    }

    /// Adds an answer. The order of those of the relay's store does not matter.
    pub(super) fn add(&mut self, answer: JobAnswer) {
        let at = self.answers.partition_point(|other| other.order() <= answer.order());
        self.answers.insert(at, answer);
    }

    /// All of them, the earliest first.
    pub(super) fn in_order(&self) -> &[JobAnswer] {
        &self.answers
    }

    /// The result, or else the error.
    pub(super) fn outcome(&self) -> Option<&JobAnswer> {
        let result = self.answers.iter().find(|answer| answer.is_result());
        result.or_else(|| self.answers.iter().find(|answer| answer.is_final()))
    }

    fn last(&self) -> Option<&JobAnswer> {
        self.answers.last()
    }

    /// Whether the agent waits for a payment.
    pub(super) fn require_payment(&self) -> bool {
        self.outcome().is_none() && self.last().is_some_and(JobAnswer::requires_payment)
    }

    /// The status of a job without an outcome, as JSON.
    pub(super) fn status(&self, id: EventId) -> String {
        let feedback = self.last().and_then(|answer| Some((answer, answer.feedback.as_ref()?)));
        let status = feedback.map_or("accepted", |(_, feedback)| feedback.status.as_str());
        let event = feedback.map_or(Value::Null, |(answer, _)| json!(answer.event));
        json!({ "id": id, "status": status, "url": url(id), "feedback": event }).to_string()
    }

    /// Why there is no result, if the agent said so.
    pub(super) fn problem(&self, id: EventId) -> Option<Problem> {
        let answer = self.outcome().or_else(|| self.last().filter(|answer| answer.requires_payment()))?;
        let feedback = answer.feedback.as_ref()?;
        let message = feedback.message.clone();
        let problem = if answer.requires_payment() {
            let amount = feedback.amount.as_ref();
            let detail = message.unwrap_or_else(|| "the agent waits for a payment".to_owned());
            Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_required", detail)
                .member("amount_msat", amount.map(|amount| amount.msat))
                .member("invoice", amount.and_then(|amount| amount.invoice.clone()))
        } else {
            let detail = message.unwrap_or_else(|| "the agent does not say why the job failed".to_owned());
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "job_failed", detail)
        };
        Some(problem.member("url", url(id)).member("event", json!(answer.event)))
    }
}

/// The path at which a job's answers are.
pub(super) fn url(id: EventId) -> String {
    format!("/jobs/{id}")
}

#[cfg(test)]
mod tests {
    use openagents_host::{EventId, Keys, Timestamp, UnsignedEvent};
    use serde_json::{Value, json};

    use super::{JobAnswer, JobAnswers};

    const REQUEST: EventId = EventId::from_bytes([7; 32]);

    fn agent() -> Keys {
        Keys::from_secret(&[1; 32]).unwrap()
    }

    fn answer(kind: u16, seconds: u64, status: &[&str]) -> JobAnswer {
        let event = UnsignedEvent::new(kind, "out").tag(["e", &REQUEST.to_hex()]);
        let event = if status.is_empty() { event } else { event.tag(status.iter().copied()) };
        let event = event.tag(["amount", "21000", "lnbc1"]).sign(&agent(), Timestamp::from_seconds(seconds));
        JobAnswer::read(event.json().clone(), REQUEST, agent().public_key()).unwrap()
    }

    fn answers(all: &[JobAnswer]) -> JobAnswers {
        let mut answers = JobAnswers::new(true);
        all.iter().for_each(|answer| answers.add(answer.clone()));
        answers
    }

    #[test]
    fn a_result_is_the_outcome_whatever_was_said_before() {
        let all = [
            answer(6050, 3, &[]),
            answer(7000, 2, &["status", "error", "it broke"]),
            answer(7000, 1, &["status", "processing"]),
        ];
        assert!(answers(&all).outcome().unwrap().is_result());
        assert!(answers(&all).problem(REQUEST).is_none());
        let failed = answers(&all[1..]).problem(REQUEST).unwrap();
        assert_eq!(
            (failed.status.as_u16(), failed.code, failed.detail.as_str()),
            (422, "job_failed", "it broke")
        );
        assert_eq!(answers(&all).in_order()[0].event.created_at, 1);
    }

    #[test]
    fn a_demand_for_payment_is_a_problem_until_the_agent_goes_on() {
        let demand = answer(7000, 1, &["status", "payment-required", "21 sat, please"]);
        let unpaid = answers(std::slice::from_ref(&demand));
        assert!(unpaid.require_payment());
        let problem = unpaid.problem(REQUEST).unwrap();
        assert_eq!((problem.status.as_u16(), problem.detail.as_str()), (402, "21 sat, please"));
        assert_eq!(problem.members["invoice"], json!("lnbc1"));
        assert_eq!(problem.members["amount_msat"], json!(21_000));
        let later = answer(7000, 2, &["status", "processing"]);
        assert!(!answers(&[demand.clone(), later]).require_payment());
        // In one second, payment is asked for afterwards.
        let same = answer(7000, 1, &["status", "processing"]);
        assert!(answers(&[demand, same]).require_payment());
    }

    #[test]
    fn a_job_without_an_outcome_has_a_status() {
        let status = |answers: &JobAnswers| serde_json::from_str::<Value>(&answers.status(REQUEST)).unwrap();
        let none = status(&JobAnswers::new(true));
        assert_eq!((&none["status"], &none["feedback"]), (&json!("accepted"), &Value::Null));
        let some = status(&answers(&[answer(7000, 1, &["status", "partial"])]));
        assert_eq!((&some["status"], &some["feedback"]["kind"]), (&json!("partial"), &json!(7000)));
        assert_eq!(some["url"], format!("/jobs/{}", REQUEST.to_hex()));
    }

    #[test]
    fn answers_of_others_and_to_others_are_none() {
        let event = UnsignedEvent::new(6050, "").tag(["e", &REQUEST.to_hex()]);
        let stranger = Keys::from_secret(&[2; 32]).unwrap();
        let by_stranger = event.clone().sign(&stranger, Timestamp::from_seconds(1));
        let key = agent().public_key();
        assert!(JobAnswer::read(by_stranger.json().clone(), REQUEST, key).is_none());
        let own = event.sign(&agent(), Timestamp::from_seconds(1));
        assert!(JobAnswer::read(own.json().clone(), EventId::from_bytes([8; 32]), key).is_none());
        let note = UnsignedEvent::new(1, "").tag(["e", &REQUEST.to_hex()]);
        let note = note.sign(&agent(), Timestamp::from_seconds(1));
        assert!(JobAnswer::read(note.json().clone(), REQUEST, key).is_none());
    }
}
