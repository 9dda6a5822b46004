//! Says which notes on its relay are worth reading.

mod ranking;

use openagents_sdk::host::keys::parse_public_key;
use openagents_sdk::host::{Event, PublicKey};
use openagents_sdk::prelude::*;
use openagents_sdk::relay::Filter;

const DAY: u64 = 24 * 60 * 60;

/// Recommends notes: the new ones that people react to. It knows what is on its relay, and keeps nothing of its own.
#[agent(name = "content-discovery")]
#[derive(Default, Serialize, Deserialize)]
pub struct ContentDiscovery;

#[jobs]
impl ContentDiscovery {
    /// The notes of the last day, the most discussed and newest first: `max_results` at most, and only those of the people
    /// whom `user` follows, if the relay knows any.
    #[job(kind = 5300, timeout = "20s")]
    async fn discover(&self, context: JobContext, params: Params) -> JobResult<Tags> {
        let max_results = params.parse("max_results")?.unwrap_or(50).min(200);
        let now = context.began().as_seconds();
        let mut notes = Filter::new().kinds([1]).since(now.saturating_sub(DAY)).limit(1_000);
        let follows = match params.first("user") {
            Some(user) => follows(&context, user).await?,
            None => Vec::new(),
        };
        if !follows.is_empty() {
            notes = notes.authors(follows);
        }
        // Both answers are limited by number here and to 4 MB by the relay, whatever it holds.
        let notes = context.events([notes]).await?;
        let ids = notes.iter().map(|note| note.id.to_hex());
        let echo = Filter::new().kinds([1, 7]).tag('e', ids)?.since(now.saturating_sub(DAY)).limit(5_000);
        let echo = context.events([echo]).await?;
        Ok(Tags::events(ranking::ranked(&notes, &echo, now).into_iter().take(max_results)))
    }
}

/// Whom a user follows (kind 3), as far as this relay knows.
async fn follows(context: &JobContext, user: &str) -> JobResult<Vec<PublicKey>> {
    let user = parse_public_key(user).map_err(|_| {
        JobError::failed("the parameter `user` must be a public key: npub1… or 64 hex characters")
    })?;
    let lists = context.events([Filter::new().kinds([3]).authors([user]).limit(1)]).await?;
    let keys = lists.first().into_iter().flat_map(|list: &Event| list.tag_values("p"));
    Ok(keys.filter_map(|key| PublicKey::from_hex(key).ok()).take(2_000).collect())
}

openagents_sdk::deployment!(ContentDiscovery);
