use openagents_sdk::prelude::*;

#[derive(JobParams)]
enum Broken {
    Fast,
}

// So that nothing is said of a missing `JobParams` as well.
async fn work(_: Params<Broken>) {}

fn main() {
    let _ = work;
}
