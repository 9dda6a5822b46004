use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050, processing_after = 0)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
