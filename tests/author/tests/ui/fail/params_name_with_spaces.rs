use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(name = "the limit")]
    limit: u32,
}

fn main() {}
