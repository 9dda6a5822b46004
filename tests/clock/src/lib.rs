//! An agent for the scenarios in `tests/`: schedules, lifecycle hooks and prices.

use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::Value;

/// Counts its schedule and hook runs, for tests.
#[agent(name = "clock", state_version = 2, topics("testing"), queue = 3, concurrency = 1)]
#[derive(Default, Serialize, Deserialize)]
pub struct Clock {
    created: u32,
    woken: u32,
    slept: u32,
    ticks: u32,
    failures: Vec<String>,
    rings: Vec<String>,
}

/// The parameters of a priced job.
#[derive(JobParams)]
pub struct Order {
    /// The number of pieces.
    #[param(default = 1, min = 0, max = 100)]
    pieces: u32,
}

#[jobs]
impl Clock {
    #[on_create]
    async fn create(&mut self, context: AgentContext) -> JobResult<()> {
        self.created += 1;
        context.memory().write("created", &self.created)
    }

    #[on_wake]
    async fn wake(&mut self) -> JobResult<()> {
        self.woken += 1;
        Ok(())
    }

    #[on_sleep]
    async fn sleep(&mut self) -> JobResult<()> {
        self.slept += 1;
        Ok(())
    }

    #[on_error]
    async fn note_failure(&mut self, context: AgentContext) -> JobResult<()> {
        self.failures.extend(context.failure().map(|failure| failure.message.clone()));
        Ok(())
    }

    #[migrate]
    fn migrate(_version: u32, state: Value) -> JobResult<Value> {
        Ok(state)
    }

    /// Counts its runs, at an interval.
    #[schedule(every = "7s")]
    async fn tick(&mut self) -> JobResult<()> {
        self.ticks += 1;
        Ok(())
    }

    /// Shows the counters.
    #[job(kind = 5930)]
    async fn show(&self) -> JobResult<Json<Self>> {
        let Self { created, woken, slept, ticks, failures, rings } = self;
        let (created, woken, slept, ticks) = (*created, *woken, *slept, *ticks);
        let (failures, rings) = (failures.clone(), rings.clone());
        Ok(Json(Self { created, woken, slept, ticks, failures, rings }))
    }

    /// Fails for good.
    #[job(kind = 5931)]
    async fn fail(&self, input: Text) -> JobResult<String> {
        Err(JobError::failed(input.into_string()))
    }

    /// Has a price for each piece.
    #[job(kind = 5932)]
    async fn sell(&self, order: Params<Order>) -> JobResult<String> {
        Ok(format!("{} pieces", order.pieces))
    }

    #[price(kind = 5932)]
    fn quote(&self, request: &JobRequest) -> JobResult<Price> {
        let pieces: u64 = request.params.parse("pieces")?.unwrap_or(1);
        Ok(Price::sat(pieces))
    }

    /// Takes some time.
    #[job(kind = 5933)]
    async fn wait(&self, context: JobContext, input: Text) -> JobResult<String> {
        context.sleep(std::time::Duration::from_secs(3)).await;
        Ok(input.into_string())
    }

    /// Rings in so many seconds, or not: the input is the text, its parameter the time.
    #[job(kind = 5935)]
    async fn ring_later(&self, context: JobContext, text: Text, params: Params) -> JobResult<String> {
        let run = context.schedule("ring").key(text.to_string());
        match params.parse::<u64>("seconds")? {
            Some(seconds) => run.after(std::time::Duration::from_secs(seconds), &text.to_string())?,
            None => run.cancel()?,
        }
        Ok(String::new())
    }

    /// Rings.
    #[schedule(once)]
    async fn ring(&mut self, context: AgentContext) -> JobResult<()> {
        self.rings.push(context.payload()?);
        Ok(())
    }

    /// Is paid with a held payment. Takes some `milliseconds`; if the input is `fail`, it then fails.
    #[job(kind = 5936, price = "21 sat", pay = "hold", attempts = 1)]
    async fn earn(&self, context: JobContext, input: Text, params: Params) -> JobResult<String> {
        let milliseconds = params.parse("milliseconds")?.unwrap_or(0);
        context.sleep(std::time::Duration::from_millis(milliseconds)).await;
        if &*input == "fail" {
            return Err(JobError::failed("nothing was earned"));
        }
        Ok(format!("{input} is done"))
    }

    /// Has a fixed price.
    #[job(kind = 5934, price = "21 sat")]
    async fn charge(&self) -> JobResult<String> {
        Ok("paid".to_owned())
    }
}

openagents_sdk::deployment!(Clock);
