use openagents_sdk::prelude::*;

#[event(kind = 1, mentions)]
async fn handle() -> JobResult<()> {
    Ok(())
}

fn main() {}
