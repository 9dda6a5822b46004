use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(min = 10, max = 1)]
    limit: u32,
}

fn main() {}
