use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

impl Broken {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

#[job(kind = 5051)]
async fn rest() -> JobResult<String> {
    Ok(String::new())
}

fn main() {}
