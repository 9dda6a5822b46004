use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(required = true)]
    limit: u32,
}

fn main() {}
