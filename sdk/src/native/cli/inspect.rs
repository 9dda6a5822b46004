//! The command `inspect`: shows an operator the records of a running agent.

pub(super) mod tables;

use std::path::Path;
use std::time::Duration;

use openagents_host::Keys;
use openagents_host::native::now;
use openagents_host::net::{HttpError, HttpLimits, HttpRequest, Reach, send};
use openagents_host::nostr::http_auth::authorization;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::{ParseError, Url};

use super::arguments::{Inspect, InspectedRecord, RunningAgent};
use super::terminal::{foreign_output, say};
use crate::author::agent::Jobs;
use crate::native::data_folder::{DataFolder, DataFolderError};
use crate::native::environment::{EnvironmentError, EnvironmentVariables};
use crate::native::key_file::KeyFileError;
use crate::settings::{self, SettingError};

/// The largest response that is read, in bytes; conversations are the longest.
const MAX_ANSWER_BYTES: usize = 16_000_000;

/// What is not percent-encoded in a path; slashes in a memory key stay as they are.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum InspectError {
    #[error(
        "`{url}` is not the URL of an agent: {error}. Expected a URL such as http://127.0.0.1:8787 or https://agent.example.com"
    )]
    Url { url: String, error: ParseError },
    #[error("cannot reach the agent at {url}: {error}. Start it first, or give its URL with --url")]
    Fetch { url: Box<Url>, error: Box<HttpError> },
    #[error("{url} is not an agent: its /health has no npub")]
    NoAgent { url: Url },
    #[error("{url} returned status {status}: {reason}")]
    Refused { url: Url, status: u16, reason: String },
    #[error("{url} returned something unexpected: {error}")]
    Json { url: Url, error: serde_json::Error },
    #[error("cannot determine the working directory: {0}")]
    WorkingDirectory(std::io::Error),
    #[error("no key found: set NOSTR_PRIVATE_KEY, or give the agent's folder with --data DIR ({0})")]
    NoKey(DataFolderError),
    #[error(transparent)]
    DataFolder(DataFolderError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Setting(#[from] SettingError),
}

pub(in crate::native) async fn run<A: Jobs>(inspect: &Inspect) -> Result<(), InspectError> {
    let keys = keys::<A>(&inspect.agent)?;
    let base = base(&inspect.agent.url)?;
    let npub = agent_at(&base).await?;
    let url = record_url(&base, &npub, &inspect.record);
    let header = authorization(&keys, url.as_str(), "GET", now());
    let text = accepted(HttpRequest::get(url.as_str()).header("authorization", header), &url).await?;
    if inspect.json {
        say(format_args!("{}", foreign_output(&text)));
        return Ok(());
    }
    let shown = tables::text(&inspect.record, &text).map_err(|error| InspectError::Json { url, error })?;
    say(format_args!("{}", foreign_output(shown.trim_end())));
    Ok(())
}

/// The key with which requests are signed.
pub(super) fn keys<A: Jobs>(agent: &RunningAgent) -> Result<Keys, InspectError> {
    keys_of(A::DECLARATION.name, agent.data.as_deref())
}

/// The key in the variable, or in the data folder of the agent with this name.
pub(super) fn keys_of(name: &str, data: Option<&Path>) -> Result<Keys, InspectError> {
    let folder = std::env::current_dir().map_err(InspectError::WorkingDirectory)?;
    let variables = EnvironmentVariables::read(&folder)?;
    if let Some(keys) = settings::agent_keys(|name| variables.variable(name))? {
        return Ok(keys);
    }
    let data = data.map_or_else(|| DataFolder::default_path(name), Path::to_path_buf);
    DataFolder::kept_key(&data).map_err(|error| match error {
        error @ DataFolderError::KeyFile(KeyFileError::File { .. }) => InspectError::NoKey(error),
        error => InspectError::DataFolder(error),
    })
}

/// The URL without a path. The relay's URL is accepted too.
pub(super) fn base(url: &str) -> Result<Url, InspectError> {
    let http = match url.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        _ => url.to_owned(),
    };
    let mut base = Url::parse(&http).map_err(|error| InspectError::Url { url: url.to_owned(), error })?;
    base.set_path("/");
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

/// The npub of the agent at this URL.
pub(super) async fn agent_at(base: &Url) -> Result<String, InspectError> {
    let url = at(base, "/health");
    let answer = ask(HttpRequest::get(url.as_str()), &url).await?;
    let health: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let npub = health.get("npub").and_then(Value::as_str).map(str::to_owned);
    npub.ok_or_else(|| InspectError::NoAgent { url: base.clone() })
}

/// The text of the agent's answer.
pub(super) async fn accepted(request: HttpRequest, url: &Url) -> Result<String, InspectError> {
    let Answer { status, text } = ask(request, url).await?;
    match status {
        200..=299 => Ok(text),
        status => Err(InspectError::Refused { url: url.clone(), status, reason: text.trim_end().to_owned() }),
    }
}

/// What the agent answered.
struct Answer {
    status: u16,
    text: String,
}

async fn ask(request: HttpRequest, url: &Url) -> Result<Answer, InspectError> {
    let limits = HttpLimits {
        reach: Reach::Anywhere,
        max_bytes: MAX_ANSWER_BYTES,
        timeout: Duration::from_secs(20),
        // A request signed for one URL is useless at another.
        max_redirects: 0,
    };
    let answer = async {
        let response = send(request.limits(limits)).await?;
        Ok(Answer { status: response.status(), text: response.text().await? })
    };
    answer.await.map_err(|error| InspectError::Fetch { url: Box::new(url.clone()), error: Box::new(error) })
}

fn record_url(base: &Url, npub: &str, record: &InspectedRecord) -> Url {
    let mut query: Vec<(&str, String)> = Vec::new();
    let path = match record {
        InspectedRecord::History { page, before } => {
            query.push(("limit", page.limit.to_string()));
            query.extend(before.map(|before| ("before", before.to_string())));
            "history".to_owned()
        }
        InspectedRecord::Job { id } => format!("history/{}.json", encoded(id)),
        InspectedRecord::Sessions { customer: Some(customer), .. } => {
            format!("sessions/{}.json", encoded(customer))
        }
        InspectedRecord::Sessions { customer: None, page } => {
            query.push(("limit", page.limit.to_string()));
            "sessions".to_owned()
        }
        InspectedRecord::Memory { key: Some(key), .. } => format!("memory/{}", encoded(key)),
        InspectedRecord::Memory { key: None, prefix, after, page } => {
            query.push(("limit", page.limit.to_string()));
            query.extend(prefix.clone().map(|prefix| ("prefix", prefix)));
            query.extend(after.clone().map(|after| ("after", after)));
            "memory".to_owned()
        }
        InspectedRecord::Payments { page, before } => {
            query.push(("limit", page.limit.to_string()));
            query.extend(before.map(|before| ("before", before.to_string())));
            "payments".to_owned()
        }
        InspectedRecord::Metrics => "metrics.json".to_owned(),
        InspectedRecord::State => "state.json".to_owned(),
    };
    let mut url = at(base, &format!("/agent/{npub}/{path}"));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

pub(super) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::{base, record_url};
    use crate::native::cli::arguments::{InspectedRecord, ListPage};

    const PAGE: ListPage = ListPage { limit: 5 };

    #[test]
    fn finds_the_agent_by_the_address_of_its_relay() {
        for (given, expected) in [
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787/"),
            ("ws://127.0.0.1:8787/", "http://127.0.0.1:8787/"),
            ("wss://agent.example/?a=b#c", "https://agent.example/"),
        ] {
            assert_eq!(base(given).unwrap().as_str(), expected);
        }
        assert!(base("127.0.0.1:8787").is_err() && base("agent").is_err());
    }

    #[test]
    fn names_what_is_asked_for() {
        let base = base("http://h").unwrap();
        let memory = |key: Option<&str>, prefix: Option<&str>| InspectedRecord::Memory {
            key: key.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            after: None,
            page: PAGE,
        };
        for (record, expected) in [
            (
                InspectedRecord::History { page: PAGE, before: Some(9) },
                "http://h/agent/n/history?limit=5&before=9",
            ),
            (memory(Some("a/b c?é"), None), "http://h/agent/n/memory/a/b%20c%3F%C3%A9"),
            (memory(None, Some("a&b")), "http://h/agent/n/memory?limit=5&prefix=a%26b"),
            (InspectedRecord::State, "http://h/agent/n/state.json"),
        ] {
            assert_eq!(record_url(&base, "n", &record).as_str(), expected);
        }
    }
}
