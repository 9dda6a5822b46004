use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[direct_message]
    async fn answer(&self, event: NostrEvent) -> JobResult<()> { Ok(drop(event)) }
}

fn main() {}
