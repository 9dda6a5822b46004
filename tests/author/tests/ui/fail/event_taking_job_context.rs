use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[event(kind = 1, mentions)]
    async fn handle(&self, context: JobContext) -> JobResult<()> { Ok(drop(context)) }
}

fn main() {}
