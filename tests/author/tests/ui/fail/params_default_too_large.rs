use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(default = 256)]
    limit: u8,
}

fn main() {}
