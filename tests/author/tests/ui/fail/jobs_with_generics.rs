use openagents_sdk::prelude::*;

struct Broken<T>(T);

#[jobs]
impl<T> Broken<T> {
    #[job(kind = 5050)]
    async fn work(&self) -> JobResult<String> {
        Ok(String::new())
    }
}

fn main() {}
