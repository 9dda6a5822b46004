use openagents_sdk::prelude::*;

#[derive(JobParams)]
struct Broken {
    #[param(max = 18446744073709551615)]
    limit: u64,
}

fn main() {}
