use openagents_sdk::prelude::*;

const TRANSLATE: u16 = 6002;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = TRANSLATE)]
    async fn translate(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
