use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = u32::MAX)]
    limit: u32,
}

fn main() {}
