use openagents_sdk::prelude::*;

const TRANSLATE: u16 = 5050;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn first(&self) -> JobResult<String> {
        Ok(String::new())
    }

    #[job(kind = TRANSLATE)]
    async fn translate(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
