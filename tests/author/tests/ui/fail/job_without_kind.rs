use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[job(timeout = "5s")]
    async fn rest(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
