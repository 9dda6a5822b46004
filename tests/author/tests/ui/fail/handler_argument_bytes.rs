//! A handler whose argument is the bytes of a file: those are in a `Blob`.

use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

#[jobs]
impl Broken {
    #[job(kind = 5050)]
    async fn greet(&self, file: Vec<u8>) -> JobResult<String> {
        Ok(file.len().to_string())
    }
}

fn main() {}
