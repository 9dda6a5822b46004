use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(choices("fast", "fast"))]
    model: String,
}

fn main() {}
