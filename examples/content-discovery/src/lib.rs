//! Says which notes on its relay are worth reading.

mod ranking;

use openagents_sdk::nostr::Filter;
use openagents_sdk::nostr::PublicKey;
use openagents_sdk::prelude::*;

const DAY: u64 = 24 * 60 * 60;

/// Recommends notes: the new ones that people react to. It knows what is on its relay, and keeps nothing of its own.
#[agent(name = "content-discovery")]
#[derive(Default, Serialize, Deserialize)]
pub struct ContentDiscovery;

#[derive(JobParams)]
struct Wishes {
    /// How many notes are wanted at most.
    #[param(default = 50, min = 1, max = 200)]
    max_results: usize,
    /// For whom: notes of the people whom this user follows, if the relay knows any.
    user: Option<PublicKey>,
}

#[jobs]
impl ContentDiscovery {
    /// The notes of the last day: first those that most people react to, and the newer the better.
    #[job(kind = 5300, timeout = "20s")]
    async fn discover(&self, context: JobContext, wishes: Params<Wishes>) -> JobResult<Tags> {
        let now = context.began().as_seconds();
        let since = now.saturating_sub(DAY);
        let mut notes = Filter::new().kinds([1]).since(since).limit(1_000);
        if let Some(user) = wishes.user {
            let follows = follows(&context, user).await?;
            if !follows.is_empty() {
                notes = notes.authors(follows);
            }
        }
        // Both answers are limited in number here, and to 4 MB by the relay: more than that is never in memory.
        let notes = context.events([notes]).await?;
        let ids = notes.iter().map(|note| note.id.to_hex());
        let echo = Filter::new().kinds([1, 7]).tag('e', ids)?.since(since).limit(5_000);
        let echo = context.events([echo]).await?;
        Ok(Tags::events(ranking::ranked(&notes, &echo, now).into_iter().take(wishes.max_results)))
    }
}

/// Whom a user follows (kind 3), as far as this relay knows.
async fn follows(context: &JobContext, user: PublicKey) -> JobResult<Vec<PublicKey>> {
    let lists = context.events([Filter::new().kinds([3]).authors([user]).limit(1)]).await?;
    let keys = lists.first().into_iter().flat_map(|list| list.tag_values("p"));
    Ok(keys.filter_map(|key| PublicKey::from_hex(key).ok()).take(2_000).collect())
}

openagents_sdk::deployment!(ContentDiscovery);
