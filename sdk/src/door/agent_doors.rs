//! What an agent answers over HTTP: pages that anybody may read, and records for its operators.

use std::collections::BTreeSet;
use std::sync::Arc;

use openagents_host::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::operators::Operators;
use super::page::Page;
use super::records::{self, Shown};
use super::{AgentDoor, metrics, names};
use crate::discovery::Profile;
use crate::engine::Inquiry;
use crate::manifest::{AgentManifest, SignedManifest};

/// A request for something that the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) method: String,
    /// The absolute URL, as the client sees it.
    pub(crate) url: String,
    /// The `Authorization` header, or nothing.
    pub(crate) authorization: String,
}

/// What a host does with a [`Visit`].
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Sends this.
    Page(Page),
    /// Asks the agent's database first.
    Ask(Question),
}

/// What the database is asked, and what becomes of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) inquiry: Inquiry,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Health,
    Metrics,
    AgentMetrics,
    Record(Shown),
}

/// The doors of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AgentDoors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    manifest: SignedManifest,
    profile: Profile,
    operators: Operators,
    /// The state of an agent that has stored none.
    default_state: String,
}

impl AgentDoors {
    /// The doors of an agent with this profile; `operators` are the keys that may read its records beside its own, under
    /// one of the `hosts` if there are any.
    pub(crate) fn new(
        manifest: SignedManifest,
        profile: Profile,
        operators: &[PublicKey],
        hosts: BTreeSet<String>,
        default_state: String,
    ) -> Self {
        let operators = Operators::new(profile.key(), operators, hosts);
        Self(Arc::new(Inner { manifest, profile, operators, default_state }))
    }

    /// Answers a visit, or says what must be asked for it.
    pub(crate) fn enter(&self, door: AgentDoor<'_>, visit: &Visit, now: Timestamp) -> Answer {
        let inner = &*self.0;
        let url = Url::parse(&visit.url).ok();
        let query = url.as_ref().and_then(Url::query).unwrap_or_default();
        let ask = |inquiry, then| Answer::Ask(Question { inquiry, then });
        match door {
            AgentDoor::Welcome => Answer::Page(Page::text(welcome(inner.manifest.manifest()))),
            AgentDoor::Health => ask(Inquiry::Load, Then::Health),
            AgentDoor::Metrics => ask(Inquiry::Metrics, Then::Metrics),
            AgentDoor::Names => {
                let name = records::value(query, "name");
                Answer::Page(Page::json(names::document(&inner.profile, name.as_deref())))
            }
            AgentDoor::Manifest { agent }
            | AgentDoor::AgentMetrics { agent }
            | AgentDoor::Record { agent, .. }
                if !self.is(agent) =>
            {
                Answer::Page(Page::no_such_agent())
            }
            AgentDoor::Manifest { .. } => Answer::Page(Page::json(inner.manifest.json().to_string())),
            AgentDoor::AgentMetrics { .. } => ask(Inquiry::Metrics, Then::AgentMetrics),
            AgentDoor::Record { record, .. } => {
                let question = inner.operators.admit(visit, now).and_then(|()| record.question(query));
                match question {
                    Ok((inquiry, shown)) => ask(inquiry, Then::Record(shown)),
                    Err(page) => Answer::Page(page),
                }
            }
        }
    }

    /// The page for what the database answered.
    pub(crate) fn page(&self, question: &Question, answer: Result<Value, String>) -> Page {
        let inner = &*self.0;
        match (question.then, answer) {
            (Then::Health, load) => health(inner.manifest.manifest(), load.ok().as_ref()),
            (Then::Metrics, Ok(metrics)) => {
                Page::text(metrics::text(inner.manifest.manifest(), &metrics)).of_type(metrics::CONTENT_TYPE)
            }
            (Then::AgentMetrics, Ok(metrics)) => Page::value(&metrics),
            (Then::Record(shown), Ok(answer)) => shown.page(answer, &inner.default_state).private(),
            // Why is for the log.
            (_, Err(_)) => Page::failure(503, "The agent's database does not answer now; try again."),
        }
    }

    fn is(&self, agent: &str) -> bool {
        let key = self.0.profile.key();
        agent == npub(&key) || agent == key.to_hex()
    }
}

/// The page for people who open the relay's URL.
fn welcome(manifest: &AgentManifest) -> String {
    let mut page = format!("{} {}\n{}\n\n", manifest.name, manifest.version, manifest.description);
    for tool in &manifest.capabilities.tools {
        let kind = tool.job_kind.unwrap_or_default();
        page.push_str(&format!("kind {kind}  {}: {}\n", tool.name, tool.description));
    }
    page.push_str(&format!(
        "\nagent     {npub}\nmanifest  /agent/{npub}/manifest.json\nmetrics   /metrics\n\n\
         This is a Nostr relay (NIP-01) with an agent that answers job requests (NIP-90): connect to it with a WebSocket.\n",
        npub = manifest.author.npub,
    ));
    page
}

/// Whether the agent's database answers, and how much it has to do.
fn health(manifest: &AgentManifest, load: Option<&Value>) -> Page {
    let status = if load.is_some() { "ok" } else { "failing" };
    let unfinished = load.and_then(|load| load.get("unfinished"));
    let page = Page::value(&json!({
        "status": status,
        "name": manifest.name,
        "version": manifest.version,
        "npub": manifest.author.npub,
        "job_kinds": manifest.capabilities.job_kinds,
        "unfinished_jobs": unfinished,
    }));
    Page { status: if status == "ok" { 200 } else { 503 }, ..page }
}

#[cfg(test)]
mod tests;
