//! The NIP-01 filters for job requests and cancellations that concern an agent.

use openagents_host::nostr::Filter;
use openagents_host::nostr::tag::TagName;
use openagents_host::{PublicKey, Timestamp};

use crate::author::agent::Jobs;
use crate::declaration::Requests;
use crate::nip90::DELETION;

/// Which events of an external relay concern an agent.
#[derive(Clone, Debug)]
pub(crate) struct RequestFilter {
    pub(super) kinds: Vec<u16>,
    /// The agent's key, if it only takes requests that name it.
    pub(super) named: Option<PublicKey>,
}

impl RequestFilter {
    /// The filter for the agent `A` with this key.
    pub(crate) fn of<A: Jobs>(me: PublicKey) -> Self {
        Self {
            kinds: A::HANDLERS.iter().map(|handler| handler.declaration.kind).collect(),
            named: (A::DECLARATION.requests == Requests::Named).then_some(me),
        }
    }

    /// The NIP-01 filters for job requests and cancellations since `since`.
    pub(crate) fn filters(&self, since: Timestamp) -> [Filter; 2] {
        let since = since.as_seconds();
        let mut requests = Filter::new().kinds(self.kinds.iter().copied()).since(since);
        if let Some(me) = self.named {
            requests = requests.pubkeys([me]);
        }
        let mut cancellations = Filter::new().kinds([DELETION.0]).since(since);
        cancellations.tags.insert(TagName::K, self.kinds.iter().map(u16::to_string).collect());
        [requests, cancellations]
    }
}
