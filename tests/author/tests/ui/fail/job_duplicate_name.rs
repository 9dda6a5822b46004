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

    #[job(kind = 5051, name = "work")]
    async fn rest(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
