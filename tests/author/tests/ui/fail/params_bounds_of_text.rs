use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(max = 80)]
    language: String,
}

fn main() {}
