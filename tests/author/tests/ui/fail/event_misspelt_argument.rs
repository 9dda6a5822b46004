use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[event(kid = 1, mentions)]
    async fn handle(&self, event: NostrEvent) -> JobResult<()> { Ok(drop(event)) }
}

fn main() {}
