//! `AgentRequest` and `AgentResponse`: the JSON of a gateway's requests and responses.

use openagents_host::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::iso_8601;

/// A request to a gateway: what is to be done, and with what.
///
/// Authors whose backend expects another payload name its type: see [`Gateway::typed`](super::Gateway::typed).
///
/// ```
/// use openagents_sdk::gateway::AgentRequest;
///
/// let request: AgentRequest = serde_json::from_str(r#"{"action": "evaluate", "payload": {"prompt": "hello"}}"#)?;
/// assert_eq!((request.action.as_str(), request.payload.prompt.as_str()), ("evaluate", "hello"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRequest<P = PromptPayload> {
    /// What the backend is asked to do: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub action: String,
    /// What the action is about: a JSON object.
    pub payload: P,
}

/// The usual payload of a request to a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptPayload {
    /// The text for the agent behind the backend.
    pub prompt: String,
    /// What else the backend should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
}

/// A gateway's response: the result of the backend, or why there is none.
///
/// ```
/// use openagents_sdk::gateway::AgentResponse;
/// use openagents_sdk::nostr::Timestamp;
///
/// let response = AgentResponse::Success { result: 42, timestamp: Timestamp::from_seconds(1_704_067_200) };
/// let json = r#"{"status":"success","result":42,"timestamp":"2024-01-01T00:00:00.000Z"}"#;
/// assert_eq!(serde_json::to_string(&response)?, json);
/// assert_eq!(serde_json::from_str::<AgentResponse<u8>>(json)?, response);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
#[non_exhaustive]
pub enum AgentResponse<R = Value> {
    /// The backend has carried out the action.
    Success {
        /// The JSON that the backend answered with.
        result: R,
        /// When the gateway answered: in JSON, ISO 8601 in UTC with milliseconds.
        #[serde(with = "iso_8601")]
        timestamp: Timestamp,
    },
    /// The request was refused, or the backend failed.
    Error {
        /// What went wrong.
        error: ErrorDetails,
        /// When the gateway answered: in JSON, ISO 8601 in UTC with milliseconds.
        #[serde(with = "iso_8601")]
        timestamp: Timestamp,
    },
}

/// Why a gateway has no result for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorDetails {
    /// The kind of error, for programs: `rate_limited`, for example. `docs/gateway.md` lists them.
    pub code: String,
    /// What is wrong and what was expected, for people.
    pub message: String,
    /// What the backend said when it refused the request, if that was JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;
    use serde_json::{Value, json};

    use super::{AgentRequest, AgentResponse, ErrorDetails, PromptPayload};

    #[test]
    fn an_error_has_the_shape_of_a_result() {
        let error = ErrorDetails { code: "too_deep".into(), message: "too deep".into(), details: None };
        let response = AgentResponse::<Value>::Error { error, timestamp: Timestamp::from_millis(1) };
        let json = json!({
            "status": "error",
            "error": { "code": "too_deep", "message": "too deep" },
            "timestamp": "1970-01-01T00:00:00.001Z",
        });
        assert_eq!(serde_json::to_value(&response).unwrap(), json);
        assert_eq!(serde_json::from_value::<AgentResponse>(json).unwrap(), response);
    }

    #[test]
    fn the_context_may_be_missing_and_nothing_else() {
        let read = |json: Value| serde_json::from_value::<AgentRequest>(json);
        let payload = PromptPayload { prompt: "hello".into(), context: None };
        let request = AgentRequest { action: "evaluate".into(), payload };
        assert_eq!(read(json!({"action": "evaluate", "payload": {"prompt": "hello"}})).unwrap(), request);
        for wrong in [
            json!({"payload": {"prompt": "hello"}}),
            json!({"action": "evaluate"}),
            json!({"action": "evaluate", "payload": {}}),
            json!({"action": "evaluate", "payload": {"prompt": 1}}),
            json!({"action": "evaluate", "payload": {"prompt": "hello", "context": []}}),
            json!({"action": "evaluate", "payload": {"prompt": "hello", "contxt": {}}}),
            json!({"action": "evaluate", "payload": {"prompt": "hello"}, "key": 1}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
