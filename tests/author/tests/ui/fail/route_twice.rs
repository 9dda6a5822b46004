use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[route(POST, "/hook")]
    async fn first(&self) -> JobResult<()> { Ok(()) }

    #[route(GET, "/hook")]
    async fn second(&self) -> JobResult<()> { Ok(()) }

    #[route(POST, "/hook")]
    async fn hook(&self) -> JobResult<String> { Ok(String::new()) }
}

fn main() {}
