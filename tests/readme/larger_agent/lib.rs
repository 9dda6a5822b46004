//! An agent that streams what a language model answers, and counts the days.

use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::json;

/// Writes with a language model.
#[agent(name = "larger-agent")]
#[derive(Default, Serialize, Deserialize)]
pub struct LargerAgent {
    /// How many days it has counted.
    pub days: u64,
}

#[jobs]
impl LargerAgent {
    /// Write what the input asks for.
    #[job(kind = 5050)]
    async fn write(&self, prompt: Text, context: JobContext) -> JobResult<String> {
        let request = context.http().post("https://model.example.com/v1/answers");
        let response = request.json(&json!({ "prompt": &*prompt, "stream": true })).send().await?;
        let mut events = response.error_for_status().await?.events();
        let mut text = String::new();
        while let Some(event) = events.next().await? {
            text.push_str(&event.data);
            context.partial(&text);
        }
        Ok(format!("{text} (day {})", self.days))
    }

    #[schedule(every = "1d")]
    async fn count(&mut self) -> JobResult<()> {
        self.days += 1;
        Ok(())
    }
}

openagents_sdk::deployment!(LargerAgent);
