use openagents_sdk::prelude::*;

use std::sync::Arc;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(self: Arc<Self>) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
