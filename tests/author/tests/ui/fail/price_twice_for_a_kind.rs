use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[price(kind = 5050)]
    fn price(&self, request: &JobRequest) -> Price {
        Price::sat(request.inputs.len() as u64)
    }

    #[price(kind = 5050)]
    fn other(&self, request: &JobRequest) -> Price {
        Price::sat(request.inputs.len() as u64)
    }
}

fn main() {}
