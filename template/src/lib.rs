//! An agent that greets people. Make it yours: its state, its jobs and their kinds.

use openagents_sdk::prelude::*;

/// Greets whoever asks.
#[agent(name = "{{project-name}}")]
#[derive(Default, Serialize, Deserialize)]
pub struct MyAgent {
    greeted: u64, // the fields are the agent's durable state
}

#[jobs]
impl MyAgent {
    /// Say hello to the name given as input.
    #[job(kind = 5050, timeout = "60s")]
    async fn hello(&mut self, name: Text) -> JobResult<String> {
        self.greeted += 1;
        Ok(format!("Hello, {name}! You are number {}.", self.greeted))
    }
}

openagents_sdk::deployment!(MyAgent);
