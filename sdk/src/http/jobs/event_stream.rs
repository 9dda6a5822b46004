//! The answers to a job as server-sent events: `text/event-stream`, as HTML defines it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream;
use openagents_host::http::response::private;
use openagents_host::http::{ByteStream, Bytes, HeaderValue, Response, header};
use openagents_host::{EventId, PublicKey, Timestamp, timeout};

use super::answers::{JobAnswer, JobAnswers};
use super::job_connection::{FromRelay, JobConnection};
use crate::clock::now;
use crate::http::problem::Problem;

/// How long a stream lasts at most. A client connects again and says which event was the last (`Last-Event-ID`).
const MAX_STREAM_TIME: Duration = Duration::from_secs(90);

/// After this time without an event, a comment shows that the connection is alive.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// What a stream begins with: how soon a client connects again, in milliseconds.
const BEGINNING: &str = "retry: 1000\n\n";

struct AnswerStream {
    relay: JobConnection,
    id: EventId,
    agent: PublicKey,
    /// What is sent next.
    unsent: VecDeque<String>,
    end: Timestamp,
    is_over: bool,
}

/// Sends the answers after the one with the id `after`, if it is among them, and then those that follow.
pub(super) fn respond(
    relay: JobConnection,
    (id, agent): (EventId, PublicKey),
    answers: &JobAnswers,
    after: Option<EventId>,
) -> Response {
    let stored = answers.in_order();
    let known = stored.iter().position(|answer| Some(answer.event.id) == after);
    let skipped = known.map_or(0, |at| at.saturating_add(1));
    let unsent = [BEGINNING.to_owned()].into_iter().chain(stored.iter().skip(skipped).map(text)).collect();
    let is_over = answers.outcome().is_some();
    let answers = AnswerStream { relay, id, agent, unsent, end: now() + MAX_STREAM_TIME, is_over };
    let chunks = stream::unfold(answers, async |mut answers| {
        let text = answers.next().await?;
        Some((Ok(Bytes::from(text)), answers))
    });
    let mut response = Response::new(ByteStream::new(Box::pin(chunks)).into());
    let event_stream = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, event_stream);
    private(response)
}

impl AnswerStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.unsent.pop_front() {
                return Some(text);
            }
            let left = now().until(self.end);
            if self.is_over || left.is_zero() {
                return None;
            }
            match timeout(left.min(COMMENT_INTERVAL), self.relay.next()).await {
                Some(Ok(FromRelay::Event(json))) => {
                    let Some(answer) = JobAnswer::read(json, self.id, self.agent) else { continue };
                    self.is_over = answer.is_final();
                    return Some(text(&answer));
                }
                Some(Ok(FromRelay::EndOfStoredEvents)) => {}
                Some(Err(problem)) => {
                    self.is_over = true;
                    return Some(problem_text(&problem));
                }
                None => return Some(":\n\n".to_owned()),
            }
        }
    }
}

fn text(answer: &JobAnswer) -> String {
    let name = if answer.is_result() { "result" } else { "feedback" };
    // Between the parts of JSON, an end of line means nothing, and within a text it is escaped.
    let json = answer.json.replace(['\n', '\r'], "");
    format!("id: {}\nevent: {name}\ndata: {json}\n\n", answer.event.id)
}

fn problem_text(problem: &Problem) -> String {
    format!("event: problem\ndata: {}\n\n", problem.json())
}
