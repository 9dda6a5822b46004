use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

impl Broken {
    #[price(kind = 5050)]
    fn price(&self, _: &JobRequest) -> Price {
        Price::FREE
    }

    #[schedule(every = "1h")]
    async fn refresh(&self) -> JobResult<()> {
        Ok(())
    }

    #[on_create]
    async fn begin(&self) -> JobResult<()> {
        Ok(())
    }

    #[on_wake]
    async fn wake(&self) -> JobResult<()> {
        Ok(())
    }

    #[on_sleep]
    async fn rest(&self) -> JobResult<()> {
        Ok(())
    }

    #[on_error]
    async fn note(&self) -> JobResult<()> {
        Ok(())
    }
}

#[migrate]
fn migrate() {}

fn main() {}
