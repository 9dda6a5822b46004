use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(knd = 5050, timout = "60s")]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
