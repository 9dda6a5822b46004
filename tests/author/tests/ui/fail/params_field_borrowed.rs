use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    language: &'static str,
}

fn main() {}
