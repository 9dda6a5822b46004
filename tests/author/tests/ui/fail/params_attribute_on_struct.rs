use openagents_sdk::prelude::*;

#[derive(JobParams)]
#[param(rename_all = "camelCase")]
struct Broken {
    limit: u32,
}

fn main() {}
