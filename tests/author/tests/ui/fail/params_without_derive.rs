use openagents_sdk::prelude::*;

struct Limits {
    limit: u32,
}

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self, params: Params<Limits>) -> JobResult<String> {
        Ok(params.limit.to_string())
    }
}

fn main() {}
