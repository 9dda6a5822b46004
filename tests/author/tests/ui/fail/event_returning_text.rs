use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[event(kind = 1, mentions)]
    async fn handle(&self) -> JobResult<String> { Ok(String::new()) }
}

fn main() {}
