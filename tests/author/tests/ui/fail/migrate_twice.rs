use openagents_sdk::prelude::*;

#[agent(name = "broken", state_version = 2)]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[migrate]
    fn migrate(_: u32, state: openagents_sdk::serde_json::Value) -> JobResult<openagents_sdk::serde_json::Value> {
        Ok(state)
    }

    #[migrate]
    fn change(_: u32, state: openagents_sdk::serde_json::Value) -> JobResult<openagents_sdk::serde_json::Value> {
        Ok(state)
    }
}

fn main() {}
