use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = 0, min = 1)]
    limit: u32,
}

fn main() {}
