use openagents_sdk::prelude::*;

#[direct_message]
async fn handle() -> JobResult<()> {
    Ok(())
}

fn main() {}
