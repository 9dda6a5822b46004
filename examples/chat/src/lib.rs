//! An agent that talks: a language model answers in view of the conversation with each customer.

mod completion;

use openagents_sdk::prelude::*;

use completion::{Completion, Message};

/// How many turns of the conversation the model is shown.
const TURNS: usize = 20;

/// Talks to its customers, and remembers what was said.
#[agent(
    name = "chat",
    variables("LLM_BASE_URL" = "https://api.openai.com/v1", "LLM_MODEL" = "gpt-4o-mini"),
    secrets("LLM_API_KEY")
)]
#[derive(Default, Serialize, Deserialize)]
pub struct Chat;

#[jobs]
impl Chat {
    /// Answer a message, in view of the conversation so far.
    #[job(kind = 5050, timeout = "5m")]
    async fn reply(&self, message: Text, context: JobContext) -> JobResult<String> {
        let session = context.session();
        session.say("user", message.into_string());
        let turns = session.turns(TURNS).await?;
        let messages: Vec<Message> = turns.into_iter().map(Message::from).collect();

        let mut completion = Completion::start(&context, &messages).await?;
        let mut reply = String::new();
        while let Some(token) = completion.next().await? {
            reply.push_str(&token);
            context.partial(&reply); // one feedback event a second, however many tokens there are
        }
        session.say("assistant", &reply);
        Ok(reply)
    }
}

openagents_sdk::deployment!(Chat);
