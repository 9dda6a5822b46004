use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[direct_message]
    async fn first(&self) -> JobResult<()> { Ok(()) }

    #[direct_message]
    async fn answer(&self, message: DirectMessage) -> JobResult<String> { Ok(message.text().to_owned()) }
}

fn main() {}
