use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    limit: std::time::Duration,
    models: Vec<Model>,
}

fn main() {}

enum Model {
    Fast,
}
