//! An AumOS edge gateway: `POST /` goes to the operator's backend, Nostr clients reach the agent beside it.

use openagents_sdk::gateway::Gateway;
use openagents_sdk::prelude::*;

/// Evaluates texts, without any model.
#[agent(name = "edge-gateway")]
#[derive(Default, Serialize, Deserialize)]
pub struct Evaluator;

/// What is said about a text.
#[derive(Serialize)]
pub struct Evaluation {
    words: usize,
    characters: usize,
}

#[jobs]
impl Evaluator {
    /// Say how many words and characters the text has.
    #[job(kind = 5050, timeout = "10s")]
    async fn evaluate(&self, text: Text) -> JobResult<Json<Evaluation>> {
        let words = text.as_str().split_whitespace().count();
        Ok(Json(Evaluation { words, characters: text.as_str().chars().count() }))
    }
}

openagents_sdk::deployment! {
    agents: [Evaluator],
    gateway: Gateway::new(),
}
