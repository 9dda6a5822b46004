use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[event(kind = 1, mentions = true)]
    async fn handle(&self, event: NostrEvent) -> JobResult<()> { Ok(drop(event)) }
}

fn main() {}
