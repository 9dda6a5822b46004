use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(max = 300)]
    limit: u8,
}

fn main() {}
