//! The filters (NIP-01) for the requests and cancellations that concern an agent.

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
    /// The agent, if only requests that name it concern it.
    pub(super) named: Option<PublicKey>,
}

impl RequestFilter {
    /// What concerns the agent `A` with this key.
    pub(crate) fn of<A: Jobs>(me: PublicKey) -> Self {
        Self {
            kinds: A::HANDLERS.iter().map(|handler| handler.declaration.kind).collect(),
            named: (A::DECLARATION.requests == Requests::Named).then_some(me),
        }
    }

    /// The filters (NIP-01) for requests and cancellations made from `since` on.
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
