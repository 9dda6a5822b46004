use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = 512)]
    limit: Option<u32>,
}

fn main() {}
