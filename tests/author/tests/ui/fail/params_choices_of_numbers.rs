use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(choices("1", "2"))]
    limit: u8,
}

fn main() {}
