//! `Backend`: the operator's server to which a gateway forwards requests.

use std::time::Duration;

use openagents_host::http::{Bytes, Method, StatusCode};
use openagents_host::net::{self, HttpError, HttpLimits, HttpRequest, HttpResponse, Reach, Url};

use super::error::GatewayError;
use crate::clock::{now, sleep};

/// The longest response of the backend, in bytes.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// How often a request is sent, if it is certain that the backend did not begin with it.
const MAX_ATTEMPTS: u32 = 3;

/// The pause before connecting again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause that a backend may ask for before it gets a request again; its client waits longer ones.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// The server at `AUMOS_API_URL`. Redirects are not followed, since they could lead the key elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its URL, named by the operator: it may be private.
    pub(crate) url: Url,
    /// The secret that is sent as bearer token.
    pub(crate) key: Option<String>,
    /// How long a request may take, all attempts together.
    pub(crate) timeout: Duration,
}

/// What became of a request that was forwarded.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// The status of the last response, if there was one.
    pub(super) backend_status: Option<u16>,
    pub(super) result: Result<Bytes, GatewayError>,
}

impl std::fmt::Debug for Backend {
    /// Leaves out the key, and the URL's query, which may contain another one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origin = self.url.origin().ascii_serialization();
        f.debug_struct("Backend")
            .field("origin", &origin)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// Sends a request's body as it is. The result is the body of a successful response.
    ///
    /// Nothing of the client's headers is passed on. `id` is the same in all attempts, so that the backend can recognise
    /// them.
    pub(super) async fn forward(&self, body: &Bytes, id: &str) -> Forwarded {
        let end = now() + self.timeout;
        let mut attempt = 1_u32;
        loop {
            let answered = self.send(body.clone(), id, now().until(end)).await;
            let pause = match &answered {
                Err(HttpError::Connect(_)) => Some(RECONNECT_PAUSE),
                Ok(response) if is_busy(response.status()) => retry_after(response),
                _ => None,
            };
            let pause = pause.filter(|pause| *pause <= MAX_RETRY_PAUSE && now() + *pause < end);
            let Some(pause) = pause.filter(|_| attempt < MAX_ATTEMPTS) else {
                return match answered {
                    Ok(response) => Forwarded {
                        backend_status: Some(response.status()),
                        result: self.read(response).await,
                    },
                    Err(error) => Forwarded { backend_status: None, result: Err(self.failure(&error)) },
                };
            };
            attempt = attempt.saturating_add(1);
            sleep(pause).await;
        }
    }

    async fn send(&self, body: Bytes, id: &str, timeout: Duration) -> Result<HttpResponse, HttpError> {
        let limits =
            HttpLimits { reach: Reach::Anywhere, max_bytes: MAX_RESPONSE_BYTES, timeout, max_redirects: 0 };
        let mut request = HttpRequest::new(Method::POST, self.url.as_str())
            .limits(limits)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("x-request-id", id)
            .header("idempotency-key", id);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body = body.into();
        net::send(request).await
    }

    async fn read(&self, response: HttpResponse) -> Result<Bytes, GatewayError> {
        let status = response.status();
        match status {
            204 => Ok(Bytes::from_static(b"null")),
            200..=299 => response.bytes().await.map_err(|error| self.failure(&error)),
            status if is_busy(status) => {
                Err(GatewayError::BackendBusy { retry_after: retry_after(&response) })
            }
            // The client's mistakes. 401 and 403 are about the operator's key.
            400 | 404 | 409 | 413 | 415 | 422 => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Err(GatewayError::BackendRefused { status, details: response.json().await.ok() })
            }
            status => {
                tracing::warn!(status, "the gateway's backend failed");
                Err(GatewayError::BackendFailed { status })
            }
        }
    }

    /// What the client is told about a failed exchange; the log has the reason.
    fn failure(&self, error: &HttpError) -> GatewayError {
        tracing::warn!(%error, "the gateway's backend failed");
        match error {
            HttpError::Timeout { .. } => GatewayError::BackendTimeout { limit: self.timeout },
            HttpError::TooLarge { .. } => GatewayError::BackendResponse("it is too long"),
            HttpError::Redirects { .. } => GatewayError::BackendResponse("it is a redirect"),
            _ => GatewayError::Unreachable,
        }
    }
}

/// Whether the status says that the backend did not begin with the request.
const fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// The pause that a response asks for in seconds; a date is not read.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    response.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}
