use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[route(POST, "/hook")]
    async fn hook(&self) -> JobResult<u32> { Ok(7) }
}

fn main() {}
