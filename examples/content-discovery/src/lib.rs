//! An agent that recommends notes from its relay.

mod ranking;

use openagents_sdk::nostr::Filter;
use openagents_sdk::nostr::PublicKey;
use openagents_sdk::prelude::*;

const DAY: u64 = 24 * 60 * 60;

/// Recommends new notes that many people react to. It knows what is on its relay, and stores nothing itself.
#[agent(name = "content-discovery")]
#[derive(Default, Serialize, Deserialize)]
pub struct ContentDiscovery;

#[derive(JobParams)]
struct DiscoveryParams {
    /// The most notes to return.
    #[param(default = 50, min = 1, max = 200)]
    max_results: usize,
    /// Recommend notes by people whom this user follows, if the relay knows any.
    user: Option<PublicKey>,
}

#[jobs]
impl ContentDiscovery {
    /// Recommend notes of the last day, ranked by the number of people who reacted, and by age.
    #[job(kind = 5300, timeout = "20s")]
    async fn discover(&self, context: JobContext, params: Params<DiscoveryParams>) -> JobResult<Tags> {
        let now = context.began().as_seconds();
        let since = now.saturating_sub(DAY);
        let mut notes = Filter::new().kinds([1]).since(since).limit(1_000);
        if let Some(user) = params.user {
            let follows = follows(&context, user).await?;
            if !follows.is_empty() {
                notes = notes.authors(follows);
            }
        }
        // Both queries are limited in number here, and to 4 MB by the relay, which limits the memory used.
        let notes = context.events([notes]).await?;
        let ids = notes.iter().map(|note| note.id.to_hex());
        let responses = Filter::new().kinds([1, 7]).tag('e', ids)?.since(since).limit(5_000);
        let responses = context.events([responses]).await?;
        Ok(Tags::events(ranking::ranked(&notes, &responses, now).into_iter().take(params.max_results)))
    }
}

/// The people whom a user follows (kind 3), as far as this relay knows.
async fn follows(context: &JobContext, user: PublicKey) -> JobResult<Vec<PublicKey>> {
    let lists = context.events([Filter::new().kinds([3]).authors([user]).limit(1)]).await?;
    let keys = lists.first().into_iter().flat_map(|list| list.tag_values("p"));
    Ok(keys.filter_map(|key| PublicKey::from_hex(key).ok()).take(2_000).collect())
}

openagents_sdk::deployment!(ContentDiscovery);
