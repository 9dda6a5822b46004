use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(max = 2.5)]
    limit: u8,
}

fn main() {}
