//! An agent that streams what a language model answers, hires a translator, and counts the days.

use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::Kind;
use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::json;

/// Writes with a language model.
#[agent(name = "larger-agent", secrets("LLM_API_KEY"))]
#[derive(Default, Serialize, Deserialize)]
pub struct LargerAgent {
    /// How many days it has counted.
    pub days: u64,
}

#[jobs]
impl LargerAgent {
    /// Write what the input asks for, in French.
    #[job(kind = 5050, timeout = "5m")]
    async fn write(&self, prompt: Text, context: JobContext) -> JobResult<String> {
        let request = context
            .http()
            .post("https://model.example.com/v1/answers")
            .bearer(context.secret("LLM_API_KEY")?);
        let response = request.json(&json!({ "prompt": &*prompt, "stream": true })).send().await?;
        let mut events = response.error_for_status().await?.events();
        let mut text = String::new();
        while let Some(event) = events.next().await? {
            text.push_str(&event.data);
            context.partial(&text);
        }
        let order = RequestBuilder::new(Kind(5002)).text(text).param("language", "fr");
        let translation = context.hire(order).await?.result(Duration::from_secs(60)).await?;
        Ok(format!("{} (day {})", translation.content, self.days))
    }

    #[schedule(every = "1d")]
    async fn count(&mut self) -> JobResult<()> {
        self.days += 1;
        Ok(())
    }
}

openagents_sdk::deployment!(LargerAgent);
