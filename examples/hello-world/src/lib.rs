//! The smallest agent: it greets people.

use openagents_sdk::prelude::*;

/// Greets whoever asks.
#[agent(name = "hello-world")]
#[derive(Default, Serialize, Deserialize)]
pub struct HelloWorld {
    greeted: u64, // the fields are the agent's durable state
}

#[jobs]
impl HelloWorld {
    /// Say hello to the name given as input.
    #[job(kind = 5050, timeout = "60s")]
    async fn hello(&mut self, name: Text) -> JobResult<String> {
        self.greeted += 1;
        Ok(format!("Hello, {name}! You are number {}.", self.greeted))
    }

    /// Say hello after ten seconds: time enough to end the process, and to see that the job survives.
    #[job(kind = 5051, timeout = "60s")]
    async fn hello_later(&mut self, name: Text, context: JobContext) -> JobResult<String> {
        context.sleep(Duration::from_secs(10)).await;
        self.hello(name).await
    }
}

openagents_sdk::deployment!(HelloWorld);
