use openagents_sdk::prelude::*;

#[agent(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
pub struct Listener;

#[jobs]
impl Listener {
    #[direct_message(kind = 14)]
    async fn answer(&self, message: DirectMessage) -> JobResult<String> { Ok(message.text().to_owned()) }
}

fn main() {}
