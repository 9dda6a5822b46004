use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = 512)]
    limits: Vec<u32>,
}

fn main() {}
