use openagents_sdk::prelude::*;

#[route(POST, "/hook")]
async fn hook() -> JobResult<()> {
    Ok(())
}

fn main() {}
