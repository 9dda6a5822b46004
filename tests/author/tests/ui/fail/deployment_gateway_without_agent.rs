use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn answer(&self) -> JobResult<String> {
        Ok("ok".into())
    }
}

openagents_sdk::deployment! { agents: [], gateway: openagents_sdk::gateway::Gateway::new() }
