use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self, amount: u64) -> JobResult<String> {
        Ok(amount.to_string())
    }
}

fn main() {}
