use openagents_sdk::prelude::*;

use std::rc::Rc;
use std::time::Duration;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self, context: JobContext) -> JobResult<String> {
        let shared = Rc::new(1);
        context.sleep(Duration::from_secs(1)).await;
        Ok(shared.to_string())
    }
}

fn main() {}
