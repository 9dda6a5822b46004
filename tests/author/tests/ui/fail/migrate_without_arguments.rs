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
    fn migrate() -> JobResult<openagents_sdk::serde_json::Value> {
        Err(JobError::failed("lost"))
    }
}

fn main() {}
