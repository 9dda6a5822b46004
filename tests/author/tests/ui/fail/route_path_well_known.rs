use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[route(GET, "/.well-known/lnurlp/me")]
    async fn hook(&self) -> JobResult<String> { Ok(String::new()) }
}

fn main() {}
