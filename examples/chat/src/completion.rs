//! Chat completions of an OpenAI-compatible server, as a stream of tokens.

use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::{self, Value, json};
use openagents_sdk::{HttpError, ServerSentEvents, Turn};

/// The longest time that the model may take.
const TIMEOUT: Duration = Duration::from_secs(240);

/// A message of the conversation.
#[derive(Serialize)]
#[serde(crate = "openagents_sdk::serde")]
pub(crate) struct Message {
    role: String,
    content: String,
}

impl From<Turn> for Message {
    fn from(turn: Turn) -> Self {
        Self { role: turn.role, content: turn.text }
    }
}

/// The model's answer, while it is being written.
pub(crate) struct Completion {
    events: ServerSentEvents,
}

/// The data of a server-sent event.
#[derive(Deserialize)]
#[serde(crate = "openagents_sdk::serde")]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(crate = "openagents_sdk::serde")]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
#[serde(crate = "openagents_sdk::serde")]
struct Delta {
    content: Option<String>,
}

impl Completion {
    /// Asks the model to continue the conversation.
    pub(crate) async fn start(context: &JobContext, messages: &[Message]) -> JobResult<Self> {
        let url = format!("{}/chat/completions", context.variable("LLM_BASE_URL")?.trim_end_matches('/'));
        let body = json!({ "model": context.variable("LLM_MODEL")?, "messages": messages, "stream": true });
        let request = context.http().post(url).bearer(context.secret("LLM_API_KEY")?).json(&body);
        let response = request.timeout(TIMEOUT).send().await?.error_for_status().await.map_err(refused)?;
        Ok(Self { events: response.events() })
    }

    /// The next piece of the answer; `None` after the last.
    pub(crate) async fn next(&mut self) -> JobResult<Option<String>> {
        while let Some(event) = self.events.next().await? {
            if event.data == "[DONE]" {
                return Ok(None);
            }
            let chunk: Chunk = serde_json::from_str(&event.data)?;
            if let Some(error) = chunk.error {
                return Err(
                    JobError::retry("the model could not finish its answer").caused_by(error.to_string())
                );
            }
            let delta = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
            if let Some(token) = delta.filter(|token| !token.is_empty()) {
                return Ok(Some(token));
            }
        }
        Err(JobError::retry("the model's answer was cut off"))
    }
}

/// A request that the server does not understand or permit is not repeated.
fn refused(error: HttpError) -> JobError {
    match error {
        HttpError::Status { status: 400..=407 | 409..=428 | 430..=499, .. } => {
            JobError::failed("the model refused the request").caused_by(error)
        }
        _ => JobError::retry("the model is not available").caused_by(error),
    }
}
