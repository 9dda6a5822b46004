use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self, amount: Option<u64>) -> JobResult<String> {
        Ok(format!("{amount:?}"))
    }

    #[job(kind = 5051)]
    async fn greet(&self, names: Vec<String>) -> JobResult<String> {
        Ok(names.concat())
    }
}

fn main() {}
