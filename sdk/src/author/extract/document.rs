//! `Document`: the text at the URL of a `url` input.

use openagents_blossom::named_hash;
use openagents_host::net::Url;

use super::fetch_error::{explain, failed_status};
use super::{FromInput, blob};
use crate::author::http::HttpRequestBuilder;
use crate::author::job::JobContext;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// The most documents that one request may name.
const MAX_DOCUMENTS: usize = 8;

/// The text at the URL of a `url` input, fetched, or of a file that the customer has uploaded to the agent's own blob server.
///
/// Fetching may take 20 seconds, and all documents of one job together may have 5 MB. A URL that is not public, an
/// HTTP status other than success, or a body that is not text is an error that tells the customer so. For other
/// limits, take a [`Url`] and call [`Document::fetch`]; for binary data, use
/// [`AgentContext::http`](crate::AgentContext::http).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The URL it came from, after redirects.
    pub url: Url,
    /// The MIME type that the server sent, in lowercase and without parameters, such as `text/html`.
    pub content_type: Option<String>,
    /// The text. Bytes that are not UTF-8 are replaced by `�`.
    pub text: String,
}

impl Document {
    /// Fetches the text at a public URL within the request's limits.
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    ///
    /// async fn read(context: JobContext, url: Url) -> JobResult<String> {
    ///     let request = context.http().get(url).max_bytes(100_000);
    ///     Ok(Document::fetch(request).await?.text)
    /// }
    /// ```
    ///
    /// # Errors
    /// When it is unreachable, too large or not text. The error tells the customer so, and is retryable if that may
    /// change.
    pub async fn fetch(request: HttpRequestBuilder) -> Result<Self, JobError> {
        let fetched = async {
            let response = request.public_only().send().await?;
            let content_type = response.header("content-type").map(str::to_owned);
            let (status, url) = (response.status(), response.url().clone());
            let body = if response.is_success() { response.bytes().await?.into() } else { Vec::new() };
            Ok(Fetched { status, content_type, body, url })
        };
        fetched.await.map_err(explain).and_then(Self::read)
    }

    /// The text of a blob on the agent's own blob server; `None` if the URL names none that is there.
    async fn uploaded(context: &JobContext, url: &str, max_bytes: usize) -> Result<Option<Self>, JobError> {
        let (Some(hash), Ok(parsed)) = (named_hash(url), Url::parse(url)) else { return Ok(None) };
        let Some(blob) = blob::read_own(context, &hash, url, max_bytes).await? else { return Ok(None) };
        let content_type = Some(blob.media_type());
        let fetched = Fetched { status: 200, content_type, body: blob.bytes().to_vec(), url: parsed };
        Self::read(fetched).map(Some)
    }

    fn read(fetched: Fetched) -> Result<Self, JobError> {
        if !matches!(fetched.status, 200..=299) {
            return Err(failed_status(fetched.status));
        }
        let essence = |header: &String| {
            header
                .split(';')
                .next()
                .map(|essence| essence.trim().to_ascii_lowercase())
                .filter(|it| !it.is_empty())
        };
        let content_type = fetched.content_type.as_ref().and_then(essence);
        match text(fetched.body, content_type.as_deref()) {
            Some(text) => Ok(Self { url: fetched.url, content_type, text }),
            None => Err(JobError::failed(format!(
                "the input URL does not lead to text, but to {}",
                content_type.as_deref().unwrap_or("something else")
            ))),
        }
    }
}

/// What a server returned.
struct Fetched {
    status: u16,
    content_type: Option<String>,
    /// Empty unless the status is a success.
    body: Vec<u8>,
    /// After redirects.
    url: Url,
}

impl FromInput for Document {
    const INPUT: InputDeclaration = InputDeclaration {
        input_type: "url",
        mime_types: &["text/plain", "text/html", "text/markdown", "application/json"],
        required: true,
        is_uploadable: true,
    };

    const KINDS: &'static [InputKind] = &[InputKind::Url];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        if inputs.len() > MAX_DOCUMENTS {
            let text = format!("this job fetches at most {MAX_DOCUMENTS} URLs, not {}", inputs.len());
            return Err(JobError::failed(text));
        }
        let mut documents = Vec::new();
        let mut bytes_left = None;
        for input in inputs {
            let request = context.http().get(&input.data);
            let limit = bytes_left.unwrap_or_else(|| request.byte_limit());
            let document = match Self::uploaded(context, &input.data, limit).await? {
                Some(document) => document,
                None => Self::fetch(request.max_bytes(limit)).await?,
            };
            bytes_left = Some(limit.saturating_sub(document.text.len()));
            documents.push(document);
        }
        Ok(documents)
    }
}

/// The body as text. Invalid UTF-8 is accepted only if the content type says that it is text.
fn text(body: Vec<u8>, content_type: Option<&str>) -> Option<String> {
    let is_said_to_be = content_type.is_some_and(|content_type| content_type.starts_with("text/"));
    let text = match String::from_utf8(body) {
        Ok(text) if text.contains('\0') && !is_said_to_be => return None,
        Ok(text) => text,
        Err(error) if is_said_to_be => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(_) => return None,
    };
    Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests;
