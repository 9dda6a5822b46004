use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050, prize = "1000 msat")]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
