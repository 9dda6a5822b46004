//! An agent that is paid for its work.

use openagents_sdk::prelude::*;

/// Counts words for money.
#[agent(name = "paid")]
#[derive(Default, Serialize, Deserialize)]
pub struct Paid;

#[jobs]
impl Paid {
    /// Count the words of a text, and say how long it takes to read it aloud.
    #[job(kind = 5050, price = "21 sat")]
    async fn count(&self, text: Text) -> JobResult<String> {
        let words = text.split_whitespace().count();
        if words == 0 {
            return Err(JobError::failed("there are no words in this text"));
        }
        let seconds = words.saturating_mul(60).div_ceil(WORDS_A_MINUTE);
        Ok(format!("words: {words}, reading time: {seconds} s"))
    }
}

/// How fast people read aloud.
const WORDS_A_MINUTE: usize = 150;

openagents_sdk::deployment!(Paid);
