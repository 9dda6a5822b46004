use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

trait Work {
    async fn work(&self) -> JobResult<String>;
}

#[jobs]
impl Work for Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
