use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    limit: u32,
    #[param(alias = "limit")]
    most: Option<u32>,
}

fn main() {}
