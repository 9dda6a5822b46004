//! An agent for the scenarios in `tests/`: its handlers do everything that a handler can do wrong.

#[cfg(target_arch = "wasm32")]
mod conformance;

use std::time::Duration;

use openagents_sdk::prelude::*;

/// Does as it is told, for tests.
#[agent(name = "probe")]
#[derive(Default, Serialize, Deserialize)]
pub struct Probe {
    count: u64,
    steps: Vec<String>,
}

/// The words of a text.
#[derive(Serialize)]
#[serde(crate = "openagents_sdk::serde")]
pub struct Words {
    words: Vec<String>,
    count: usize,
}

#[jobs]
impl Probe {
    /// Returns its input.
    #[job(kind = 5900)]
    async fn echo(&self, input: Text) -> JobResult<String> {
        Ok(input.into_string())
    }

    /// Counts, then fails for good.
    #[job(kind = 5901)]
    async fn fail(&mut self, input: Text) -> JobResult<String> {
        self.count += 1;
        Err(JobError::failed(format!("cannot do: {input}")))
    }

    /// Counts, then panics.
    #[job(kind = 5902, attempts = 1)]
    async fn panic(&mut self, input: Text) -> JobResult<String> {
        self.count += 1;
        panic!("a panic with the input {input}")
    }

    /// Succeeds on the third attempt.
    #[job(kind = 5903)]
    async fn persist(&self, context: JobContext) -> JobResult<String> {
        match context.attempt() {
            3 => Ok("attempt 3".to_owned()),
            attempt => Err(JobError::retry(format!("attempt {attempt} was in vain"))),
        }
    }

    /// Returns its input after some `milliseconds`.
    #[job(kind = 5904)]
    async fn wait(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        context.sleep(milliseconds(&params)?).await;
        Ok(input.into_string())
    }

    /// Notes in the state when it starts and, some `milliseconds` later, when it ends.
    #[job(kind = 5905)]
    async fn change(&mut self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        self.steps.push(format!("start {input}"));
        context.sleep(milliseconds(&params)?).await;
        self.steps.push(format!("end {input}"));
        Ok(self.steps.len().to_string())
    }

    /// Counts, then outlasts its time limit.
    #[job(kind = 5906, timeout = "1s", attempts = 1)]
    async fn hang(&mut self, context: JobContext) -> JobResult<String> {
        self.count += 1;
        context.sleep(Duration::from_secs(3600)).await;
        Ok("too late".to_owned())
    }

    /// Shows the state.
    #[job(kind = 5907)]
    async fn state(&self) -> JobResult<Json<Self>> {
        Ok(Json(Self { count: self.count, steps: self.steps.clone() }))
    }

    /// Splits its input into words.
    #[job(kind = 5908)]
    async fn words(&self, input: Text) -> JobResult<Json<Words>> {
        let words: Vec<String> = input.split_whitespace().map(str::to_owned).collect();
        Ok(Json(Words { count: words.len(), words }))
    }

    /// Never succeeds.
    #[job(kind = 5909, attempts = 2)]
    async fn despair(&self, context: JobContext) -> JobResult<String> {
        Err(JobError::retry(format!("attempt {} was in vain", context.attempt())))
    }

    /// Fails with an error that is not meant for customers.
    #[job(kind = 5910, attempts = 1)]
    async fn leak(&self) -> JobResult<String> {
        Err(std::io::Error::other("the secret path /root/secret"))?
    }

    /// Counts.
    #[job(kind = 5911)]
    async fn count(&mut self) -> JobResult<String> {
        self.count += 1;
        Ok(self.count.to_string())
    }

    /// Repeats its input until it has so many `bytes`.
    #[job(kind = 5912)]
    async fn fill(&self, input: Text, params: Params) -> JobResult<String> {
        Ok(input.chars().cycle().take(params.parse("bytes")?.unwrap_or(0)).collect())
    }

    /// Adds a tag to its result.
    #[job(kind = 5913)]
    async fn tag(&self, input: Text) -> JobResult<Output> {
        Ok(Output::new(input.into_string()).tag(["sort", "by", "rank"]))
    }

    /// Remembers its input under a `key`, and what was said.
    #[job(kind = 5990)]
    async fn remember(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        context.memory().write(params.first("key").unwrap_or("last"), &*input)?;
        context.session().say("user", &*input);
        context.session().say("assistant", "I shall remember that.");
        Ok("remembered".to_owned())
    }
}

fn milliseconds(params: &Params) -> JobResult<Duration> {
    Ok(Duration::from_millis(params.parse("milliseconds")?.unwrap_or(0)))
}

openagents_sdk::deployment!(Probe);
