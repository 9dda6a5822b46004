use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[schedule(every = "10m", cron = "0 3 * * *")]
    async fn refresh(&mut self) -> JobResult<()> {
        Ok(())
    }
}

fn main() {}
