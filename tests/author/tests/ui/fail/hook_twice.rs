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

    #[on_create]
    async fn begin(&mut self) -> JobResult<()> {
        Ok(())
    }

    #[on_create]
    async fn start(&mut self) -> JobResult<()> {
        Ok(())
    }
}

fn main() {}
