use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    limits: Option<Vec<u32>>,
}

fn main() {}
