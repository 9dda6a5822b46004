use openagents_sdk::prelude::*;

const TRANSLATE: openagents_sdk::nostr::Kind = openagents_sdk::nostr::Kind(5002);

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = TRANSLATE)]
    async fn translate(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
