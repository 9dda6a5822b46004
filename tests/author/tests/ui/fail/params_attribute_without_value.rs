use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default)]
    limit: u32,
}

fn main() {}
