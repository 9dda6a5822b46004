use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[route(POST, "/hook", timeout = "1m")]
    async fn hook(&self) -> JobResult<String> { Ok(String::new()) }
}

fn main() {}
