use openagents_sdk::prelude::*;
use openagents_sdk::{Agent, Jobs};

#[agent(name = "every-argument", about = "Uses them all.", version = "1.2.0")]
#[derive(Default, Serialize, Deserialize)]
struct EveryArgument;

#[jobs]
impl EveryArgument {
    #[job(kind = 5999, name = "summarise", timeout = "10m", attempts = 1)]
    async fn work(&self) -> JobResult<()> {
        Ok(())
    }
}

fn main() {
    let declaration = EveryArgument::DECLARATION;
    assert_eq!((declaration.about, declaration.version), ("Uses them all.", "1.2.0"));
    let job = EveryArgument::HANDLERS[0].declaration;
    assert_eq!((job.kind, job.name, job.about), (5999, "summarise", ""));
    assert_eq!((job.timeout.as_secs(), job.attempts), (600, 1));
}
