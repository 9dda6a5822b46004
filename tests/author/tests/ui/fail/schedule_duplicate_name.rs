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

    #[schedule(every = "1h")]
    async fn refresh(&mut self) -> JobResult<()> {
        Ok(())
    }

    #[schedule(every = "2h", name = "refresh")]
    async fn renew(&self) -> JobResult<()> {
        Ok(())
    }
}

fn main() {}
