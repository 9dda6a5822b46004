//! `JobCall`: a request to `/jobs`, checked before a connection to the relay is opened for it.

use std::time::Duration;

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{
    Body, BodyError, HeaderName, HeaderValue, Method, Parts, Response, StatusCode, header, header_text,
};
use openagents_host::net::Socket;
use openagents_host::nostr::keys::npub;
use openagents_host::{Event, EventId, PublicKey, timeout};
use openagents_relay::Filter;

use super::answers::{JobAnswer, JobAnswers, url};
use super::event_stream;
use super::job_connection::{FromRelay, JobConnection, unreachable_relay};
use crate::clock::now;
use crate::declaration::DeploymentDeclaration;
use crate::http::operator::RecordAccess;
use crate::http::problem::Problem;
use crate::http::route::JobRoute;

/// How long the body of a request may take to arrive.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long the relay may take to send what it has stored.
const STORED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new job is waited for, unless the client says otherwise (`Prefer: wait=…`).
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// The longest time that a client may want to wait.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Where a stream of events goes on, as HTML defines it.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The agent that does the jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobAgent {
    access: RecordAccess,
    kinds: Vec<u16>,
    /// The longest body, in bytes.
    max_bytes: usize,
}

impl JobAgent {
    /// The agent of a deployment whose relay takes messages of so many bytes.
    pub(crate) fn new(access: RecordAccess, deployment: &DeploymentDeclaration, max_bytes: usize) -> Self {
        let kinds = deployment.agents.iter().flat_map(|agent| &agent.job_kinds).copied().collect();
        Self { access, kinds, max_bytes }
    }
}

/// A request to `/jobs`.
#[derive(Debug)]
pub(crate) struct JobCall {
    agent: PublicKey,
    id: EventId,
    /// The job request's text; `None` for a job that is asked after.
    request: Option<String>,
    /// Who signed the call (NIP-98).
    signer: Option<PublicKey>,
    answer: AnswerForm,
}

/// How a client wants the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerForm {
    /// The outcome, if there is one within this time.
    Outcome { wait: Duration },
    /// All answers as they come, after this one.
    Stream { after: Option<EventId> },
}

impl JobCall {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn read(
        route: JobRoute<'_>,
        parts: &Parts,
        body: Body,
        agent: &JobAgent,
    ) -> Result<Self, Problem> {
        let signer = agent.access.signer(parts, now()).map_err(|error| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", format!("not authorized: {error}"))
        })?;
        let (id, request) = match route {
            JobRoute::Submit => {
                let text = read_body(parts, body, agent.max_bytes).await?;
                (agent.admit(&text)?, Some(text))
            }
            JobRoute::Job { id } => (EventId::from_hex(id).map_err(|_| unknown_job())?, None),
        };
        let answer = AnswerForm::of(parts, request.is_some());
        Ok(Self { agent: agent.access.agent(), id, answer, request, signer })
    }

    /// The key with which the client has authenticated.
    pub(crate) const fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// Publishes the request, if there is one, on a connection to the relay, and responds with the agent's answers.
    pub(crate) async fn answer(self, socket: Socket) -> Response {
        self.respond(JobConnection::new(socket)).await.unwrap_or_else(|problem| problem.response())
    }

    async fn respond(&self, mut relay: JobConnection) -> Result<Response, Problem> {
        if let Some(request) = &self.request {
            relay.publish(self.id, request).await?;
        }
        let answers = Filter::new().authors([self.agent]).events([self.id]);
        relay.subscribe(vec![answers, Filter::new().ids([self.id])]).await?;
        let mut answers = JobAnswers::new(self.request.is_some());
        let stored = timeout(STORED_TIMEOUT, self.read_stored(&mut relay, &mut answers)).await;
        stored.unwrap_or_else(|| Err(unreachable_relay()))?;
        if !answers.has_request && answers.in_order().is_empty() {
            return Err(unknown_job());
        }
        let wait = match self.answer {
            AnswerForm::Outcome { wait } => wait,
            AnswerForm::Stream { after } => {
                return Ok(event_stream::respond(relay, (self.id, self.agent), &answers, after));
            }
        };
        // Who asks after a job that is to be paid may have paid it.
        let is_answered = |answers: &JobAnswers| {
            answers.outcome().is_some() || (self.request.is_some() && answers.require_payment())
        };
        if !is_answered(&answers) {
            // The time that is over is no error.
            timeout(wait, self.read_answer(&mut relay, &mut answers)).await.unwrap_or(Ok(()))?;
        }
        self.show(&answers)
    }

    async fn read_stored(&self, relay: &mut JobConnection, answers: &mut JobAnswers) -> Result<(), Problem> {
        while let FromRelay::Event(json) = relay.next().await? {
            match JobAnswer::read(json.clone(), self.id, self.agent) {
                Some(answer) => answers.add(answer),
                None => answers.has_request |= Event::from_json(&json).is_ok_and(|event| event.id == self.id),
            }
        }
        Ok(())
    }

    /// Reads until there is an outcome, or a new demand for payment.
    async fn read_answer(&self, relay: &mut JobConnection, answers: &mut JobAnswers) -> Result<(), Problem> {
        loop {
            let FromRelay::Event(json) = relay.next().await? else { continue };
            let Some(answer) = JobAnswer::read(json, self.id, self.agent) else { continue };
            let is_last = answer.is_final() || answer.requires_payment();
            answers.add(answer);
            if is_last {
                return Ok(());
            }
        }
    }

    fn show(&self, answers: &JobAnswers) -> Result<Response, Problem> {
        if let Some(problem) = answers.problem(self.id) {
            return Err(problem);
        }
        let response = match answers.outcome() {
            Some(result) => response::json(StatusCode::OK, result.json.to_string()),
            None => {
                let response = response::json(StatusCode::ACCEPTED, answers.status(self.id));
                with_header(response, header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
        };
        Ok(private(match HeaderValue::try_from(url(self.id)) {
            Ok(url) => with_header(response, header::LOCATION, url),
            Err(_) => response,
        }))
    }
}

impl AnswerForm {
    fn of(parts: &Parts, is_new: bool) -> Self {
        let accept = header_text(&parts.headers, &header::ACCEPT);
        if parts.method != Method::HEAD && accept.to_ascii_lowercase().contains("text/event-stream") {
            let last = header_text(&parts.headers, &LAST_EVENT_ID);
            return Self::Stream { after: EventId::from_hex(last.trim()).ok() };
        }
        let usual = if is_new { DEFAULT_WAIT } else { Duration::ZERO };
        let preferred = preferred_wait(header_text(&parts.headers, &PREFER));
        Self::Outcome { wait: preferred.unwrap_or(usual).min(MAX_WAIT) }
    }
}

/// The time in a header such as `Prefer: respond-async, wait=10` (RFC 7240), in seconds. Without a time, `respond-async` is
/// none.
fn preferred_wait(header: &str) -> Option<Duration> {
    let preferences = || header.split(',').filter_map(|preference| preference.split(';').next());
    let wait = preferences().find_map(|preference| {
        let (name, seconds) = preference.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds))
    });
    let is_async = || preferences().any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"));
    wait.or_else(|| is_async().then_some(Duration::ZERO))
}

impl JobAgent {
    /// The id of a job request that this agent would take; the relay checks the rest.
    fn admit(&self, text: &str) -> Result<EventId, Problem> {
        let event = Event::from_json(text).map_err(|error| {
            let detail = format!("the body is no Nostr event (NIP-01): {error}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid_event", detail)
        })?;
        let unprocessable = |code, detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        if !self.kinds.contains(&event.kind.0) {
            let kinds: Vec<String> = self.kinds.iter().map(u16::to_string).collect();
            let detail = format!(
                "this agent takes job requests of the kinds {}, not {}",
                kinds.join(", "),
                event.kind
            );
            return Err(unprocessable("no_handler", detail));
        }
        let mut providers = event.tag_values("p").peekable();
        if providers.peek().is_some() && !providers.any(|provider| provider == self.access.agent().to_hex()) {
            let detail = format!(
                "the request's `p` tags name other providers; this agent is {}",
                npub(&self.access.agent())
            );
            return Err(unprocessable("other_provider", detail));
        }
        Ok(event.id)
    }
}

async fn read_body(parts: &Parts, body: Body, max_bytes: usize) -> Result<String, Problem> {
    let media_type = header_text(&parts.headers, &header::CONTENT_TYPE);
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let encoding = header_text(&parts.headers, &header::CONTENT_ENCODING);
    if !media_type.eq_ignore_ascii_case("application/json") || !matches!(encoding, "" | "identity") {
        let detail = "send the signed event as JSON that is not compressed, with the header \
                      `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid_event", detail);
    let body = match timeout(MAX_REQUEST_TIME, body.read_to_end(max_bytes)).await {
        Some(Ok(body)) => body,
        Some(Err(BodyError::TooLong { .. })) => {
            let detail = format!("the body is longer than {max_bytes} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail));
        }
        Some(Err(_)) => return Err(bad("the body did not arrive completely")),
        None => {
            let detail = format!("the body did not arrive within {} s", MAX_REQUEST_TIME.as_secs());
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail));
        }
    };
    String::from_utf8(body.to_vec()).map_err(|_| bad("the body is not UTF-8"))
}

fn unknown_job() -> Problem {
    let detail = "this relay has no such job request; a job is named by its request's id, 64 hex characters";
    Problem::new(StatusCode::NOT_FOUND, "unknown_job", detail)
}

#[cfg(test)]
mod tests {
    use super::preferred_wait;

    #[test]
    fn a_client_prefers_to_wait_for_some_seconds() {
        for (header, seconds) in [
            ("", None),
            ("return=minimal", None),
            ("wait=10", Some(10)),
            ("respond-async", Some(0)),
            ("respond-async, Wait = \"7\"; x=1, wait=8", Some(7)),
            ("wait=soon", None),
        ] {
            assert_eq!(preferred_wait(header).map(|wait| wait.as_secs()), seconds, "{header}");
        }
    }
}
